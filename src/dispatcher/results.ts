// Results in: slabs from a link become rows, each task's visible result exactly one, and only then is the
// message acknowledged. Slabs that arrive while a statement is on its way share the next.
import type { Db } from '../db/connect.ts';
import { databaseTrouble } from '../db/connect.ts';
import { maskOf } from '../db/mask.ts';
import { settle, type Settled, type SlabToSettle } from '../db/tasks.ts';
import type { Logger } from '../log.ts';
import { splitBlob } from '../protocol/codec.ts';
import type { ManagerToService } from '../protocol/messages.ts';
import { encodeSlab, scanSlab, type SlabEntry } from '../protocol/slab.ts';
import { makeGroupCommit } from './group-commit.ts';

type ResultsMessage = Extract<ManagerToService, { kind: 'tasks.results' }>;

/** Bytes of slabs in one statement, and statements on their way at once. */
const STATEMENT_BYTES = 4 * 1024 * 1024;
const STATEMENTS = 2;
const RETRY_MS = 500;

export interface ResultIntake {
  /** Stores a results message; resolves when all of it is durable. Slabs that are no slabs are dropped and logged. */
  take(message: ResultsMessage, blob: Buffer): Promise<void>;
  /** Stores results this service makes itself; answers the tasks for which they became visible. */
  put(chunk: string, entries: readonly SlabEntry[]): Promise<string>;
}

export interface IntakeDeps {
  readonly db: Db;
  readonly log: Logger;
  /** Told of every result that became visible. */
  readonly onSettled: (settled: Settled) => void;
}

export function makeResultIntake(deps: IntakeDeps): ResultIntake {
  const { db, log, onSettled } = deps;

  /** The database may be restarting: results in hand are kept and tried again until it is back. */
  const settlePatiently = async (slabs: readonly SlabToSettle[]): Promise<Settled[]> => {
    for (;;) {
      try {
        return await settle(db, slabs);
      } catch (error) {
        const trouble = databaseTrouble(error);
        if (trouble === null) throw error;
        if (trouble === 'collision') continue;
        log.warn({ err: error }, 'results wait for the database');
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  const commit = makeGroupCommit<SlabToSettle, string>({
    concurrency: STATEMENTS,
    max_weight: STATEMENT_BYTES,
    weigh: (entry) => entry.slab.length,
    exclusive: (entry) => [entry.chunk],
    async write(slabs) {
      const settled = await settlePatiently(slabs);
      const fresh = new Map<string, string>();
      for (const entry of settled) {
        fresh.set(entry.id, entry.fresh);
        onSettled(entry);
      }
      return slabs.map((entry) => fresh.get(entry.chunk) ?? '');
    },
  });

  return {
    async take(message, blob) {
      const slabs: Promise<string>[] = [];
      for (const [part, slab] of splitBlob(blob, message.slabs)) {
        try {
          const facts = scanSlab(slab);
          const worker = message.workers[part.worker] ?? null;
          slabs.push(
            commit.add({
              chunk: part.chunk,
              mask: maskOf(facts.indexes),
              failed: maskOf(facts.failed),
              slab,
              worker,
            }),
          );
        } catch (error) {
          log.error({ err: error, chunk: part.chunk }, 'a result is not a slab and is dropped');
        }
      }
      await Promise.all(slabs);
    },
    put(chunk, entries) {
      const failed = entries.filter((entry) => entry.outcome !== 'success').map((entry) => entry.index);
      return commit.add({
        chunk,
        mask: maskOf(entries.map((entry) => entry.index)),
        failed: maskOf(failed),
        slab: encodeSlab(entries),
        worker: null,
      });
    },
  };
}
