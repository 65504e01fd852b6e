// How a manager process is asked to stop: signals, or the end of the pipe of the process that started it.
import type { ManagerHandle } from './options.ts';

export interface StopSources {
  /** Stop when stdin ends: the parent holds the other end of it. */
  readonly parent_pipe: boolean;
}

/** Stops the manager on SIGTERM, SIGINT, SIGHUP and, when asked, with its parent. Lets go of them when it is over. */
export function stopOnSignals(manager: ManagerHandle, sources: StopSources): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const stop = (): void => void manager.stop(`it got ${signal}`);
    process.on(signal, stop);
    void manager.finished.then(() => process.off(signal, stop));
  }
  if (!sources.parent_pipe) return;
  void manager.finished.then(() => process.stdin.destroy());
  const parentGone = (): void => void manager.stop('the process that started it is gone');
  process.stdin.on('end', parentGone).on('close', parentGone).on('error', parentGone);
  process.stdin.resume();
}
