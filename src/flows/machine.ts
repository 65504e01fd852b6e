// THE flow machine, pure: one event in, the run after it, log entries and effects out. It is given the time and
// has no other input, so the same events at the same times always give the same run.
//
//   not started ──started──► in a state ──► next state ──► … ──► SUCCEEDED | FAILED
//                              │   ▲
//                              └───┘ waits (ACTIVE or INACTIVE) until an event settles it
//
// Invariants: an ended run never changes. A visit's request_id depends on run, visit number and state only, so an
// effect repeated after a crash is the same effect. One call makes at most TRANSITIONS_PER_STEP transitions.
import type { JsonObject } from '../providers/contract.ts';
import { isFinal } from '../lifecycle.ts';
import { begin, cancelled, end, failRun, log, shown, succeed, written, type Draft } from './draft.ts';
import { explain, isCaught, shorten, StateFailure } from './failures.ts';
import type { Flow } from './language.ts';
import { measure } from './measure.ts';
import { isObject, keysOf, withContext } from './paths.ts';
import { redact } from './privacy.ts';
import {
  MOST_VISITS,
  STATE_BYTES,
  STEP_LOG_BYTES,
  TRANSITIONS_PER_STEP,
  type Run,
  type Stepped,
} from './run.ts';
import type { FlowState, Outcome, Report, Visit, Waiting, WorldEvent } from './states/contract.ts';

export type FlowEvent = { readonly kind: 'started' } | WorldEvent;

function goTo(draft: Draft, next: string | null): void {
  if (next === null) succeed(draft);
  else draft.place = { ...draft.place, at: next, waiting: null };
}

function complete(draft: Draft, state: FlowState, next: string | null, facts: JsonObject): void {
  log(draft, `${state.type}Completed`, `State ${state.name} of type ${state.type} completed`, {
    state_name: state.name,
    state_type: state.type,
    ...facts,
  });
  goTo(draft, next);
}

/** What else is known of a failure, where readers of a run's details look for it. */
function factsOf({ facts }: StateFailure): JsonObject {
  if (facts['action_id'] !== undefined) return { action_statuses: [facts] };
  return Object.keys(facts).length === 0 ? {} : { details: facts };
}

/** A state has failed: a Catch clause takes it, or the run ends. */
function stateFailed(draft: Draft, state: FlowState, failure: StateFailure): void {
  const { error, message } = failure;
  const output: JsonObject = { ...failure.facts, Error: error, Cause: shorten(message) };
  const description = `State ${state.name} of type ${state.type} failed with ${error}: ${shorten(message, 500)}`;
  log(draft, `${state.type}Failed`, description, { state_name: state.name, state_type: state.type, output });
  const facts = factsOf(failure);
  const catcher = state.catchers.find((clause) => isCaught(clause.errors, error));
  if (catcher === undefined) return failRun(draft, error, message, facts);
  try {
    draft.place = { ...draft.place, data: written(draft.place.data, catcher.resultPath, output) };
    goTo(draft, catcher.next);
  } catch (second) {
    if (!(second instanceof StateFailure)) throw second;
    failRun(draft, second.error, `${second.message} (while catching ${error}: ${message})`, facts);
  }
}

/** Stores a result; the places that private parameters went to stay hidden from now on. */
function storeResult(draft: Draft, state: FlowState, outcome: Extract<Outcome, { kind: 'result' }>): void {
  const { place } = draft;
  const base = state.resultPath === null ? [] : keysOf(state.resultPath);
  const added = (outcome.hidden ?? []).map((keys) => [...base, ...keys]);
  const text = new Set(place.hidden.map((keys) => JSON.stringify(keys)));
  const hidden = [...place.hidden, ...added.filter((keys) => !text.has(JSON.stringify(keys)))];
  draft.place = { ...place, data: written(place.data, state.resultPath, outcome.value), hidden };
}

function report(draft: Draft, state: FlowState, { status, code, description, facts }: Report): void {
  if (status !== draft.status) {
    const inactive = status === 'INACTIVE';
    log(
      draft,
      inactive ? 'FlowInactive' : 'FlowResumed',
      inactive ? description : `State ${state.name} goes on`,
      {
        state_name: state.name,
        ...(inactive ? facts : {}),
      },
    );
  }
  draft.status = status;
  draft.details = { code, description, state_name: state.name, ...facts };
}

function apply(draft: Draft, state: FlowState, outcome: Outcome): void {
  if ((outcome.kind === 'result' || outcome.kind === 'failed') && outcome.effects !== undefined) {
    draft.effects.push(...outcome.effects);
  }
  if (outcome.kind !== 'ask') draft.changed = true;
  if (outcome.kind !== 'waiting' && outcome.kind !== 'ask') {
    draft.place = { ...draft.place, waiting: null };
    draft.status = 'ACTIVE';
  }
  switch (outcome.kind) {
    case 'result':
      storeResult(draft, state, outcome);
      return complete(draft, state, state.next, { output: shown(draft) });
    case 'unchanged': {
      const next = outcome.next ?? state.next;
      return complete(draft, state, next, next === null ? {} : { next });
    }
    case 'waiting':
      draft.place = { ...draft.place, waiting: outcome.waiting };
      report(draft, state, outcome.report);
      return due(draft, state, outcome.waiting);
    case 'ask':
      draft.effects.push(...outcome.effects);
      draft.wake_at = draft.now;
      return;
    case 'failed':
      return stateFailed(draft, state, outcome.failure);
    case 'give_up':
      return failRun(draft, outcome.error, outcome.cause);
    case 'cancelled':
      return cancelled(draft, outcome.note);
  }
}

