// Keeps a steady rate: hands out items one by one, each at its time, until a signal ends it.
import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../clock.ts';

/** Waits that long, or until the signal; never rejects. */
export async function rest(duration_ms: number, signal: AbortSignal): Promise<void> {
  if (duration_ms <= 0 || signal.aborted) return;
  await wait(duration_ms, undefined, { signal }).catch(() => undefined);
}

/**
 * The items at `rate_hz` a second (0: at once), counted from the first, so that a slow one does not delay all that
 * follow. Ends early when the signal aborts.
 */
export async function* paced<T>(
  items: Iterable<T>,
  rate_hz: number,
  signal: AbortSignal,
  clock: Clock,
): AsyncGenerator<T> {
  const start = clock.now();
  let index = 0;
  for (const item of items) {
    if (rate_hz > 0) await rest(start + (1000 * index) / rate_hz - clock.now(), signal);
    if (signal.aborted) return;
    yield item;
    index++;
  }
}
