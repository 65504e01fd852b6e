// How many blocks there should be. Pure: says what to submit and cancel, and why, so that every block can be
// explained from one line of the log.

export interface ScalingLimits {
  readonly min_blocks: number;
  readonly max_blocks: number;
  /** Workers one block brings. */
  readonly slots_per_block: number;
  /** A block above the minimum is given back after this long without a task. */
  readonly idle_ms: number;
}

export interface BlockView {
  readonly block_id: string;
  /** Tasks its executors have. */
  readonly tasks: number;
  /** Since when it has none; null while it has some or is not connected yet. */
  readonly idle_since_ms: number | null;
}

export interface Scaling {
  readonly submit: number;
  readonly cancel: readonly string[];
  readonly why: string;
}

const NOTHING: Scaling = { submit: 0, cancel: [], why: '' };

/** `outstanding` counts every task without a result; `not_before_ms` is when the next submission may be tried. */
export function decideScaling(
  blocks: readonly BlockView[],
  outstanding: number,
  limits: ScalingLimits,
  not_before_ms: number,
  now: number,
): Scaling {
  const needed = Math.ceil(outstanding / Math.max(1, limits.slots_per_block));
  const wanted = Math.max(limits.min_blocks, Math.min(limits.max_blocks, needed));
  if (blocks.length < wanted) {
    if (now < not_before_ms) return NOTHING;
    const submit = wanted - blocks.length;
    return {
      submit,
      cancel: [],
      why: `${outstanding} tasks and ${blocks.length} blocks: ${wanted} are wanted`,
    };
  }
  const spare = blocks.length - wanted;
  if (spare === 0) return NOTHING;
  const idle = blocks.filter(
    (block) =>
      block.tasks === 0 && block.idle_since_ms !== null && now - block.idle_since_ms >= limits.idle_ms,
  );
  const cancel = idle
    .sort((one, other) => (one.idle_since_ms ?? 0) - (other.idle_since_ms ?? 0))
    .slice(0, spare)
    .map((block) => block.block_id);
  return cancel.length === 0
    ? NOTHING
    : { submit: 0, cancel, why: `${cancel.length} blocks above the wanted ${wanted} are idle` };
}

export interface Breaker {
  /** Blocks in a row that ended before they were of any use. */
  readonly failures: number;
  readonly not_before_ms: number;
  /** Why the last one ended; null while blocks work. */
  readonly reason: string | null;
}

export const BREAKER_CLOSED: Breaker = { failures: 0, not_before_ms: 0, reason: null };

const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 60_000;

/** After a block that ended young: a pause that doubles, the first of them a second. */
export function blockFailed(breaker: Breaker, reason: string, now: number): Breaker {
  const failures = Math.min(breaker.failures + 1, 30);
  const not_before_ms = now + Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** (failures - 1));
  return { failures, not_before_ms, reason };
}
