// Keeps one child running: starts it, and again after each end, later each time it ends young.

/** Wait before a restart: doubled after each young end, up to the longest; reset after a long life. */
const FIRST_WAIT_MS = 200;
const LONGEST_WAIT_MS = 10_000;
const GROWN_UP_MS = 30_000;

export interface Child {
  /** Resolves with the cause once it has ended. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface Supervised {
  stop(): Promise<void>;
}

/** How long to wait before the next start. */
export function nextWait(previous_ms: number, lived_ms: number): number {
  if (lived_ms >= GROWN_UP_MS || previous_ms === 0) return FIRST_WAIT_MS;
  return Math.min(previous_ms * 2, LONGEST_WAIT_MS);
}

export function supervise<C extends Child>(options: {
  readonly first: C;
  readonly start: () => Promise<C>;
  readonly now: () => number;
  /** Told of each unexpected end, and of each start that failed. */
  readonly onEnd: (why: string) => void;
  readonly onRestart: () => void;
}): Supervised {
  let child: C | null = options.first;
  let stopping = false;
  let cancelWait: (() => void) | null = null;

  const watch = async (): Promise<void> => {
    let wait_ms = 0;
    let born_ms = options.now();
    for (;;) {
      if (child !== null) {
        const why = await child.ended;
        child = null;
        if (stopping) return;
        options.onEnd(why);
      }
      wait_ms = nextWait(wait_ms, options.now() - born_ms);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, wait_ms);
        cancelWait = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      if (stopping) return;
      born_ms = options.now();
      try {
        child = await options.start();
        options.onRestart();
      } catch (error) {
        options.onEnd(String(error));
      }
    }
  };
  const watching = watch();

  return {
    async stop() {
      stopping = true;
      cancelWait?.();
      await child?.stop();
      await watching;
    },
  };
}
