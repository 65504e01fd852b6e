// Run: from an ActionRequest to its action. The action is stored before its provider is asked to start it, and
// only then answered; the same request gets the same action (reference: ActionProvider API section 5).
import type { Chance, Clock } from '../../clock.ts';
import { findAction, type ActionRow, type NewAction } from '../../db/actions.ts';
import type { Db } from '../../db/connect.ts';
import { Fault } from '../../errors.ts';
import { isFinal } from '../../lifecycle.ts';
import type { ActionProvider, ActionState } from '../contract.ts';
import type { ActionCaller } from './access.ts';
import { documentOf, MAXIMUM_DEADLINE, type ActionDocument } from './document.ts';
import { parseDuration } from './duration.ts';
import type { EndedNews } from './ended.ts';
import type { Look } from './keeper.ts';
import type { ActionRequest } from './request.ts';
import type { Start } from './start.ts';
import { displayOf, dueAt } from './states.ts';
import type { ActionStore } from './store.ts';

export interface RunAnswer {
  /** False: the same request came before, and this is its action. */
  readonly created: boolean;
  readonly action: ActionDocument;
}

export interface RunDeps {
  readonly db: Db;
  readonly store: ActionStore;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly news: EndedNews;
  readonly start: Start;
  readonly look: Look;
}

/** How long a stored action may wait for its start before a sweep makes it, in milliseconds. */
const START_GRACE_MS = 10_000;

/** A request as the row of a new action. `state` is its answer when the provider has it at once. */
function newRow(
  provider: string,
  actionId: string,
  caller: ActionCaller,
  request: ActionRequest,
  state: ActionState | null,
  now: number,
): ActionRow {
  const { body, hash, deadline, ...same } = request;
  const times = { started_at: now, deadline, release_after_ms: same.release_after_ms };
  return {
    ...same,
    action_id: actionId,
    provider,
    creator: caller.identity,
    request_hash: hash,
    deadline: deadline === null ? null : new Date(deadline),
    body,
    memo: state === null ? null : {},
    failed_starts: 0,
    status: state?.status ?? 'ACTIVE',
    display_status: state === null ? 'Starting' : displayOf(state),
    details: state?.details ?? {},
    started_at: new Date(now),
    ended_at: state !== null && isFinal(state.status) ? new Date(now) : null,
    due_at: new Date(state === null ? now + START_GRACE_MS : dueAt(times, state, now)),
  };
}

function asStored(row: ActionRow): NewAction {
  return {
    ...row,
    body: JSON.stringify(row.body),
    memo: row.memo === null ? null : JSON.stringify(row.memo),
    details: JSON.stringify(row.details),
  };
}

function checkDeadline(deadline: number | null, now: number): void {
  if (deadline === null) return;
  if (deadline <= now) throw new Fault('invalid_request', `Field 'deadline': lies in the past`);
  if (deadline <= now + (parseDuration(MAXIMUM_DEADLINE) ?? 0)) return;
  throw new Fault('invalid_request', `Field 'deadline': must be at most ${MAXIMUM_DEADLINE} from now`);
}

/** The answer to a request whose id was used before. */
async function repeat(deps: RunDeps, existing: ActionRow, request: ActionRequest): Promise<RunAnswer> {
  if (request.hash.equals(existing.request_hash)) {
    return { created: false, action: documentOf(await deps.look(existing)) };
  }
  throw new Fault(
    'state_conflict',
    'This request_id was used for a request with different content; nothing was started.',
    { remedy: 'Use a new request_id for a new request, or send the very same request again.' },
  );
}

/** Stores and starts a new action; undefined when the request id is taken. */
async function create(
  deps: RunDeps,
  provider: ActionProvider,
  caller: ActionCaller,
  request: ActionRequest,
): Promise<RunAnswer | undefined> {
  const now = deps.clock.now();
  const uuid = deps.chance.uuid();
  const action_id = provider.makeActionId?.(uuid) ?? uuid;
  const asked = { action_id, caller: { identity: caller.identity, urn: caller.urn }, body: request.body };
  const state = provider.instant?.(asked) ?? null;
  const row = newRow(provider.name, action_id, caller, request, state, now);
  if (!(await deps.store.insert(asStored(row)))) return undefined;
  if (state === null) return { created: true, action: documentOf(await deps.start(row, 'first')) };
  if (row.ended_at !== null) deps.news.tell(action_id, false);
  return { created: true, action: documentOf(row) };
}

/** Runs a request whose shape and body have been checked. */
export async function runAction(
  deps: RunDeps,
  provider: ActionProvider,
  caller: ActionCaller,
  request: ActionRequest,
): Promise<RunAnswer> {
  const find = (): Promise<ActionRow | undefined> =>
    findAction(deps.db, provider.name, caller.identity, request.request_id);
  // Between a refused insert and the search the first action may be released; then the id is free again.
  for (let tries = 0; tries < 3; tries++) {
    const late = request.deadline !== null && request.deadline <= deps.clock.now();
    // A repeated request is answered also when the deadline it names has gone by since.
    const known = late ? await find() : undefined;
    if (known !== undefined) return repeat(deps, known, request);
    checkDeadline(request.deadline, deps.clock.now());
    const created = await create(deps, provider, caller, request);
    if (created !== undefined) return created;
    const existing = await find();
    if (existing !== undefined) return repeat(deps, existing, request);
  }
  throw new Fault('state_conflict', 'This request_id is being used and released at the same time.');
}
