// Ended actions: a hint wakes the run that waits for the action. A hint may arrive before the run's step that names the
// action is stored; so hints are remembered for a while and asked about after each such step.
import type { Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { wakeByActions } from '../db/runs.ts';
import type { Logger } from '../log.ts';

export interface Hints {
  /** An action has ended. */
  ended(actionId: string): void;
  /** A stored run waits for this action. */
  waitsFor(actionId: string): void;
  stop(): Promise<void>;
}

const REMEMBERED_MS = 30_000;
const MOST_REMEMBERED = 20_000;
const PER_STATEMENT = 500;

export function makeHints(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly woken: () => void;
}): Hints {
  const { db, clock, log, woken } = deps;
  /** When each hint came, oldest first. */
  const recent = new Map<string, number>();
  const pending = new Set<string>();
  let working: Promise<void> | null = null;

  const forgetOld = (): void => {
    for (const [id, since] of recent) {
      if (since > clock.now() - REMEMBERED_MS && recent.size <= MOST_REMEMBERED) return;
      recent.delete(id);
    }
  };

  const work = async (): Promise<void> => {
    // Hints of the same turn of the event loop travel together.
    await new Promise((resolve) => setImmediate(resolve));
    while (pending.size > 0) {
      const batch = [...pending].slice(0, PER_STATEMENT);
      for (const id of batch) pending.delete(id);
      const found = await wakeByActions(db, batch, new Date(clock.now()));
      for (const id of found) recent.delete(id);
      if (found.length > 0) woken();
    }
  };

  const wake = (): void => {
    working ??= work()
      .catch((error: unknown) =>
        log.warn({ err: error }, 'runs whose actions ended are found later, by polling'),
      )
      .finally(() => {
        working = null;
        if (pending.size > 0) wake();
      });
  };

  return {
    ended(actionId) {
      recent.set(actionId, clock.now());
      forgetOld();
      pending.add(actionId);
      wake();
    },
    waitsFor(actionId) {
      if (!recent.has(actionId)) return;
      pending.add(actionId);
      wake();
    },
    async stop() {
      await working;
    },
  };
}
