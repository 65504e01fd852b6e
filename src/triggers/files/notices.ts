// The system's file notifications, as hints only: they say where to look early. What they miss is found by the
// next scan, so a full queue, a lost watch or a missing permission costs time and nothing else.
import { watch, type FSWatcher } from 'node:fs';
import type { FilePlace } from './book.ts';
import { usableName } from './names.ts';

/** Folders watched by one trigger at most: the system's limits are small and shared. */
const MAX_WATCHED = 256;
/** Names remembered between two looks; more means: look at everything. */
const MAX_HINTS = 2_000;

export interface WatchedFolder {
  readonly folder: string;
  readonly path: string;
  /** Tells a folder from another one of the same name that came after it. */
  readonly identity: string;
}

export interface Hints {
  readonly places: readonly FilePlace[];
  /** Too many, or nameless: look at everything. */
  readonly all: boolean;
}

export interface Notices {
  /** Watches these folders from now on and no others. Answers true when some are new: what changed in them
   *  before now was not noticed. */
  follow(folders: readonly WatchedFolder[]): boolean;
  /** The hints since the last call. */
  take(): Hints;
  /** 'on', or why not (all) folders are watched. */
  state(): string;
  close(): void;
}

/** Starts with nothing watched. `wake` is called when hints are there. */
export function makeNotices(wake: () => void): Notices {
  const watchers = new Map<string, { readonly identity: string; readonly watcher: FSWatcher }>();
  const places = new Map<string, FilePlace>();
  let all = false;
  let trouble: string | null = null;

  const hint = (folder: string, bytes: Buffer | null): void => {
    const name = bytes === null ? null : usableName(bytes);
    if (bytes === null || places.size >= MAX_HINTS) all = true;
    else if (name !== null) places.set(`${folder}/${name}`, { folder, name });
    wake();
  };
  const drop = (folder: string): void => {
    watchers.get(folder)?.watcher.close();
    watchers.delete(folder);
  };
  const open = ({ folder, path, identity }: WatchedFolder): void => {
    try {
      const watcher = watch(path, { encoding: 'buffer', persistent: false });
      watcher.on('change', (_, name) => hint(folder, Buffer.isBuffer(name) ? name : null));
      watcher.on('error', (error) => {
        trouble = error.message;
        drop(folder);
      });
      watchers.set(folder, { identity, watcher });
    } catch (error) {
      trouble = error instanceof Error ? error.message : String(error);
    }
  };
  return {
    follow(folders) {
      const wanted = folders.slice(0, MAX_WATCHED);
      const names = new Map(wanted.map((one) => [one.folder, one.identity]));
      for (const [folder, one] of watchers) if (names.get(folder) !== one.identity) drop(folder);
      trouble = folders.length > MAX_WATCHED ? `only ${MAX_WATCHED} of ${folders.length} folders` : null;
      const fresh = wanted.filter((one) => !watchers.has(one.folder));
      for (const one of fresh) open(one);
      return fresh.some((one) => watchers.has(one.folder));
    },
    take() {
      const taken = { places: [...places.values()], all };
      places.clear();
      all = false;
      return taken;
    },
    state: () => (trouble === null ? (watchers.size > 0 ? 'on' : 'off') : `partly: ${trouble}`),
    close() {
      for (const folder of [...watchers.keys()]) drop(folder);
    },
  };
}
