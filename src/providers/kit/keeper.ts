// Keeps actions true to their work: starts it, looks at it, ends it, frees it. Every step is stored by a guarded
// write, so that two services, or a cancel and a success, never both win.
import { FAULTS, Fault, asFault } from '../../errors.ts';
import { identityUrn } from '../../ids.ts';
import { isFinal } from '../../lifecycle.ts';
import type { Clock } from '../../clock.ts';
import { addNote, deleteEnded, deleteUnstarted, type ActionRow } from '../../db/actions.ts';
import type { Db } from '../../db/connect.ts';
import type { Logger } from '../../log.ts';
import type { ActionProvider, ActionState, JsonObject, ProviderPorts } from '../contract.ts';
import { recordOf } from './document.ts';
import type { EndedNews } from './ended.ts';
import { displayOf, dueAt, failedState, refusedState } from './states.ts';
import type { ActionStore } from './store.ts';
import { within } from './within.ts';

export interface KeeperDeps {
  readonly db: Db;
  readonly store: ActionStore;
  readonly providers: ReadonlyMap<string, ActionProvider>;
  readonly ports: ProviderPorts;
  readonly clock: Clock;
  readonly news: EndedNews;
  readonly log: Logger;
  /** Told when an action must be dealt with, in milliseconds since 1970. */
  readonly plan: (due_at: number) => void;
}

/** `first`: the request that brought the action waits for the answer. `again`: nobody does. */
export type StartKind = 'first' | 'again';

export interface Keeper {
  /** Starts the work of a stored action. Throws Fault when the provider refuses a first start. */
  readonly start: (row: ActionRow, kind: StartKind) => Promise<ActionRow>;
  /** Asks the provider how the work is; what has ended is stored. */
  readonly look: (row: ActionRow) => Promise<ActionRow>;
  /** Looks, and stores what was seen and when to look next; past its deadline the action is ended. */
  readonly tend: (row: ActionRow) => Promise<void>;
  readonly cancel: (row: ActionRow, by: string) => Promise<ActionRow>;
  readonly resume: (row: ActionRow, by: string) => Promise<ActionRow>;
  /** Frees an ended action; false when somebody else did. */
  readonly release: (row: ActionRow) => Promise<boolean>;
}

/** A provider gets so long to answer one call, in milliseconds. */
const PROVIDER_LIMIT_MS = 60_000;
/** Starts that fail for a reason that may pass, before the action is given up; and the first wait between two. */
const MAX_STARTS = 8;
const START_WAIT_MS = 1_000;
/** How long ending the work of an action past its deadline is tried before the action fails without it. */
const DEADLINE_GRACE_MS = 60_000;
/** The most characters of details that are kept. */
const MAX_DETAILS = 32 * 1024 * 1024;

interface Extras {
  readonly memo?: JsonObject;
  readonly failed_starts?: number;
  readonly due_at?: number;
  /** Nobody but the caller can be waiting. */
  readonly quiet?: boolean;
}

/** Details as JSON text; a result too large to keep becomes a failure that says so. */
function bounded(state: ActionState): { readonly state: ActionState; readonly details: string } {
  const details = JSON.stringify(state.details);
  if (details.length <= MAX_DETAILS) return { state, details };
  const large = failedState(
    'ResultTooLarge',
    `The result has ${details.length} characters; ${MAX_DETAILS} are kept. Return less, or write large data to a file and return its path.`,
    'Result too large',
  );
  return { state: large, details: JSON.stringify(large.details) };
}

