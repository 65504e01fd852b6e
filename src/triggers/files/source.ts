// The loop of a file source: scan everything now and then, look often at files that settle, store events for
// those that have. Notifications only make it look earlier.
import { join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../errors.ts';
import type { JsonObject } from '../../providers/contract.ts';
import type { Glob } from '../glob.ts';
import type { CloudEvent, SourceContext } from '../ports.ts';
import { fileCount, makeBook, nextDue_ms, noteStored, pathOf, readyFiles } from './book.ts';
import { trackOf, waitingFiles, type Book, type FilePlace, type ReadyFile } from './book.ts';
import { lookAll, realPath } from './calls.ts';
import { fileSystemOf, type FileSystem } from './file-system.ts';
import { makeNotices, type Notices } from './notices.ts';
import { HINT_GAP_MS, SCAN_GAP_MS, lookPause_ms, scanPause_ms } from './pace.ts';
import { lookAtSome, scanAll, type Scan, type ScanPlan, type Seen } from './scan.ts';
import type { SettleRules } from './settle.ts';

/** Events stored in one transaction. */
const BATCH = 500;
/** A notification is followed by more of the same write: wait for them. */
const HINT_MS = 15;
const EARLY_MS = 2;
/** A scan that takes longer is worth a line in the log. */
const SLOW_SCAN_MS = 5_000;

export interface FileWatch {
  readonly dir: string;
  readonly recursive: boolean;
  readonly wanted: Glob;
  readonly ignored: Glob;
  readonly rules: SettleRules;
  readonly poll_ms: number;
  readonly rename_is_complete: boolean;
  /** Files present at the trigger's first scan fire like others, or are noted only. */
  readonly existing: 'fire' | 'skip';
  /** The path of the file that must exist before this one is complete; null when none must. */
  readonly sentinelOf: ((path: string) => string) | null;
  /** The event of one file; `existed`: it was there before the trigger. */
  readonly eventOf: (file: ReadyFile, existed: boolean) => CloudEvent;
  /** The id that eventOf gives. */
  readonly idOf: (place: FilePlace, track: ReadyFile['track']) => string;
}

interface Source {
  readonly watch: FileWatch;
  readonly context: SourceContext;
  readonly book: Book;
  readonly notices: Notices;
  plan: ScanPlan | null;
  /** Files that wait for their sentinel. */
  held: Set<string>;
  /** The first scan has told which files existed before the trigger. */
  baseline: boolean;
  next_scan_ms: number;
  next_look_ms: number;
  /** Time of the latest look that a notification asked for. */
  last_hint_ms: number;
  look_took_ms: number;
  idle_scans: number;
  scan: Scan | null;
  scan_took_ms: number;
  scanned_at: number;
  events: number;
  failures: number;
}

/** Timers may ring a little before their time. */
function isTime(at_ms: number, now_ms: number): boolean {
  return now_ms >= at_ms - EARLY_MS;
}

async function checkRoots(root: string, roots: readonly string[] | null, remote: boolean): Promise<void> {
  if (roots === null) return;
  for (const allowed of roots) {
    const real = await realPath(allowed, remote).catch(() => null);
    if (real !== null && (root === real || root.startsWith(real.endsWith(sep) ? real : real + sep))) return;
  }
  throw new Error('the folder is not below one that this service may watch');
}

async function makePlan(source: Source): Promise<ScanPlan> {
  const { watch, context } = source;
  const file_system: FileSystem = await fileSystemOf(watch.dir);
  const root = await realPath(watch.dir, file_system.remote);
  await checkRoots(root, context.watch_roots, file_system.remote);
  const settle_ms = Math.max(watch.rules.settle_ms, file_system.min_settle_ms);
  return {
    root,
    recursive: watch.recursive,
    wanted: watch.wanted,
    ignored: watch.ignored,
    rename_is_complete: watch.rename_is_complete,
    rules: { ...watch.rules, settle_ms },
    file_system,
    elapsed: context.elapsed,
  };
}

/** Files seen for the first time since the start: those whose event is stored were told in an earlier life. */
async function recall(source: Source, plan: ScanPlan, fresh: readonly FilePlace[]): Promise<void> {
  for (let at = 0; at < fresh.length; at += 10 * BATCH) {
    const known = fresh.slice(at, at + 10 * BATCH).flatMap((place) => {
      const track = trackOf(source.book, place);
      return track === undefined ? [] : [{ place, track, id: source.watch.idOf(place, track) }];
    });
    const stored = await source.context.stored(known.map((one) => one.id));
    for (const one of known)
      if (stored.has(one.id)) noteStored(source.book, one.place, one.track, plan.rules);
  }
}

async function store(source: Source, plan: ScanPlan, files: readonly ReadyFile[]): Promise<void> {
  const existed = !source.baseline;
  for (let at = 0; at < files.length; at += BATCH) {
    if (source.context.signal.aborted) return;
    const batch = files.slice(at, at + BATCH);
    await source.context.emit(batch.map((file) => source.watch.eventOf(file, existed)));
    for (const file of batch) noteStored(source.book, file, file.track, plan.rules);
    source.events += batch.length;
  }
}

/** Of the files that have settled, those whose sentinel is there. They may have changed while they waited for
 *  it, so they are looked at once more. */
async function complete(
  source: Source,
  plan: ScanPlan,
  ready: readonly ReadyFile[],
): Promise<readonly ReadyFile[]> {
  const { sentinelOf } = source.watch;
  if (sentinelOf === null || ready.length === 0) return ready;
  const paths = ready.map((file) => join(plan.root, sentinelOf(pathOf(file))));
  const found = await lookAll(paths, plan.file_system.remote);
  const there = ready.filter((_, index) => !(found[index] instanceof Error));
  source.held = new Set(ready.filter((_, index) => found[index] instanceof Error).map(pathOf));
  if (there.length === 0) return there;
  await lookAtSome(source.book, plan, there);
  return readyFiles(source.book, plan.rules).filter((file) => !source.held.has(pathOf(file)));
}

/** With `existing: skip`, the files of the first scan are stored as seen and start nothing. */
async function markExisting(source: Source, plan: ScanPlan): Promise<void> {
  const files: ReadyFile[] = [...source.book.open.values()].flatMap((place) => {
    const track = trackOf(source.book, place);
    return track === undefined ? [] : [{ ...place, track, settled_for_s: 0 }];
  });
  await store(source, plan, files);
  await endBaseline(source);
}

async function endBaseline(source: Source): Promise<void> {
  if (source.baseline) return;
  await source.context.emit([], { baseline: true });
  source.baseline = true;
}

async function scan(source: Source): Promise<Seen> {
  const { context, watch } = source;
  const start_ms = context.elapsed();
  const plan = await makePlan(source);
  source.plan = plan;
  const seen = await scanAll(source.book, plan, context.signal);
  const took_ms = context.elapsed() - start_ms;
  source.scan = seen;
  source.scan_took_ms = took_ms;
  source.scanned_at = context.now();
  source.idle_scans = seen.fresh.length > 0 || source.book.open.size > 0 ? 0 : source.idle_scans + 1;
  const watching = plan.file_system.notifications === 'none' ? [] : seen.folders;
  const missed = source.notices.follow(watching);
  const trusted = plan.file_system.notifications === 'trusted' && source.notices.state() === 'on';
  const pause_ms = scanPause_ms(
    { poll_ms: watch.poll_ms, settle_ms: plan.rules.settle_ms, trusted },
    took_ms,
    source.idle_scans,
  );
  source.next_scan_ms = context.elapsed() + (missed ? Math.min(SCAN_GAP_MS, pause_ms) : pause_ms);
  if (took_ms > SLOW_SCAN_MS) context.log.warn({ took_ms, dir: watch.dir }, 'a scan took long');
  return seen;
}

async function look(source: Source, plan: ScanPlan): Promise<Seen> {
  const { context, book } = source;
  const start_ms = context.elapsed();
  const hints = source.notices.take();
  const settling = isTime(source.next_look_ms, start_ms) ? [...book.open.values()] : [];
  const seen = await lookAtSome(book, plan, [...settling, ...hints.places]);
  const end_ms = context.elapsed();
  if (hints.places.length > 0) source.last_hint_ms = end_ms;
  source.look_took_ms = end_ms - start_ms;
  if (hints.all || seen.folders_changed) {
    const soonest_ms = end_ms + Math.max(SCAN_GAP_MS, 4 * source.scan_took_ms);
    source.next_scan_ms = Math.min(source.next_scan_ms, soonest_ms);
  }
  return seen;
}

async function turn(source: Source): Promise<void> {
  const { context, book } = source;
  const full = source.plan === null || isTime(source.next_scan_ms, context.elapsed());
  if (full) source.notices.take();
  const seen = full ? await scan(source) : await look(source, source.plan as ScanPlan);
  const plan = source.plan as ScanPlan;
  await recall(source, plan, seen.fresh);
  if (!source.baseline && source.watch.existing === 'skip') await markExisting(source, plan);
  else {
    await endBaseline(source);
    await store(source, plan, await complete(source, plan, readyFiles(book, plan.rules)));
  }
  const now_ms = context.elapsed();
  const due_ms = nextDue_ms(book, now_ms, plan.rules, source.held);
  const pace = { poll_ms: source.watch.poll_ms, settle_ms: plan.rules.settle_ms, trusted: true };
  const wait_ms = lookPause_ms(pace, source.look_took_ms, book.open.size > 0 ? (due_ms ?? 1_000) : null);
  source.next_look_ms = wait_ms === null ? Infinity : now_ms + wait_ms;
}

function healthOf(source: Source, error: string | null): JsonObject {
  const { book, context, plan, scan } = source;
  const now_ms = context.elapsed();
  return {
    state: error === null ? 'watching' : 'trouble',
    ...(error === null ? {} : { error }),
    dir: source.watch.dir,
    file_system: plan?.file_system.name ?? null,
    notifications: source.notices.state(),
    settle_s: (plan?.rules.settle_ms ?? source.watch.rules.settle_ms) / 1_000,
    files: fileCount(book),
    events: source.events,
    vanished: book.vanished,
    open: book.open.size,
    waiting: (plan === null ? [] : waitingFiles(book, now_ms, plan.rules, 10)).map(({ path, why }) => ({
      path,
      why: source.held.has(path) ? `waiting for ${source.watch.sentinelOf?.(path) ?? ''}` : why,
    })),
    last_scan_at: source.scanned_at === 0 ? null : new Date(source.scanned_at).toISOString(),
    last_scan_ms: Math.round(source.scan_took_ms),
    next_scan_in_s: Math.max(0, Math.round((source.next_scan_ms - now_ms) / 100) / 10),
    trouble: scan?.trouble ?? [],
    skipped: { count: scan?.skipped.count ?? 0, examples: scan?.skipped.examples ?? [] },
  };
}

/** What the wait is woken by: a hint, the end of the time, or the end of the source. */
interface Alarm {
  readonly ring: () => void;
  /** Forgets rings so far: what they told is about to be looked at. */
  readonly clear: () => void;
  /** Answers true when it was woken before the time. */
  readonly wait: (ms: number) => Promise<boolean>;
}

function makeAlarm(signal: AbortSignal): Alarm {
  let rung = false;
  let release: (() => void) | null = null;
  signal.addEventListener('abort', () => release?.(), { once: true });
  return {
    ring() {
      rung = true;
      release?.();
    },
    clear() {
      rung = false;
    },
    wait: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(() => finish(), Math.max(0, ms));
        const finish = (): void => {
          clearTimeout(timer);
          release = null;
          resolve(rung);
        };
        release = finish;
        if (rung || signal.aborted) finish();
      }),
  };
}

