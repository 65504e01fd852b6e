// `pilotwave run`: executions of flows.
import { runEnded, type LogEntry, type RunDocument } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { flowId, runId } from '../lookups.ts';
import { duration } from '../render/time.ts';
import { runStateText, stateName, tellRunEnd, waitingForRun } from '../run-end.ts';
import { countOption, durationOption } from '../values.ts';
import { interruptible, waitedLongEnough } from '../wait.ts';

interface ListOptions {
  readonly state?: string;
  readonly flow?: string;
  readonly label?: string;
  readonly limit: number;
}

/** How long it took, or has taken so far. */
function took(run: RunDocument, now: number): string {
  const end = run.completion_time === null ? now : Date.parse(run.completion_time);
  const span_s = (end - Date.parse(run.start_time)) / 1000;
  return Number.isNaN(span_s) ? '' : duration(span_s);
}

async function list(context: Context, options: ListOptions): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const runs = await client.runs.list({
    status: options.state?.toUpperCase(),
    flow_id: options.flow === undefined ? undefined : await flowId(client, options.flow),
    label: options.label,
    limit: options.limit,
  });
  out.list(
    runs,
    [
      { title: 'id', value: (run) => run.run_id },
      { title: 'status', value: (run) => run.status, paint: out.status },
      { title: 'started', value: (run) => out.when(run.start_time) },
      { title: 'took', value: (run) => took(run, out.now()) },
      { title: 'flow', value: (run) => run.flow_title, flexible: true },
      { title: 'label', value: (run) => run.label ?? '', flexible: true },
    ],
    'No runs: pilotwave flow start FLOW',
  );
}

async function show(context: Context, text: string): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const run = await client.runs.get(await runId(client, text));
  const output = run.details?.['output'];
  out.document(run, [
    ['id', run.run_id],
    ['status', runStateText(run)],
    ['flow', `${run.flow_title} (${run.flow_id})`],
    ['label', run.label],
    ['tags', run.tags.join(', ')],
    ['started', out.exactly(run.start_time)],
    ['completed', out.exactly(run.completion_time)],
    ['took', took(run, out.now())],
    ['output', output === undefined ? null : JSON.stringify(output)],
    ['details', run.status === 'FAILED' ? JSON.stringify(run.details?.['details'] ?? {}) : null],
  ]);
  out.next(runEnded(run) ? `pilotwave run logs ${run.run_id}` : `pilotwave run watch ${run.run_id}`);
}

function logLine(context: Context, entry: LogEntry): string {
  const name = stateName(entry);
  return `${context.out.at(entry.time)}  ${entry.code}${name === '' ? '' : `  ${name}`}  ${entry.description}`;
}

async function watch(context: Context, text: string, options: { timeout?: number }): Promise<void> {
  const client = await context.client();
  const id = await runId(client, text);
  const waiting = waitingForRun(client, id);
  const run = await interruptible(context, waiting, (signal) =>
    client.runs.follow(id, (entry) => context.out.say(logLine(context, entry)), {
      timeout_s: options.timeout,
      signal,
    }),
  );
  if (!runEnded(run)) throw waitedLongEnough(waiting, options.timeout, runStateText(run));
  tellRunEnd(context, run);
}

async function logs(
  context: Context,
  text: string,
  options: { limit: number; details?: boolean },
): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const entries = await client.runs.log(await runId(client, text), { limit: options.limit });
  out.list(
    entries,
    [
      { title: 'time', value: (entry) => out.when(entry.time) },
      { title: 'code', value: (entry) => entry.code },
      { title: 'state', value: stateName },
      { title: 'description', value: (entry) => entry.description, flexible: true },
      ...(options.details === true
        ? [
            {
              title: 'details',
              value: (entry: LogEntry) => JSON.stringify(entry.details ?? {}),
              flexible: true,
            },
          ]
        : []),
    ],
    'The log is empty.',
  );
  if (options.details !== true && entries.length > 0) out.next(`pilotwave run logs ${text} --details`);
}

async function cancel(context: Context, text: string): Promise<void> {
  const client = await context.client();
  const run = await client.runs.cancel(await runId(client, text));
  context.out.value(run, `${run.run_id}: ${runStateText(run)}`);
}

export function runCommand(cli: Cli): void {
  const noun = cli.program.command('run').description('executions of flows');
  noun
    .command('list')
    .alias('ls')
    .description('runs, newest first')
    .option('--state <state>', 'only ACTIVE, INACTIVE, SUCCEEDED or FAILED')
    .option('--flow <flow>', 'only of this flow')
    .option('--label <text>', 'only with this in the label')
    .option('--limit <n>', 'at most so many', countOption, 50)
    .action(cli.run(list));
  noun.command('show <run>').description('one run, and what it does or waits for').action(cli.run(show));
  noun
    .command('watch <run>')
    .description('follow it to its end, then print its output')
    .option('--timeout <duration>', 'watch at most so long; the run goes on', durationOption)
    .action(cli.run(watch));
  noun
    .command('logs <run>')
    .description('what happened, step by step')
    .option('--limit <n>', 'at most so many entries', countOption, 1000)
    .option('--details', 'with inputs and outputs')
    .action(cli.run(logs));
  noun.command('cancel <run>').description('end it and what it has started').action(cli.run(cancel));
}
