// The kit's look after itself: actions that are due are looked at, restarted, ended or released, and an alarm rings
// when the next one is. Several services may sweep one database; each claims what it takes.
import { claimDue, earliestDue, makeOpenDue, type ActionRow } from '../../db/actions.ts';
import type { Clock } from '../../clock.ts';
import type { Db } from '../../db/connect.ts';
import type { Logger } from '../../log.ts';
import { startLoop, type Loop } from '../../loop.ts';

export interface Sweeper {
  /** One bounded round; true when more may be due. */
  readonly sweep: () => Promise<boolean>;
  /** Something is due then, in milliseconds since 1970. */
  readonly plan: (due_at: number) => void;
  readonly start: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Actions claimed in one round, and dealt with at once. */
const ROUND_ACTIONS = 256;
const AT_ONCE = 16;
/** How long a claimed action is left alone by other rounds, in milliseconds. */
const LEASE_MS = 30_000;
/** A round is made at least so often; the alarm makes it sooner. */
const INTERVAL_MS = 5_000;

export function actionSweeper(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  /** Providers whose actions are looked after: another version of the service may have others. */
  readonly providers: readonly string[];
  /** Does what one due action needs. */
  readonly deal: (row: ActionRow) => Promise<unknown>;
}): Sweeper {
  const { db, clock, log } = deps;
  let loop: Loop | null = null;
  let alarm: { readonly at: number; readonly timer: NodeJS.Timeout } | null = null;

  const ring = (): void => {
    alarm = null;
    loop?.wake();
  };
  const plan = (due_at: number): void => {
    if (loop === null || (alarm !== null && alarm.at <= due_at)) return;
    if (alarm !== null) clearTimeout(alarm.timer);
    alarm = null;
    const wait_ms = due_at - clock.now();
    if (wait_ms < INTERVAL_MS) alarm = { at: due_at, timer: setTimeout(ring, Math.max(wait_ms, 1)) };
  };

  const deal = async (row: ActionRow): Promise<void> => {
    try {
      await deps.deal(row);
    } catch (error) {
      log.warn(
        { err: error, action_id: row.action_id, provider: row.provider },
        'an action could not be looked at; it is tried again',
      );
    }
  };

  const sweep = async (): Promise<boolean> => {
    const rows = await claimDue(db, deps.providers, new Date(clock.now()), LEASE_MS, ROUND_ACTIONS);
    const queue = rows[Symbol.iterator]();
    const lane = async (): Promise<void> => {
      for (const row of queue) await deal(row);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
    if (rows.length === ROUND_ACTIONS) return true;
    const next = await earliestDue(db, deps.providers);
    if (next !== undefined) plan(next.getTime());
    return false;
  };

  return {
    sweep,
    plan,
    async start() {
      if (loop !== null) return;
      await makeOpenDue(db, new Date(clock.now()));
      loop = startLoop({ name: 'actions', interval_ms: INTERVAL_MS, log, turn: sweep });
    },
    async stop() {
      if (alarm !== null) clearTimeout(alarm.timer);
      alarm = null;
      const ending = loop;
      loop = null;
      await ending?.stop();
    },
  };
}
