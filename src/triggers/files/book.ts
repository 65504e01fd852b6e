// What a file source remembers of its folder: one track per file, and which files are not done yet. Memory only:
// after a restart the stored events say what was told before. No I/O and no clock of its own.
import { isDone, isDue, observe, remaining_ms, versionOf, whyWaiting } from './settle.ts';
import type { Look, LookSpan, SettleRules, Track } from './settle.ts';

/** A file by its folder (relative to the watched one, '' for itself) and name. */
export interface FilePlace {
  readonly folder: string;
  readonly name: string;
}

export interface ReadyFile extends FilePlace {
  readonly track: Track;
  readonly settled_for_s: number;
}

/** Unfinished names remembered at most; more only means that some renames wait for the settle time. */
const MAX_UNFINISHED = 10_000;

export interface Book {
  /** Tracks by folder, then name. */
  readonly folders: Map<string, Map<string, Track>>;
  /** Files whose event is not stored, by relative path. */
  readonly open: Map<string, FilePlace>;
  /** Files under a name that marks unfinished ones, by identity: folder, inode and time of birth. */
  readonly unfinished: Map<string, string>;
  /** Files that went away before their event was stored. */
  vanished: number;
}

export function makeBook(): Book {
  return { folders: new Map(), open: new Map(), unfinished: new Map(), vanished: 0 };
}

export function pathOf(place: FilePlace): string {
  return place.folder === '' ? place.name : `${place.folder}/${place.name}`;
}

/** The inode number alone is not enough: a new file may get that of a deleted one. Without a time of birth no
 *  rename is recognised. */
function identity(folder: string, look: Look): string | null {
  return look.born_ns === '0' ? null : `${folder}\0${look.inode}\0${look.born_ns}`;
}

/** Notes a file that has a name which marks unfinished ones. */
export function noteUnfinished(book: Book, place: FilePlace, look: Look): void {
  const key = identity(place.folder, look);
  if (key === null) return;
  book.unfinished.delete(key);
  book.unfinished.set(key, place.name);
  if (book.unfinished.size > MAX_UNFINISHED) {
    const oldest = book.unfinished.keys().next();
    if (oldest.done !== true) book.unfinished.delete(oldest.value);
  }
}

/** Notes one look at a file. Answers true when the file was not in the book. */
export function noteFile(
  book: Book,
  place: FilePlace,
  look: Look,
  span: LookSpan,
  rules: SettleRules,
): boolean {
  const files = book.folders.get(place.folder) ?? new Map<string, Track>();
  const before = files.get(place.name);
  const key = identity(place.folder, look);
  // Only the move itself counts: the same file was not under its final name at the look before.
  const renamed = before?.inode !== look.inode && key !== null && book.unfinished.delete(key);
  const track = observe(before, look, span, renamed);
  files.set(place.name, track);
  book.folders.set(place.folder, files);
  const path = pathOf(place);
  if (isDone(track, rules)) book.open.delete(path);
  else if (!book.open.has(path)) book.open.set(path, place);
  return before === undefined;
}

/** Notes that a file is not there any more. */
export function noteGone(book: Book, place: FilePlace): void {
  if (book.folders.get(place.folder)?.delete(place.name) === true && book.open.delete(pathOf(place)))
    book.vanished++;
}

/** Notes that a folder was listed to its end and holds these names only. */
export function noteListing(book: Book, folder: string, names: ReadonlySet<string>): void {
  const files = book.folders.get(folder);
  if (files === undefined) return;
  for (const name of files.keys()) if (!names.has(name)) noteGone(book, { folder, name });
  if (files.size === 0) book.folders.delete(folder);
}

/** Forgets folders that are not among those seen in a complete scan. */
export function noteFolders(book: Book, seen: ReadonlySet<string>): void {
  for (const folder of book.folders.keys()) if (!seen.has(folder)) noteListing(book, folder, new Set());
}

export function trackOf(book: Book, place: FilePlace): Track | undefined {
  return book.folders.get(place.folder)?.get(place.name);
}

/** Notes that the event of a file as it was at `track` is stored. */
export function noteStored(book: Book, place: FilePlace, track: Track, rules: SettleRules): void {
  const current = trackOf(book, place);
  if (current === undefined) return;
  const stored: Track = { ...current, stored: versionOf(track) };
  book.folders.get(place.folder)?.set(place.name, stored);
  if (isDone(stored, rules)) book.open.delete(pathOf(place));
}

/** The files whose event is due, in the order in which they were last written. */
export function readyFiles(book: Book, rules: SettleRules): ReadyFile[] {
  // As numbers the times lose some hundred nanoseconds, which no order of writing depends on.
  const ready: { readonly at: number; readonly path: string; readonly file: ReadyFile }[] = [];
  for (const [path, place] of book.open) {
    const track = trackOf(book, place);
    if (track === undefined || !isDue(track, rules)) continue;
    const settled_for_s = (track.seen_ms - track.since_ms) / 1_000;
    ready.push({ at: Number(track.mtime_ns), path, file: { ...place, track, settled_for_s } });
  }
  ready.sort((a, b) => a.at - b.at || (a.path < b.path ? -1 : 1));
  return ready.map((entry) => entry.file);
}

export interface Waiting {
  readonly path: string;
  readonly why: string;
}

/** The first few files that wait, each with the reason. */
export function waitingFiles(book: Book, now_ms: number, rules: SettleRules, limit: number): Waiting[] {
  const list: Waiting[] = [];
  for (const [path, place] of book.open) {
    if (list.length >= limit) break;
    const track = trackOf(book, place);
    if (track !== undefined) list.push({ path, why: whyWaiting(track, now_ms, rules) });
  }
  return list;
}

/** Milliseconds until a look could find the next open file settled; null when no file waits for time. `held`
 *  files wait for something else. */
export function nextDue_ms(
  book: Book,
  now_ms: number,
  rules: SettleRules,
  held: ReadonlySet<string>,
): number | null {
  let next: number | null = null;
  for (const [path, place] of book.open) {
    const track = trackOf(book, place);
    if (track === undefined || track.size < rules.min_size || held.has(path)) continue;
    // Time enough has passed, but it was not looked at since: soon, not at once.
    const unseen = track.seen_ms - track.since_ms < rules.settle_ms;
    const left = Math.max(remaining_ms(track, now_ms, rules), unseen && !track.renamed ? 1 : 0);
    if (next === null || left < next) next = left;
  }
  return next;
}

/** How many files the book knows. */
export function fileCount(book: Book): number {
  let count = 0;
  for (const files of book.folders.values()) count += files.size;
  return count;
}
