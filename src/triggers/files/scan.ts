// Looks at the folder of a file source and notes what it sees in the book: everything (a scan), or some files
// only (a look). Files are judged by lstat; links are never followed, special files never touched.
import type { BigIntStats } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { messageOf } from '../../errors.ts';
import type { Glob } from '../glob.ts';
import { fileCount, noteFile, noteFolders, noteGone, noteListing, noteUnfinished } from './book.ts';
import { pathOf, trackOf, type Book, type FilePlace } from './book.ts';
import { listFolder, lookAll, realPath } from './calls.ts';
import type { FileSystem } from './file-system.ts';
import type { WatchedFolder } from './notices.ts';
import type { Look, SettleRules } from './settle.ts';

/** Files looked at in one go, folders in one scan, folders below folders. */
const CHUNK = 512;
/** Names judged before others get their turn on this thread. */
const SLICE = 4_096;
const MAX_FOLDERS = 20_000;
const MAX_DEPTH = 32;
/** Files remembered by one trigger: about 300 bytes each. */
const MAX_FILES = 1_000_000;

/** What to look for, and where. */
export interface ScanPlan {
  /** The watched folder, real path. */
  readonly root: string;
  readonly recursive: boolean;
  readonly wanted: Glob;
  /** Names that mark files which are not finished, or never wanted. */
  readonly ignored: Glob;
  readonly rename_is_complete: boolean;
  readonly rules: SettleRules;
  readonly file_system: FileSystem;
  readonly elapsed: () => number;
}

export interface Seen {
  /** Files that were not in the book before. */
  readonly fresh: FilePlace[];
  /** A folder appeared: a scan is needed to see what is in it. */
  folders_changed: boolean;
}

export interface Scan extends Seen {
  readonly folders: WatchedFolder[];
  /** What could not be seen, for people. */
  readonly trouble: string[];
  readonly skipped: { count: number; readonly examples: string[] };
}

const MAX_NOTES = 5;

function note(list: string[], text: string): void {
  if (list.length < MAX_NOTES) list.push(text);
}

function lookOf(stats: BigIntStats, fileSystem: FileSystem): Look {
  return {
    inode: fileSystem.stable_inodes ? String(stats.ino) : '0',
    size: Number(stats.size),
    mtime_ns: String(stats.mtimeNs),
    ctime_ns: String(stats.ctimeNs),
    // Without stable inode numbers nothing tells two files apart, so no rename is recognised either.
    born_ns: fileSystem.stable_inodes ? String(stats.birthtimeNs) : '0',
  };
}

function isGone(error: NodeJS.ErrnoException): boolean {
  return error.code === 'ENOENT' || error.code === 'ENOTDIR';
}

/** Looks at files and notes them. Answers those that are folders. */
async function lookAt(
  book: Book,
  plan: ScanPlan,
  places: readonly FilePlace[],
  seen: Seen,
): Promise<FilePlace[]> {
  const folders: FilePlace[] = [];
  for (let at = 0; at < places.length; at += CHUNK) {
    const chunk = places.slice(at, at + CHUNK);
    const paths = chunk.map((place) => join(plan.root, pathOf(place)));
    const from_ms = plan.elapsed();
    const results = await lookAll(paths, plan.file_system.remote);
    const span = { from_ms, to_ms: plan.elapsed() };
    results.forEach((stats, index) => {
      const place = chunk[index] as FilePlace;
      if (stats instanceof Error) {
        if (isGone(stats)) noteGone(book, place);
      } else if (stats.isDirectory()) folders.push(place);
      else if (!stats.isFile()) noteGone(book, place);
      else {
        const sort = sortOf(book, plan, place);
        const look = lookOf(stats, plan.file_system);
        if (sort === 'unfinished') noteUnfinished(book, place, look);
        else if (sort === 'file' && noteFile(book, place, look, span, plan.rules)) seen.fresh.push(place);
      }
    });
  }
  return folders;
}

/** What a name is to this source: a file to tell, one that is not finished, or nothing. Files in the book were
 *  judged before. */
function sortOf(book: Book, plan: ScanPlan, place: FilePlace): 'file' | 'unfinished' | 'nothing' {
  if (trackOf(book, place) !== undefined) return 'file';
  if (plan.ignored(place.name)) return plan.rename_is_complete ? 'unfinished' : 'nothing';
  return plan.wanted(pathOf(place)) ? 'file' : 'nothing';
}

