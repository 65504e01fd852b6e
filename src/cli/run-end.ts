// The end of a run as a person meets it: its output on standard output, or why there is none.
import type { Client } from '../sdk/client.ts';
import { runEnded, type LogEntry, type RunDocument } from '../sdk/documents.ts';
import type { Context } from './context.ts';
import { CliError, EXIT } from './exit.ts';
import { changes, interruptible, waitedLongEnough, type Waiting } from './wait.ts';

export function waitingForRun(client: Client, id: string): Waiting {
  return {
    what: `Run ${id}`,
    show_command: `pilotwave run show ${id}`,
    cancel: () => client.runs.cancel(id),
  };
}

/** `ACTIVE: what it does or waits for`. */
export function runStateText(run: RunDocument): string {
  const said = run.details?.['description'];
  const more = typeof said === 'string' ? said : run.display_status;
  return more === undefined || more === null || more === run.status ? run.status : `${run.status}: ${more}`;
}

/** The name of the state a log entry is about. */
export function stateName(entry: LogEntry): string {
  const name = entry.details?.['state_name'];
  return typeof name === 'string' ? name : '';
}

function text(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
}

/** Shows the end of a run that has one. Throws CliError failed when it did not succeed. */
export function tellRunEnd(context: Context, run: RunDocument): void {
  if (run.status !== 'SUCCEEDED') {
    const said = runStateText(run).replace(/^FAILED: /, '');
    const why = text(run.details?.['details'] ?? run.details?.['cause']);
    throw new CliError(EXIT.failed, `Run ${run.run_id} failed: ${said}`, {
      why: why === undefined || why === '{}' || said.includes(why) ? undefined : why,
      where: `flow "${run.flow_title}"`,
      remedy: `what happened, step by step: pilotwave run logs ${run.run_id}`,
      code: 'run_failed',
    });
  }
  context.out.value(run, JSON.stringify(run.details?.['output'] ?? {}, null, 2));
}

/** Waits for a run and shows its end. Throws CliError failed, or timeout when it has not ended. */
export async function finishRun(
  context: Context,
  client: Client,
  id: string,
  options: { readonly timeout_s?: number | undefined },
): Promise<void> {
  const say = changes((line) => context.out.say(line));
  const waiting = waitingForRun(client, id);
  const run = await interruptible(context, waiting, (signal) =>
    client.runs.wait(id, {
      timeout_s: options.timeout_s,
      signal,
      onLook: (now) => {
        if (!runEnded(now)) say(`Run ${id}: ${runStateText(now)}`);
      },
    }),
  );
  if (!runEnded(run)) throw waitedLongEnough(waiting, options.timeout_s, runStateText(run));
  tellRunEnd(context, run);
}
