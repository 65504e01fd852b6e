// Waiting for a task, run or action, as a person lives it: progress while it changes, and Ctrl-C that asks.
import type { Context } from './context.ts';
import { CliError, EXIT } from './exit.ts';

export interface Waiting {
  /** `task 7f3c…` */
  readonly what: string;
  /** Shows how it is going. */
  readonly show_command: string;
  readonly cancel: () => Promise<unknown>;
}

const INTERRUPTED = Symbol('interrupted');

/** Waits with a signal that aborts on Ctrl-C; then asks whether to leave the work running or to cancel it. Without
 *  a person to ask it is left running. Always throws after Ctrl-C. */
export async function interruptible<T>(
  context: Context,
  waiting: Waiting,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stop = new AbortController();
  const off = context.io.onInterrupt(() => stop.abort(INTERRUPTED));
  try {
    return await work(stop.signal);
  } catch (error) {
    if (error !== INTERRUPTED) throw error;
  } finally {
    off();
  }
  const answer = context.io.asks
    ? await context.io.ask(`\nLeave ${waiting.what} running, or cancel it? [leave/cancel] `).catch(() => '')
    : '';
  if (/^c/i.test(answer.trim())) {
    await waiting.cancel();
    throw new CliError(EXIT.interrupted, `Cancelled ${waiting.what}.`);
  }
  throw new CliError(EXIT.interrupted, `Stopped waiting; ${waiting.what} goes on.`, {
    remedy: `see how it goes: ${waiting.show_command}`,
  });
}

/** The error for a wait that is over before the work is. */
export function waitedLongEnough(waiting: Waiting, timeout_s: number | undefined, state: string): CliError {
  const long = timeout_s === undefined ? '' : ` after ${timeout_s} s`;
  return new CliError(EXIT.timeout, `${waiting.what} has not ended${long}: ${state}.`, {
    whose: 'nobody: it goes on',
    remedy: `see how it goes: ${waiting.show_command}`,
    code: 'wait_timeout',
  });
}

/** Says each new text once. */
export function changes(say: (text: string) => void): (text: string) => void {
  let last = '';
  return (text) => {
    if (text !== last) say(text);
    last = text;
  };
}
