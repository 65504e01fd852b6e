// The one place where an action's state is stored and its end is told.
import type { Clock } from '../../clock.ts';
import type { ActionRow } from '../../db/actions.ts';
import { Fault } from '../../errors.ts';
import { isFinal } from '../../lifecycle.ts';
import type { ActionState, JsonObject } from '../contract.ts';
import type { EndedNews } from './ended.ts';
import { displayOf, dueAt, failedState } from './states.ts';
import type { ActionStore } from './store.ts';

export interface ChangeExtras {
  /** The provider has answered a start or a resume with this. */
  readonly memo?: JsonObject;
  readonly failed_starts?: number;
  /** When to deal with it again, in milliseconds since 1970; chosen when absent. */
  readonly due_at?: number;
  /** Nobody but the caller of this service can be waiting for the end. */
  readonly quiet?: boolean;
}

/**
 * Stores a state over one that has not ended and answers the action as it is now: changed, or as whoever was
 * first left it. Throws Fault action_not_found when it was released meanwhile.
 */
export type Change = (row: ActionRow, state: ActionState, extras?: ChangeExtras) => Promise<ActionRow>;

/** The most characters of details that are kept. */
const MAX_DETAILS = 32 * 1024 * 1024;

/** Details as JSON text; a result too large to keep becomes a failure that says so. */
function bounded(state: ActionState): { readonly state: ActionState; readonly details: string } {
  const details = JSON.stringify(state.details);
  if (details.length <= MAX_DETAILS) return { state, details };
  const large = failedState(
    'ResultTooLarge',
    `The result has ${details.length} characters and ${MAX_DETAILS} are kept. Return less, or write large data to a ` +
      'file and return its path.',
    'Result too large',
  );
  return { state: large, details: JSON.stringify(large.details) };
}

/** `plan` is told when an action must be dealt with again. */
export function makeChange(deps: {
  readonly store: ActionStore;
  readonly clock: Clock;
  readonly news: EndedNews;
  readonly plan: (due_at: number) => void;
}): Change {
  const { store, clock, news } = deps;
  return async (row, given, extras = {}) => {
    const now = clock.now();
    const { state, details } = bounded(given);
    const final = isFinal(state.status);
    const times = { ...row, started_at: row.started_at.getTime(), deadline: row.deadline?.getTime() ?? null };
    const next: ActionRow = {
      ...row,
      status: state.status,
      display_status: displayOf(state),
      details: state.details,
      memo: extras.memo ?? row.memo,
      failed_starts: extras.failed_starts ?? row.failed_starts,
      ended_at: final ? new Date(Math.max(now, times.started_at)) : null,
      due_at: new Date(extras.due_at ?? dueAt(times, state, now)),
    };
    const memo = extras.memo === undefined ? null : JSON.stringify(extras.memo);
    if (await store.save({ ...next, details, memo })) {
      if (final) news.tell(row.action_id, extras.quiet !== true);
      deps.plan(next.due_at.getTime());
      return next;
    }
    const current = await store.load(row.action_id);
    if (current !== undefined) return current;
    throw new Fault('action_not_found', `The action ${row.action_id} was released.`, {
      args: [row.action_id],
    });
  };
}
