// How a manager process is asked to stop: signals, or the end of the pipe of the process that started it.
import type { ManagerHandle } from './shell.ts';

export interface StopSources {
  /** Stop when stdin ends: the parent holds the other end of it. */
  readonly parent_pipe: boolean;
}

/** Stops the manager on SIGTERM, SIGINT, SIGHUP and, when asked, with its parent. */
export function stopOnSignals(manager: ManagerHandle, sources: StopSources): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => void manager.stop(`it got ${signal}`));
  }
  if (!sources.parent_pipe) return;
  const parentGone = (): void => void manager.stop('the process that started it is gone');
  process.stdin.on('end', parentGone).on('close', parentGone).on('error', parentGone);
  process.stdin.resume();
}
