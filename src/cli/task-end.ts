// The end of a task as a person meets it: wait, then its result on standard output, or why there is none.
import type { Client } from '../sdk/client.ts';
import { taskEnded, type TaskView } from '../sdk/documents.ts';
import type { Context } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { duration } from './render/time.ts';
import { changes, interruptible, waitedLongEnough, type Waiting } from './wait.ts';

export interface FinishOptions {
  readonly wait: boolean;
  readonly timeout_s?: number | undefined;
  /** Show what the task printed, on standard error. */
  readonly logs: boolean;
}

/** Why it is where it is, in the service's words, which begin with the state. */
export function stateText(task: TaskView): string {
  return task.reason == null || task.reason === '' ? task.status : task.reason;
}

async function showLogs(context: Context, client: Client, id: string): Promise<void> {
  const { stdout, stderr } = await client.tasks.logs(id);
  for (const text of [stdout, stderr]) if (text !== '') context.out.say(text.replace(/\n$/, ''));
}

/** Whose fault, by what the service says of a failed task. */
const WHOSE: Readonly<Record<string, string>> = {
  'user failure': "the function's: it raised this",
  'system failure': "this system's, or that of the site where it ran",
};

/** A failed task as an error: the exception's own line first, the whole traceback as the reason. */
function failure(task: TaskView): CliError {
  const text = (task.exception ?? 'no reason was given').trimEnd();
  const last_line = text.split('\n').findLast((line) => line.trim() !== '') ?? text;
  const what = task.cancelled === true ? 'was cancelled' : 'failed';
  return new CliError(EXIT.failed, `Task ${task.task_id} ${what}: ${last_line.trim()}`, {
    why: text === last_line ? undefined : text,
    where: `endpoint ${task.endpoint_id}${(task.attempt ?? 0) > 1 ? `, attempt ${task.attempt}` : ''}`,
    whose: WHOSE[task.reason ?? ''],
    remedy: `what it printed: pilotwave task logs ${task.task_id}`,
    code: 'task_failed',
  });
}

/** Prints the value; a result that JSON cannot say is printed as the buffer it is. */
export function printResult(context: Context, task: TaskView): void {
  const { out } = context;
  if (task.output !== undefined) {
    out.value(
      out.json ? task : task.output,
      typeof task.output === 'string' ? task.output : JSON.stringify(task.output, null, 2),
    );
    return;
  }
  out.warn(
    'the result is a Python object that is not JSON; here is its serialised form, for a Python client',
  );
  out.value(task, task.result ?? '');
}

/** Gets a task's end and shows it. Throws CliError failed when it failed, timeout when it has not ended. */
export async function finishTask(
  context: Context,
  client: Client,
  id: string,
  options: FinishOptions,
): Promise<void> {
  const waiting: Waiting = {
    what: `Task ${id}`,
    show_command: `pilotwave task show ${id}`,
    cancel: () => client.tasks.cancel(id),
  };
  const say = changes((text) => context.out.say(text));
  const task = options.wait
    ? await interruptible(context, waiting, (signal) =>
        client.tasks.wait(id, {
          timeout_s: options.timeout_s,
          signal,
          onLook: (view) => {
            if (!taskEnded(view)) say(`Task ${id}: ${stateText(view)}`);
          },
        }),
      )
    : await client.tasks.get(id);
  if (!taskEnded(task))
    throw waitedLongEnough(waiting, options.wait ? options.timeout_s : undefined, stateText(task));
  if (options.logs) await showLogs(context, client, id);
  if (task.status === 'failed') throw failure(task);
  if (task.duration_s != null) context.out.say(`Task ${id}: success in ${duration(task.duration_s)}`);
  printResult(context, task);
}
