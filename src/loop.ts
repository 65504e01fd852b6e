// A background loop: runs one bounded turn, waits, runs again; can be woken early and stopped for good.
import type { Logger } from './log.ts';

export interface Loop {
  /** Runs the next turn now instead of after the interval. Many wakes before the turn count as one. */
  wake(): void;
  /** Ends the loop after the turn in progress; safe to call twice and before the first turn. */
  stop(): Promise<void>;
}

export interface LoopOptions {
  readonly name: string;
  /** Wait between two turns, in milliseconds. */
  readonly interval_ms: number;
  readonly log: Logger;
  /** One turn. Answer true when there is more to do at once. An error is logged and the loop goes on. */
  readonly turn: (signal: AbortSignal) => Promise<boolean | void>;
}

/** Starts a loop; its first turn runs at once. */
export function startLoop(options: LoopOptions): Loop {
  const abort = new AbortController();
  let woken = false;
  let release: (() => void) | null = null;

  const rest = (): Promise<void> =>
    new Promise((resolve) => {
      if (woken || abort.signal.aborted) return resolve();
      const timer = setTimeout(resolve, options.interval_ms);
      release = () => {
        clearTimeout(timer);
        resolve();
      };
    });

  const run = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      woken = false;
      let more: boolean | void = false;
      try {
        more = await options.turn(abort.signal);
      } catch (error) {
        if (!abort.signal.aborted)
          options.log.error({ err: error, loop: options.name }, 'a loop turn failed');
      }
      if (more !== true) await rest();
      release = null;
    }
  };

  const running = run();
  return {
    wake() {
      woken = true;
      release?.();
    },
    async stop() {
      abort.abort();
      release?.();
      await running;
    },
  };
}
