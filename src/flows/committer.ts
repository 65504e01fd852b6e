// Stores the steps of many runs together: what arrives while one statement is on its way goes into the next.
import type { Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { storeSteps, type StoredStep } from '../db/run-steps.ts';

/** What became of a stored step; null: somebody else works on the run now. */
export type Stored = { readonly cancel_by: string | null } | null;

export interface Committer {
  /** Resolves when the step is durable. Throws what the database throws; then it is not known whether it is. */
  commit(step: StoredStep): Promise<Stored>;
}

interface Pending {
  readonly step: StoredStep;
  readonly resolve: (stored: Stored) => void;
  readonly reject: (error: unknown) => void;
}

const STATEMENTS_IN_FLIGHT = 2;
const STEPS_PER_STATEMENT = 64;

export function makeCommitter(deps: {
  readonly db: Db;
  readonly engine: string;
  readonly clock: Clock;
}): Committer {
  const { db, engine, clock } = deps;
  const pending: Pending[] = [];
  let inFlight = 0;

  const store = async (batch: readonly Pending[]): Promise<void> => {
    const stored = await storeSteps(
      db,
      engine,
      new Date(clock.now()),
      batch.map((one) => one.step),
    );
    for (const { step, resolve } of batch) resolve(stored.get(step.id) ?? null);
  };

  /** One step that cannot be stored must not keep the others from it. */
  const storeEach = async (batch: readonly Pending[], first: unknown): Promise<void> => {
    for (const one of batch) {
      if (batch.length === 1) one.reject(first);
      else await store([one]).catch(one.reject);
    }
  };

  const flush = (): void => {
    while (inFlight < STATEMENTS_IN_FLIGHT && pending.length > 0) {
      const batch = pending.splice(0, STEPS_PER_STATEMENT);
      inFlight += 1;
      void store(batch)
        .catch((error: unknown) => storeEach(batch, error))
        .finally(() => {
          inFlight -= 1;
          flush();
        });
    }
  };

  return {
    commit: (step) =>
      new Promise((resolve, reject) => {
        pending.push({ step, resolve, reject });
        // Steps that are ready in the same turn of the event loop travel together.
        if (pending.length === 1) setImmediate(flush);
      }),
  };
}
