// Who waits for which tasks in this process. Ends arrive as hints from the settling code or, from other
// services, as notifications; a waiter never trusts silence and looks at the rows itself now and then.
import { hasBit, indexesOf } from '../db/mask.ts';
import { taskPlace } from '../ids.ts';

export interface TaskWatch {
  /** The watched tasks of each chunk that have not ended as far as known. */
  readonly open: Map<string, Set<number>>;
  readonly onDone: () => void;
}

export interface Waiters {
  /** Calls `onDone` once, when every task is known to have ended. */
  watch(taskIds: readonly string[], onDone: () => void): TaskWatch;
  unwatch(watch: TaskWatch): void;
  /** These tasks of the chunk have ended. */
  ended(chunk: string, mask: string): void;
}

/** Chunks whose ends are remembered: a task may end before its submitter has begun to wait. */
const REMEMBERED_CHUNKS = 5_000;

export function makeWaiters(): Waiters {
  const byChunk = new Map<string, Set<TaskWatch>>();
  const recent = new Map<string, string[]>();

  const remember = (chunk: string, mask: string): void => {
    const masks = recent.get(chunk) ?? [];
    masks.push(mask);
    recent.set(chunk, masks);
    if (recent.size <= REMEMBERED_CHUNKS) return;
    for (const oldest of recent.keys()) {
      recent.delete(oldest);
      break;
    }
  };
  const hasEnded = (chunk: string, index: number): boolean =>
    recent.get(chunk)?.some((mask) => hasBit(mask, index)) === true;

  const drop = (watch: TaskWatch, chunk: string): void => {
    watch.open.delete(chunk);
    const watches = byChunk.get(chunk);
    watches?.delete(watch);
    if (watches?.size === 0) byChunk.delete(chunk);
  };

  return {
    watch(taskIds, onDone) {
      const open = new Map<string, Set<number>>();
      for (const id of taskIds) {
        const place = taskPlace(id);
        if (place === null || hasEnded(place.chunk, place.index)) continue;
        const indexes = open.get(place.chunk) ?? new Set();
        indexes.add(place.index);
        open.set(place.chunk, indexes);
      }
      const watch: TaskWatch = { open, onDone };
      for (const chunk of open.keys()) {
        const watches = byChunk.get(chunk) ?? new Set();
        watches.add(watch);
        byChunk.set(chunk, watches);
      }
      if (open.size === 0) queueMicrotask(onDone);
      return watch;
    },
    unwatch(watch) {
      for (const chunk of [...watch.open.keys()]) drop(watch, chunk);
    },
    ended(chunk, mask) {
      remember(chunk, mask);
      const watches = byChunk.get(chunk);
      if (watches === undefined) return;
      const indexes = indexesOf(mask);
      for (const watch of [...watches]) {
        const open = watch.open.get(chunk);
        if (open === undefined) continue;
        for (const index of indexes) open.delete(index);
        if (open.size > 0) continue;
        drop(watch, chunk);
        if (watch.open.size === 0) watch.onDone();
      }
    },
  };
}