/** Applies what a state does; a StateFailure on the way is the state's own failure. */
function attempt(draft: Draft, state: FlowState, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof StateFailure)) throw error;
    draft.changed = true;
    draft.place = { ...draft.place, waiting: null };
    stateFailed(draft, state, error);
  }
}

function due(draft: Draft, state: FlowState, waiting: Waiting): void {
  const { effects, wake_at } = state.due?.(waiting, draft.now) ?? { effects: [], wake_at: draft.now };
  draft.effects.push(...effects);
  draft.wake_at = wake_at;
}

function visitOf(draft: Draft): Visit {
  const { data, at, visit, cancel_by } = draft.place;
  const request_id = `${draft.run_id}:${visit}:${(at ?? '').slice(0, 64)}`;
  return {
    data,
    root: withContext(data, draft.context),
    now: draft.now,
    request_id,
    cancelled: cancel_by !== null,
  };
}

/** Is the input itself the result, and does it go to a `_private…` place? Then it is not shown either. */
function isWrittenInPrivate(state: FlowState, outcome: Outcome): boolean {
  return (
    outcome.kind === 'result' &&
    state.resultPath !== null &&
    keysOf(state.resultPath).some((key) => String(key).startsWith('_private'))
  );
}

function enter(draft: Draft, state: FlowState): void {
  draft.place = { ...draft.place, visit: draft.place.visit + 1 };
  const about = { state_name: state.name, state_type: state.type };
  const started = (facts: JsonObject): void =>
    log(draft, `${state.type}Started`, `State ${state.name} of type ${state.type} started`, {
      ...about,
      ...facts,
    });
  if (draft.place.visit > MOST_VISITS) {
    return failRun(
      draft,
      'States.Runtime',
      `the run has visited ${MOST_VISITS} states: it looks like a loop without end`,
    );
  }
  let entry: ReturnType<FlowState['enter']>;
  try {
    entry = state.enter(visitOf(draft));
  } catch (error) {
    started({});
    throw error;
  }
  started(
    entry.input === undefined || isWrittenInPrivate(state, entry.outcome)
      ? {}
      : { input: redact(entry.input, entry.hidden ?? []) },
  );
  apply(draft, state, entry.outcome);
}

/** Enters states until one waits, the run ends, or this call has done enough. */
function proceed(draft: Draft): void {
  let transitions = 0;
  const before = draft.place.log_bytes;
  while (!isFinal(draft.status) && draft.place.waiting === null) {
    const state = draft.flow.states.get(draft.place.at ?? '');
    if (state === undefined)
      return failRun(draft, 'States.Runtime', `the flow has no state named ${draft.place.at}`);
    if (transitions >= TRANSITIONS_PER_STEP || draft.place.log_bytes - before > STEP_LOG_BYTES) {
      draft.wake_at = draft.now;
      return;
    }
    transitions += 1;
    draft.changed = true;
    attempt(draft, state, () => enter(draft, state));
  }
}

function start(draft: Draft): void {
  const { data } = draft.place;
  draft.changed = true;
  log(draft, 'FlowStarted', 'The Flow Instance started execution', { input: redact(data, []) });
  draft.place = { ...draft.place, at: draft.flow.startAt };
}

/** A status document that is too large or deep to keep, cut down to its words. Results are kept whole. */
function admitted(event: WorldEvent): WorldEvent {
  if (event.kind !== 'action_answered') return event;
  const { document } = event;
  const bytes = measure(document);
  if (bytes !== null && (bytes <= STATE_BYTES / 2 || document.status === 'SUCCEEDED')) return event;
  const said = isObject(document.details) ? document.details : {};
  const code = typeof said['code'] === 'string' ? { code: shorten(said['code'], 100) } : {};
  const details = {
    ...code,
    description: bytes === null ? 'the details nest too deep to keep' : explain(said),
  };
  const { action_id, status } = document;
  return { ...event, document: bytes !== null ? { ...document, details } : { action_id, status, details } };
}

function inside(draft: Draft, event: WorldEvent): void {
  if (event.kind === 'cancel_requested') {
    draft.changed = true;
    draft.place = { ...draft.place, cancel_by: event.by };
    if (draft.place.waiting === null) return cancelled(draft);
  }
  const { waiting, at } = draft.place;
  const state = draft.flow.states.get(at ?? '');
  if (waiting === null || state === undefined) return;
  const outcome = state.on?.(waiting, event, visitOf(draft)) ?? null;
  if (outcome === null) due(draft, state, waiting);
  else attempt(draft, state, () => apply(draft, state, outcome));
}

/** What happens to a run when this event reaches it at this time (milliseconds since 1970). */
export function step(flow: Flow, run: Run, event: FlowEvent, now: number): Stepped {
  const draft = begin(flow, run, now);
  if (isFinal(run.status)) {
    draft.wake_at = null;
    return end(draft);
  }
  if (run.place.at === null) start(draft);
  if (event.kind !== 'started') inside(draft, admitted(event));
  if (draft.place.waiting === null) proceed(draft);
  return end(draft);
}

const NO_FLOW: Flow = { startAt: '', states: new Map() };

/** Ends a run that cannot be stepped at all, e.g. because its definition is of a language no longer spoken. */
export function abandon(run: Run, cause: string, now: number): Stepped {
  const draft = begin(NO_FLOW, run, now);
  draft.changed = true;
  failRun(draft, 'States.Runtime', cause);
  return end(draft);
}
