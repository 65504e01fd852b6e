// The action tables as the kit uses them: single calls that share round trips and commits when many come at once.
import {
  insertActions,
  loadActions,
  saveStates,
  type ActionRow,
  type NewAction,
  type StateChange,
} from '../../db/actions.ts';
import { sqlState, type Db } from '../../db/connect.ts';
import { grouped, type GroupLimits } from './group.ts';

export interface ActionStore {
  /** False: the creator has used this request id already. */
  readonly insert: (row: NewAction) => Promise<boolean>;
  readonly load: (actionId: string) => Promise<ActionRow | undefined>;
  /** False: the action has ended already, or is gone. */
  readonly save: (change: StateChange) => Promise<boolean>;
}

/** Calls in one statement, its size in characters, and calls that may wait. */
const MAX_ITEMS = 128;
const MAX_CHARACTERS = 4 * 1024 * 1024;
const MAX_WAITING = 20_000;

function limits<I>(weigh: (item: I) => number): GroupLimits<I> {
  return {
    items: MAX_ITEMS,
    weight: MAX_CHARACTERS,
    weigh,
    at_once: 2,
    waiting: MAX_WAITING,
    // Bad data, a broken constraint or a deadlock is one item's doing; a lost connection is not.
    divisible: (error) => /^(22|23|40|54)/.test(sqlState(error) ?? ''),
  };
}

export function actionStore(db: Db): ActionStore {
  return {
    insert: grouped(
      async (rows: readonly NewAction[]) => {
        const stored = await insertActions(db, rows);
        return rows.map((row) => stored.has(row.action_id));
      },
      limits((row) => row.body.length + row.details.length),
    ),
    load: grouped(
      async (ids: readonly string[]) => {
        const rows = new Map((await loadActions(db, ids)).map((row) => [row.action_id, row]));
        return ids.map((id) => rows.get(id));
      },
      limits(() => 1),
    ),
    save: grouped(
      (changes: readonly StateChange[]) => saveStates(db, changes),
      limits((change) => change.details.length + (change.memo?.length ?? 0)),
    ),
  };
}