async function rest(source: Source, alarm: Alarm): Promise<void> {
  const { context } = source;
  const until_ms = Math.min(source.next_scan_ms, source.next_look_ms);
  const woken = await alarm.wait(until_ms - context.elapsed());
  if (!woken || context.signal.aborted) return;
  // Let the writer's next notifications come in, and keep the distance between looks that they ask for.
  const since_ms = context.elapsed() - source.last_hint_ms;
  const pause_ms = Math.max(HINT_MS, HINT_GAP_MS - since_ms);
  await sleep(pause_ms, undefined, { signal: context.signal }).catch(() => undefined);
}

/** Watches until the signal aborts. Trouble with the folder or the database is reported, and tried again. */
export async function watchFiles(watch: FileWatch, context: SourceContext): Promise<void> {
  const alarm = makeAlarm(context.signal);
  const notices = makeNotices(alarm.ring);
  const source: Source = {
    watch,
    context,
    book: makeBook(),
    notices,
    plan: null,
    held: new Set(),
    baseline: (await context.loadCursor())?.baseline === true,
    next_scan_ms: 0,
    next_look_ms: Infinity,
    last_hint_ms: 0,
    look_took_ms: 0,
    idle_scans: 0,
    scan: null,
    scan_took_ms: 0,
    scanned_at: 0,
    events: 0,
    failures: 0,
  };
  try {
    while (!context.signal.aborted) {
      let trouble: string | null = null;
      alarm.clear();
      try {
        await turn(source);
        source.failures = 0;
      } catch (error) {
        trouble = await afterTrouble(source, error);
      }
      context.report(healthOf(source, trouble));
      await rest(source, alarm);
    }
  } finally {
    notices.close();
  }
}

/** Everything is looked at again after a pause that grows; answers the trouble in words. */
async function afterTrouble(source: Source, error: unknown): Promise<string> {
  const { context, watch } = source;
  const gone = (error as NodeJS.ErrnoException).code === 'ENOENT';
  source.failures++;
  source.plan = null;
  source.notices.follow([]);
  source.next_look_ms = Infinity;
  const pause_ms = Math.min(watch.poll_ms, 250 * 2 ** Math.min(source.failures, 8));
  source.next_scan_ms = context.elapsed() + pause_ms;
  if (gone) {
    // A folder that is not there holds no files: those that come with it later are new.
    source.book.folders.clear();
    source.book.open.clear();
    await endBaseline(source).catch(() => undefined);
  }
  const words = gone ? `${watch.dir} is not there` : messageOf(error);
  if (source.failures === 1) context.log.warn({ err: error, dir: watch.dir }, 'a file source has trouble');
  return words;
}
