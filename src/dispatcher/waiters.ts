// Who waits for which tasks in this process. Ends arrive as hints from the settling code or, from other
// services, as notifications; a waiter never trusts silence and looks at the rows itself now and then.
import { indexesOf } from '../db/mask.ts';
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

export function makeWaiters(): Waiters {
  const byChunk = new Map<string, Set<TaskWatch>>();

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
        if (place === null) continue;
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
      return watch;
    },
    unwatch(watch) {
      for (const chunk of [...watch.open.keys()]) drop(watch, chunk);
    },
    ended(chunk, mask) {
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
