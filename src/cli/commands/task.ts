// `pilotwave task`: calls of functions, and what became of them.
import { taskEnded, type TaskView } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit.ts';
import { endpointId, functionId, taskId } from '../lookups.ts';
import { duration } from '../render/time.ts';
import { finishTask } from '../task-end.ts';
import { countOption, durationOption } from '../values.ts';

interface ListOptions {
  readonly state?: string;
  readonly function?: string;
  readonly endpoint?: string;
  readonly group?: string;
  readonly limit: number;
}

async function list(context: Context, options: ListOptions): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const tasks = await client.tasks.list({
    state: options.state,
    group: options.group,
    limit: options.limit,
    function_id: options.function === undefined ? undefined : await functionId(client, options.function),
    endpoint_id: options.endpoint === undefined ? undefined : await endpointId(client, options.endpoint),
  });
  out.list(
    tasks,
    [
      { title: 'id', value: (task) => task.task_id },
      { title: 'status', value: (task) => task.status, paint: out.status },
      { title: 'submitted', value: (task) => out.when(task.submitted_at) },
      { title: 'took', value: (task) => (task.duration_s == null ? '' : duration(task.duration_s)) },
      { title: 'reason', value: (task) => task.reason ?? '', flexible: true },
    ],
    'No tasks: pilotwave function run FUNCTION',
  );
}

function workerText(worker: unknown): string | null {
  if (typeof worker !== 'object' || worker === null) return typeof worker === 'string' ? worker : null;
  const facts = Object.entries(worker).filter(
    ([, value]) => typeof value === 'string' || typeof value === 'number',
  );
  return facts.map(([name, value]) => `${name} ${value}`).join(', ');
}

function nextStep(task: TaskView): string {
  if (task.status === 'failed') return `pilotwave task logs ${task.task_id}`;
  return `pilotwave task result ${task.task_id}${taskEnded(task) ? '' : ' --wait'}`;
}

async function show(context: Context, text: string): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const task = await client.tasks.get(await taskId(client, text));
  out.document(task, [
    ['id', task.task_id],
    ['status', task.status],
    ['reason', task.reason],
    ['function', task.function_id],
    ['endpoint', task.endpoint_id],
    ['group', task.task_group_id],
    ['attempt', task.attempt],
    ['submitted', out.exactly(task.submitted_at)],
    ['started', out.exactly(task.started_at)],
    ['completed', out.exactly(task.completed_at)],
    ['took', task.duration_s == null ? null : duration(task.duration_s)],
    ['worker', workerText(task.worker)],
    ['exception', task.exception?.trimEnd().split('\n').at(-1)],
  ]);
  out.next(nextStep(task));
}

async function result(
  context: Context,
  text: string,
  options: { wait?: boolean; timeout?: number },
): Promise<void> {
  const client = await context.client();
  const id = await taskId(client, text);
  const wait = options.wait === true || options.timeout !== undefined;
  await finishTask(context, client, id, { wait, timeout_s: options.timeout, logs: false });
}

async function logs(
  context: Context,
  text: string,
  options: { stdout?: boolean; stderr?: boolean },
): Promise<void> {
  const client = await context.client();
  const found = await client.tasks.logs(await taskId(client, text));
  const one = options.stdout === true ? found.stdout : options.stderr === true ? found.stderr : null;
  if (context.out.json) context.out.value(found, '');
  else if (one !== null) context.out.raw(one);
  else {
    context.out.raw(found.stdout);
    // Its standard error on ours: a reader who wants one of them redirects the other.
    if (found.stderr !== '') context.io.err(found.stderr);
    if (found.stdout === '' && found.stderr === '') context.out.say('It printed nothing.');
  }
}

async function cancel(context: Context, texts: readonly string[]): Promise<void> {
  const client = await context.client();
  const answers = [];
  for (const text of texts) answers.push(await client.tasks.cancel(await taskId(client, text)));
  const lines = answers.map((answer) =>
    answer.cancelled
      ? `Cancelled ${answer.task_id}.`
      : `${answer.task_id} had ended before: ${answer.status}.`,
  );
  context.out.value(answers, lines.join('\n'));
  if (!answers.some((answer) => answer.cancelled)) context.endWith(EXIT.failed);
}

export function taskCommand(cli: Cli): void {
  const noun = cli.program.command('task').description('calls of functions');
  noun
    .command('list')
    .alias('ls')
    .description('tasks, newest first')
    .option('--state <state>', 'only in this state, such as running, success or failed')
    .option('--function <function>', 'only of this function')
    .option('--endpoint <endpoint>', 'only at this endpoint')
    .option('--group <id>', 'only of this task group')
    .option('--limit <n>', 'at most so many', countOption, 50)
    .action(cli.run(list));
  noun.command('show <task>').description('one task, and why it is where it is').action(cli.run(show));
  noun
    .command('result <task>')
    .description('what it returned, or why it failed')
    .option('--wait', 'wait until it has ended')
    .option('--timeout <duration>', 'wait at most so long; the task goes on', durationOption)
    .action(cli.run(result));
  noun
    .command('logs <task>')
    .description('what it printed: its standard output and standard error on ours')
    .option('--stdout', 'only its standard output')
    .option('--stderr', 'only its standard error, on standard output')
    .action(cli.run(logs));
  noun.command('cancel <tasks...>').description('end tasks, queued or running').action(cli.run(cancel));
}
