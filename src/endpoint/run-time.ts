// How long a function's tasks take, as seen lately, and what follows for how many of them travel together. Pure.
// A batch should be about 20 ms of work: shorter ones cost more to carry than to run, longer ones hold tasks
// back that another worker could have.

/** Work that one batch should hold, in seconds. */
const TARGET_S = 0.02;
/** From this on a task is slow: nothing is queued behind it. */
const SLOW_S = 0.1;
/** Below this, tasks are so short that a worker waits on the wire unless several batches are on their way. */
const SHORT_S = 0.005;

export interface RunTime {
  /** Exponentially weighted mean, in seconds; null until a task has ended. */
  mean_s: number | null;
}

export function newRunTime(): RunTime {
  return { mean_s: null };
}

/** Takes in that `tasks` tasks ran for `duration_s` seconds together. Rises faster than it falls: caution is cheap. */
export function observe(time: RunTime, tasks: number, duration_s: number): void {
  if (tasks <= 0 || !Number.isFinite(duration_s) || duration_s < 0) return;
  const sample_s = duration_s / tasks;
  if (time.mean_s === null) time.mean_s = sample_s;
  else time.mean_s += (sample_s > time.mean_s ? 0.5 : 0.2) * (sample_s - time.mean_s);
}

/** How many tasks make a batch, 1…`most`; 1 while nothing is known. */
export function batchSize(time: RunTime, most: number): number {
  if (time.mean_s === null) return 1;
  if (time.mean_s * most <= TARGET_S) return most;
  return Math.max(1, Math.floor(TARGET_S / time.mean_s));
}

/** Batches that may wait behind the one a worker runs. */
export function prefetch(time: RunTime): number {
  if (time.mean_s === null || time.mean_s >= SLOW_S) return 0;
  return time.mean_s >= SHORT_S ? 1 : 3;
}
