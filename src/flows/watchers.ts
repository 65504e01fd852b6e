// Those who wait for the end of a run. Ends that this process sees wake them at once; ends that happen in another
// process that shares the database are found by looking.
import type { ActionStatusName } from '../lifecycle.ts';
import { isFinal } from '../lifecycle.ts';

export interface Watchers {
  /** A step of a run was stored. */
  changed(runId: string, status: ActionStatusName): void;
  /** Resolves when the run has ended, is gone, or the time is over. */
  untilEnd(runId: string, timeout_ms: number): Promise<void>;
  stop(): void;
}

const LOOK_MS = 1_000;
const MOST_WATCHERS = 10_000;

export function makeWatchers(look: (runId: string) => Promise<ActionStatusName | undefined>): Watchers {
  const waiting = new Map<string, Set<() => void>>();
  let count = 0;
  let stopped = false;

  const ring = (runId: string): void => {
    for (const wake of waiting.get(runId) ?? []) wake();
  };

  const rest = (runId: string, wait_ms: number): Promise<void> =>
    new Promise((resolve) => {
      const bells = waiting.get(runId) ?? new Set<() => void>();
      waiting.set(runId, bells);
      const wake = (): void => {
        clearTimeout(timer);
        bells.delete(wake);
        if (bells.size === 0) waiting.delete(runId);
        resolve();
      };
      const timer = setTimeout(wake, wait_ms);
      bells.add(wake);
    });

  return {
    changed(runId, status) {
      if (isFinal(status)) ring(runId);
    },
    async untilEnd(runId, timeout_ms) {
      if (count >= MOST_WATCHERS) return;
      count += 1;
      try {
        const end = performance.now() + timeout_ms;
        for (let left = timeout_ms; left > 0 && !stopped; left = end - performance.now()) {
          // The bell is hung up before the look, so that an end in between rings it.
          const bell = rest(runId, Math.min(LOOK_MS, left));
          const status = await look(runId);
          if (status === undefined || isFinal(status)) {
            ring(runId);
            return;
          }
          await bell;
        }
      } finally {
        count -= 1;
      }
    },
    stop() {
      stopped = true;
      for (const runId of [...waiting.keys()]) ring(runId);
    },
  };
}
