// Starts the work of stored actions, and starts it again where the answer was lost. A refusal ends the request; an
// error that may pass only delays the action, because it has been accepted.
import type { Clock } from '../../clock.ts';
import { deleteUnstarted, type ActionRow } from '../../db/actions.ts';
import type { Db } from '../../db/connect.ts';
import { asFault, FAULTS } from '../../errors.ts';
import { identityUrn } from '../../ids.ts';
import type { Logger } from '../../log.ts';
import type { JsonObject, StartRequest } from '../contract.ts';
import type { Calls } from './calls.ts';
import type { Change } from './change.ts';
import { failedState, refusedState } from './states.ts';

/** `first`: the request that brought the action waits for the answer. `again`: nobody does. */
export type StartKind = 'first' | 'again';

/** Starts that fail for a reason that may pass, before the action is given up; and the first wait between two. */
const MAX_STARTS = 8;
const START_WAIT_MS = 1_000;

/** Throws Fault when the provider refuses a first start; then nothing of the request is left. */
export type Start = (row: ActionRow, kind: StartKind) => Promise<ActionRow>;

export function makeStart(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly calls: Calls;
  readonly change: Change;
}): Start {
  const { db, clock, log, calls, change } = deps;
  const starting = new Map<string, Promise<ActionRow>>();

  const failed = async (row: ActionRow, error: unknown, kind: StartKind): Promise<ActionRow> => {
    const fault = asFault(error);
    if (!FAULTS[fault.code].retry) {
      if (kind === 'again') return change(row, refusedState(fault), { memo: {} });
      await deleteUnstarted(db, row.action_id);
      throw fault;
    }
    log.warn({ err: fault.extras.cause ?? fault, action_id: row.action_id }, 'an action did not start');
    const failed_starts = row.failed_starts + 1;
    if (failed_starts >= MAX_STARTS) {
      const text = `It did not start in ${failed_starts} tries; the last: ${fault.message}`;
      return change(row, failedState('StartFailed', text, 'Not started'), { memo: {}, failed_starts });
    }
    const reason = `It did not start yet and is tried again: ${fault.message}`;
    return change(
      row,
      { status: 'ACTIVE', display_status: 'Waiting to start', details: { reason } },
      { failed_starts, due_at: clock.now() + START_WAIT_MS * 2 ** (failed_starts - 1) },
    );
  };

  const startOnce: Start = async (row, kind) => {
    const caller = { identity: row.creator, urn: identityUrn(row.creator) };
    const request: StartRequest = { action_id: row.action_id, caller, body: row.body as JsonObject };
    try {
      const { state, memo } = await calls.ask(row, 'run', (provider, ports) => provider.run(request, ports));
      return await change(row, state, { memo, quiet: kind === 'first' });
    } catch (error) {
      return failed(row, error, kind);
    }
  };
  return (row, kind) => once(starting, row.action_id, () => startOnce(row, kind));
}

/** One piece of work at a time per key: whoever comes while it runs gets its answer. */
export function once<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const known = running.get(key);
  if (known !== undefined) return known;
  const fresh = work().finally(() => running.delete(key));
  running.set(key, fresh);
  return fresh;
}
