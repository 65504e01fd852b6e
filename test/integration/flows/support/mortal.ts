// A process that can die: its database and its providers are out of reach from one call on, before or after that
// call has had its effect. Nothing of it is stopped in order.
import type { Db } from '../../../../src/db/connect.ts';
import type { ActionClient } from '../../../../src/flows/ports.ts';

export interface Mortal {
  readonly db: Db;
  readonly actions: ActionClient;
  readonly isDead: () => boolean;
  readonly kill: () => void;
  /** Calls made so far. */
  readonly calls: () => number;
}

const never = new Promise<never>(() => undefined);

/** Dies at the `at`-th call (from 1), before or after it has its effect. */
export function makeMortal(db: Db, actions: ActionClient, at: number, when: 'before' | 'after'): Mortal {
  let count = 0;
  let dead = false;

  // A dead process gets no answers: its promises stay open for ever.
  const mortal =
    <A extends unknown[], R>(work: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      count += 1;
      const last = count === at;
      if (last && when === 'before') dead = true;
      if (dead) return never;
      const result = await work(...args);
      if (last) dead = true;
      return dead ? never : result;
    };
  const through: Db = {
    ...db,
    query: mortal(db.query.bind(db)) as Db['query'],
    named: mortal(db.named.bind(db)) as Db['named'],
    // The engine makes no transactions of its own: every step is one statement.
    tx: () => never,
  };
  return {
    db: through,
    actions: {
      run: mortal(actions.run),
      status: mortal(actions.status),
      cancel: mortal(actions.cancel),
      release: mortal(actions.release),
      onEnded: (listener) => actions.onEnded((id) => (dead ? undefined : listener(id))),
    },
    isDead: () => dead,
    kill: () => {
      dead = true;
    },
    calls: () => count,
  };
}
