// Calls into the file system that cannot hang the service. A call to a dead network mount never returns and keeps
// one of libuv's few threads for good: such calls are limited over the whole process, and whoever waits for them
// gives up after a while.
import { lstat, opendir, realpath, statfs, type BigIntStats, type Dir, type Dirent } from 'node:fs';
import { percentEncoded, usableName } from './names.ts';

/** Calls to remote or unknown file systems at a time, in the whole process: half of libuv's default 4 threads. */
const REMOTE_CALLS = 2;
/** Calls to local file systems at a time, for one batch. */
const LOCAL_CALLS = 16;
/** A batch in which no call returns for so long is given up. */
const STALL_MS = 10_000;
/** Entries of one folder at most. */
export const MAX_ENTRIES = 1_000_000;

let free = REMOTE_CALLS;
const queue = new Set<() => void>();

/** Takes the right to make a remote call, or is called back when there may be one. */
function take(retry: () => void): boolean {
  if (free === 0) {
    queue.add(retry);
    return false;
  }
  free--;
  return true;
}

function give(): void {
  free++;
  while (free > 0) {
    const next = queue.values().next();
    if (next.done === true) return;
    queue.delete(next.value);
    next.value();
  }
}

type Reply<T> = (error: Error | null, value?: T) => void;

/** Makes `count` calls, a bounded number at a time; each answers its value or its error. Rejects when none
 *  returns for `stall_ms`; those under way keep their share of the limit until they do return. */
export function callAll<T>(
  count: number,
  remote: boolean,
  start: (index: number, reply: Reply<T>, beat: () => void) => void,
  stall_ms = STALL_MS,
): Promise<readonly (T | Error)[]> {
  return new Promise((resolve, reject) => {
    if (count === 0) return resolve([]);
    const results = new Array<T | Error>(count);
    let next = 0;
    let done = 0;
    let over = false;
    const watchdog = setTimeout(() => {
      over = true;
      queue.delete(pump);
      reject(new Error(`the file system did not answer for ${stall_ms / 1_000} s`));
    }, stall_ms);
    const beat = (): void => void (over || watchdog.refresh());
    const pump = (): void => {
      while (!over && next < count && next - done < LOCAL_CALLS && (!remote || take(pump))) {
        const index = next++;
        start(
          index,
          (error, value) => {
            results[index] = error ?? (value as T);
            done++;
            beat();
            if (remote) give();
            if (done < count) return pump();
            clearTimeout(watchdog);
            if (!over) resolve(results);
          },
          beat,
        );
      }
    };
    pump();
  });
}

async function callOne<T>(remote: boolean, start: (reply: Reply<T>, beat: () => void) => void): Promise<T> {
  const [result] = await callAll<T>(1, remote, (_, reply, beat) => start(reply, beat));
  if (result instanceof Error) throw result;
  return result as T;
}

/** lstat of many paths: what is there, or why it cannot be told. */
export function lookAll(
  paths: readonly string[],
  remote: boolean,
): Promise<readonly (BigIntStats | NodeJS.ErrnoException)[]> {
  return callAll(paths.length, remote, (index, reply) => lstat(paths[index] ?? '', { bigint: true }, reply));
}

/** The real path, without symbolic links. Throws the system's error. */
export function realPath(path: string, remote: boolean): Promise<string> {
  return callOne(remote, (reply) => realpath.native(path, reply));
}

/** The magic number of the file system that holds the path. */
export function fileSystemType(path: string): Promise<number> {
  return callOne<number>(true, (reply) => statfs(path, (error, stats) => reply(error, stats?.type)));
}

export interface Entry {
  readonly name: string;
  readonly is: 'file' | 'folder' | 'link' | 'other' | 'unknown';
}

export interface Listing {
  readonly entries: readonly Entry[];
  /** Names that no event can carry: not UTF-8, or with control characters. Percent-encoded. */
  readonly unusable: readonly string[];
}

function kindOf(entry: Dirent): Entry['is'] {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  if (entry.isSymbolicLink()) return 'link';
  const special = entry.isFIFO() || entry.isSocket() || entry.isBlockDevice() || entry.isCharacterDevice();
  return special ? 'other' : 'unknown';
}

async function readAll(dir: Dir, beat: () => void): Promise<Listing> {
  const entries: Entry[] = [];
  const unusable: string[] = [];
  for await (const entry of dir) {
    beat();
    // With encoding 'buffer' names are Buffers; the type of Dirent does not know.
    const bytes = entry.name as unknown as Buffer;
    const name = usableName(bytes);
    if (name === null) unusable.push(percentEncoded(bytes));
    else entries.push({ name, is: kindOf(entry) });
    if (entries.length > MAX_ENTRIES) throw new Error(`a folder has more than ${MAX_ENTRIES} entries`);
  }
  return { entries, unusable };
}

/** Lists a folder in batches. Throws the system's error. */
export function listFolder(path: string, remote: boolean): Promise<Listing> {
  return callOne<Listing>(remote, (reply, beat) => {
    const options = { encoding: 'buffer' as BufferEncoding, bufferSize: 1_000 };
    opendir(path, options, (error, dir) => {
      if (error !== null) return reply(error);
      readAll(dir, beat).then(
        (listing) => reply(null, listing),
        (broken: Error) => reply(broken),
      );
    });
  });
}
