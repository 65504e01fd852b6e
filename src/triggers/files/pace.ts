// When does a file source look again? Pure.

export interface PaceRules {
  /** Milliseconds between two scans of everything. */
  readonly poll_ms: number;
  readonly settle_ms: number;
  /** Notifications are complete, so an idle folder may be scanned less often. */
  readonly trusted: boolean;
}

/** Looks at files that settle are never closer together than this. */
export const LOOK_GAP_MS = 100;
/** Looks that notifications ask for are never closer together than this. */
export const HINT_GAP_MS = 30;
/** Timers may ring a millisecond early. */
const LATE_MS = 2;
/** A look at the moment when a file can settle may come this soon after another. */
const DUE_GAP_MS = 10;
/** A forced scan (notifications ran over, a folder appeared) keeps this distance at least. */
export const SCAN_GAP_MS = 250;
const LONGEST_POLL_MS = 60_000;
/** Scans without news after which the poll interval starts to double. */
const IDLE_SCANS = 6;

/** Milliseconds to the next scan: never more than a tenth of the time goes into scanning. */
export function scanPause_ms(rules: PaceRules, took_ms: number, idle_scans: number): number {
  const longest_ms = Math.max(rules.poll_ms, LONGEST_POLL_MS);
  const doublings = rules.trusted ? Math.max(0, idle_scans - IDLE_SCANS) : 0;
  const idle_ms = Math.min(longest_ms, rules.poll_ms * 2 ** Math.min(doublings, 20));
  return Math.max(idle_ms, Math.min(10 * took_ms, LONGEST_POLL_MS));
}

/** Milliseconds to the next look at files that settle; null when none does. `due_ms`: to the first that can. */
export function lookPause_ms(rules: PaceRules, took_ms: number, due_ms: number | null): number | null {
  if (due_ms === null) return null;
  const often_ms = Math.max(LOOK_GAP_MS, 4 * took_ms, rules.settle_ms / 2);
  if (due_ms > often_ms) return often_ms;
  // A little late rather than early; a file that could have settled already waits the full gap.
  return Math.max(due_ms + LATE_MS, 4 * took_ms, due_ms === 0 ? LOOK_GAP_MS : DUE_GAP_MS);
}