/** A folder below the root that is no link and not reached through one; null when it is. */
async function trueFolder(plan: ScanPlan, folder: string): Promise<WatchedFolder | null> {
  const path = folder === '' ? plan.root : join(plan.root, folder);
  const remote = plan.file_system.remote;
  if ((await realPath(path, remote)) !== path) return null;
  const [stats] = await lookAll([path], remote);
  if (stats === undefined || stats instanceof Error) throw stats ?? new Error('not looked at');
  return stats.isDirectory() ? { folder, path, identity: `${stats.ino}:${stats.birthtimeNs}` } : null;
}

function depthOf(folder: string): number {
  return folder === '' ? 0 : folder.split('/').length;
}

interface Todo {
  readonly folders: string[];
  readonly scan: Scan;
}

function addFolder(plan: ScanPlan, todo: Todo, folder: string, name: string): void {
  if (!plan.recursive || plan.ignored(name)) return;
  const path = folder === '' ? name : `${folder}/${name}`;
  if (depthOf(path) > MAX_DEPTH || todo.folders.length >= MAX_FOLDERS)
    note(todo.scan.trouble, `${path}: not scanned, more than ${MAX_DEPTH} deep or ${MAX_FOLDERS} folders`);
  else todo.folders.push(path);
}

async function scanFolder(book: Book, plan: ScanPlan, todo: Todo, folder: string): Promise<void> {
  const real = await trueFolder(plan, folder);
  if (real === null) return note(todo.scan.trouble, `${folder}: is reached through a link and not scanned`);
  todo.scan.folders.push(real);
  const { entries, unusable } = await listFolder(real.path, plan.file_system.remote);
  for (const name of unusable) {
    todo.scan.skipped.count++;
    note(todo.scan.skipped.examples, folder === '' ? name : `${folder}/${name}`);
  }
  const names = new Set<string>();
  const places: FilePlace[] = [];
  for (const [index, entry] of entries.entries()) {
    if (index % SLICE === SLICE - 1) await breathe();
    const place = { folder, name: entry.name };
    if (entry.is === 'folder') addFolder(plan, todo, folder, entry.name);
    // A name of unknown sort may be a folder, so it is looked at whatever the pattern says.
    else if (entry.is === 'unknown' || (entry.is === 'file' && sortOf(book, plan, place) !== 'nothing')) {
      names.add(entry.name);
      places.push(place);
    }
  }
  noteListing(book, folder, names);
  const found = await lookAt(book, plan, places, todo.scan);
  for (const place of found) addFolder(plan, todo, folder, place.name);
}

/**
 * Looks at everything. Throws the system's error when the watched folder itself cannot be seen; what cannot be
 * seen below it is told in `trouble`, and what was known of it is kept.
 */
export async function scanAll(book: Book, plan: ScanPlan, signal: AbortSignal): Promise<Scan> {
  const scan: Scan = {
    fresh: [],
    folders_changed: false,
    folders: [],
    trouble: [],
    skipped: { count: 0, examples: [] },
  };
  const todo: Todo = { folders: [''], scan };
  for (let i = 0; i < todo.folders.length && !signal.aborted; i++) {
    const folder = todo.folders[i] ?? '';
    if (fileCount(book) > MAX_FILES) {
      note(scan.trouble, `${folder}: not scanned, more than ${MAX_FILES} files`);
      continue;
    }
    try {
      await scanFolder(book, plan, todo, folder);
    } catch (error) {
      if (folder === '') throw error;
      if (!isGone(error as NodeJS.ErrnoException)) note(scan.trouble, `${folder}: ${messageOf(error)}`);
    }
  }
  if (!signal.aborted) noteFolders(book, new Set(todo.folders));
  return scan;
}

async function lookAtSlice(
  book: Book,
  plan: ScanPlan,
  places: readonly FilePlace[],
  seen: Seen,
): Promise<void> {
  const byFolder = new Map<string, FilePlace[]>();
  for (const place of places) {
    if (!plan.recursive && sortOf(book, plan, place) === 'nothing') continue;
    const files = byFolder.get(place.folder);
    if (files === undefined) byFolder.set(place.folder, [place]);
    else files.push(place);
  }
  for (const [folder, files] of byFolder) {
    const safe = folder === '' || (await trueFolder(plan, folder).catch(() => null)) !== null;
    const found = safe ? await lookAt(book, plan, files, seen) : [];
    const isNew = plan.recursive && found.some((place) => !plan.ignored(place.name));
    if (!safe || isNew) seen.folders_changed = true;
  }
}

/** Looks at some files only: those that may have settled, and those that a notification named. */
export async function lookAtSome(book: Book, plan: ScanPlan, places: readonly FilePlace[]): Promise<Seen> {
  const seen: Seen = { fresh: [], folders_changed: false };
  for (let at = 0; at < places.length; at += SLICE)
    await lookAtSlice(book, plan, places.slice(at, at + SLICE), seen);
  return seen;
}