export function actionKeeper(deps: KeeperDeps): Keeper {
  const { db, store, clock, log } = deps;
  const starting = new Map<string, Promise<ActionRow>>();
  const looking = new Map<string, Promise<ActionRow>>();
  const watched = new Set<string>();
  // Providers ask to watch at every look; the one who watches is asked once.
  const ports: ProviderPorts = {
    ...deps.ports,
    watchTasks(actionId, taskIds) {
      if (watched.has(actionId)) return;
      watched.add(actionId);
      deps.ports.watchTasks(actionId, taskIds);
    },
  };

  const providerOf = (row: ActionRow): ActionProvider => {
    const provider = deps.providers.get(row.provider);
    if (provider !== undefined) return provider;
    throw new Fault('provider_not_found', `The provider ${row.provider} of this action is gone.`);
  };
  const call = <T>(row: ActionRow, verb: string, work: Promise<T>): Promise<T> =>
    within(PROVIDER_LIMIT_MS, work, `${row.provider} did not answer ${verb} of ${row.action_id}`);
  const note = (row: ActionRow, code: string, description: string): Promise<void> =>
    addNote(db, row.action_id, { noted_at: new Date(clock.now()), code, description });

  /** Stores a state over one that has not ended, and tells of an end. Answers the action as it is now. */
  const change = async (row: ActionRow, given: ActionState, extras: Extras = {}): Promise<ActionRow> => {
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
    if (!(await store.save({ ...next, details, memo }))) return current(row.action_id);
    if (final) {
      watched.delete(row.action_id);
      deps.news.tell(row.action_id, extras.quiet !== true);
    }
    deps.plan(next.due_at.getTime());
    return next;
  };

  const current = async (actionId: string): Promise<ActionRow> => {
    const row = await store.load(actionId);
    if (row !== undefined) return row;
    throw new Fault('action_not_found', `No action has the id ${actionId}.`, { args: [actionId] });
  };

  const startOnce = async (row: ActionRow, kind: StartKind): Promise<ActionRow> => {
    const caller = { identity: row.creator, urn: identityUrn(row.creator) };
    const request = { action_id: row.action_id, caller, body: row.body as JsonObject };
    try {
      const { state, memo } = await call(row, 'run', providerOf(row).run(request, ports));
      return await change(row, state, { memo, quiet: kind === 'first' });
    } catch (error) {
      return startFailed(row, error, kind);
    }
  };

  const startFailed = async (row: ActionRow, error: unknown, kind: StartKind): Promise<ActionRow> => {
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
    const wait_ms = START_WAIT_MS * 2 ** (failed_starts - 1);
    const reason = `It did not start yet and is tried again: ${fault.message}`;
    const state: ActionState = { status: 'ACTIVE', display_status: 'Waiting to start', details: { reason } };
    return change(row, state, { failed_starts, due_at: clock.now() + wait_ms });
  };

  const start = (row: ActionRow, kind: StartKind): Promise<ActionRow> =>
    once(starting, row.action_id, () => startOnce(row, kind));

  const ask = (row: ActionRow): Promise<ActionState> => {
    watched.delete(row.action_id);
    return call(row, 'status', providerOf(row).status(recordOf(row), ports));
  };

  const lookOnce = async (row: ActionRow): Promise<ActionRow> => {
    const state = await ask(row);
    if (isFinal(state.status) || state.status !== row.status) return change(row, state);
    return { ...row, display_status: displayOf(state), details: state.details };
  };

  const look = (row: ActionRow): Promise<ActionRow> => {
    if (row.ended_at !== null) return Promise.resolve(row);
    if (row.memo === null) return start(row, 'again');
    return once(looking, row.action_id, () => lookOnce(row));
  };

  const started = async (row: ActionRow): Promise<ActionRow> => {
    const now = row.memo === null ? await start(row, 'again') : row;
    if (now.memo !== null || now.ended_at !== null) return now;
    throw new Fault('unavailable', 'The action has not started yet; it is being tried.', {
      remedy: 'Try again in a few seconds.',
      retry_after_s: 2,
    });
  };

  /** Past its deadline: ends the work, then the action. Work that cannot be ended does not keep it for ever. */
  const expire = async (row: ActionRow): Promise<void> => {
    const provider = providerOf(row);
    const late_ms = clock.now() - (row.deadline?.getTime() ?? 0);
    try {
      await call(row, 'cancel', Promise.resolve(provider.cancel?.(recordOf(row), ports, 'its deadline')));
    } catch (error) {
      log.warn({ err: error, action_id: row.action_id }, 'the work of an action past its deadline goes on');
      if (late_ms < DEADLINE_GRACE_MS) return;
    }
    const text = `It had not ended by its deadline, ${row.deadline?.toISOString() ?? ''}; what was left of its work was cancelled.`;
    await change(row, failedState('DeadlineExceeded', text, 'Deadline exceeded'), { memo: row.memo ?? {} });
  };

  return {
    start,
    look,
    async tend(row) {
      const over = row.deadline !== null && row.deadline.getTime() <= clock.now();
      if (row.memo === null && !over) return void (await start(row, 'again'));
      const state = row.memo === null ? null : await ask(row);
      if (over && (state === null || !isFinal(state.status))) return expire(row);
      if (state !== null) await change(row, state);
    },
    async cancel(row, by) {
      const provider = providerOf(row);
      if (provider.cancel === undefined) {
        throw new Fault('unsupported', `Actions of ${provider.name} cannot be cancelled once they run.`);
      }
      const running = await started(row);
      if (running.ended_at !== null) return running;
      await note(row, 'CancelRequested', `Cancel requested by ${by}`);
      return change(running, await call(row, 'cancel', provider.cancel(recordOf(running), ports, by)));
    },
    async resume(row, by) {
      const provider = providerOf(row);
      const running = await started(row);
      if (running.status !== 'INACTIVE' || provider.resume === undefined) return look(running);
      await note(row, 'Resumed', `Resumed by ${by}`);
      const { state, memo } = await call(row, 'resume', provider.resume(recordOf(running), ports));
      return change(running, state, { memo });
    },
    async release(row) {
      const provider = deps.providers.get(row.provider);
      if (provider?.release !== undefined) {
        await call(row, 'release', provider.release(recordOf(row), ports));
      }
      return deleteEnded(db, row.action_id);
    },
  };
}

/** One piece of work at a time per key: whoever comes while it runs gets its answer. */
function once<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const known = running.get(key);
  if (known !== undefined) return known;
  const fresh = work().finally(() => running.delete(key));
  running.set(key, fresh);
  return fresh;
}
