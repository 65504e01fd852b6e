// When is a file complete? Pure. A file is compared with itself as it was seen before, never with a clock of
// another machine: it has settled when size, mtime, ctime and inode stayed the same over `settle_ms` of our own
// clock and over `checks` looks.

/** One look at one file; numbers too large for a double are decimal text. */
export interface Look {
  readonly inode: string;
  readonly size: number;
  readonly mtime_ns: string;
  readonly ctime_ns: string;
  /** Time of birth; '0' where the file system has none. */
  readonly born_ns: string;
}

/** The look happened at some moment of this span, by our clock. */
export interface LookSpan {
  readonly from_ms: number;
  readonly to_ms: number;
}

/** What is remembered of a file between two looks. */
export interface Track {
  readonly inode: string;
  readonly size: number;
  readonly mtime_ns: string;
  readonly ctime_ns: string;
  /** First time it was seen as it is now, by our clock. */
  readonly since_ms: number;
  /** Latest time it was seen like this. */
  readonly seen_ms: number;
  /** How often it was seen like this. */
  readonly looks: number;
  /** It was renamed from a name that marks unfinished files: complete at once. */
  readonly renamed: boolean;
  /** The version (see versionOf) whose event is stored; '' when none is. */
  readonly stored: string;
}

export interface SettleRules {
  readonly settle_ms: number;
  /** Looks that must agree. */
  readonly checks: number;
  readonly min_size: number;
  /** What a change after the event means: a new event, or nothing. */
  readonly on_change: 'fire' | 'ignore';
}

type Version = Pick<Look, 'inode' | 'size' | 'mtime_ns'>;

/** What makes an event of a file one and the same: the file, its length and when it was last written. */
export function versionOf(file: Version): string {
  return `${file.inode}:${file.size}:${file.mtime_ns}`;
}

function sameAs(track: Track, look: Look): boolean {
  return (
    track.mtime_ns === look.mtime_ns &&
    track.size === look.size &&
    track.inode === look.inode &&
    track.ctime_ns === look.ctime_ns
  );
}

/**
 * The track after one more look. A span counts with its late end for the first look and with its early end for a
 * later one, so that a slow look never makes the time between two looks longer than it was. `renamed` says that
 * this look found the file under its final name for the first time.
 */
export function observe(before: Track | undefined, look: Look, span: LookSpan, renamed = false): Track {
  if (before !== undefined && sameAs(before, look))
    return { ...before, seen_ms: Math.max(before.seen_ms, span.from_ms), looks: before.looks + 1 };
  return {
    inode: look.inode,
    size: look.size,
    mtime_ns: look.mtime_ns,
    ctime_ns: look.ctime_ns,
    since_ms: span.to_ms,
    seen_ms: span.to_ms,
    looks: 1,
    renamed,
    stored: before?.stored ?? '',
  };
}

/** Is there nothing more to be told about the file as it is now? */
export function isDone(track: Track, rules: SettleRules): boolean {
  return track.stored !== '' && (rules.on_change === 'ignore' || track.stored === versionOf(track));
}

/** Is its event due? Judged over the time between the first and the latest look, not up to now: what happened
 *  to the file after the latest look is not known. */
export function isDue(track: Track, rules: SettleRules): boolean {
  if (isDone(track, rules) || track.size < rules.min_size) return false;
  return track.renamed || (track.seen_ms - track.since_ms >= rules.settle_ms && track.looks >= rules.checks);
}

/** Milliseconds until a look could find the file settled; 0 when it can now. */
export function remaining_ms(track: Track, now_ms: number, rules: SettleRules): number {
  return track.renamed ? 0 : Math.max(0, track.since_ms + rules.settle_ms - now_ms);
}

/** Why the file's event is not stored yet, for people. */
export function whyWaiting(track: Track, now_ms: number, rules: SettleRules): string {
  if (track.size < rules.min_size) return `smaller than ${rules.min_size} bytes`;
  const left_ms = remaining_ms(track, now_ms, rules);
  if (left_ms > 0) return `settling, ${(left_ms / 1_000).toFixed(1)} s left`;
  return isDue(track, rules) ? 'settled' : 'settling, one more look';
}
