// Action: asks an action provider to run something, waits for its end, stores the final status document.
// The request is repeated word for word under one request_id until the provider has answered; the provider starts
// it once. Deadlines, polling and giving up are decided here; who talks to the provider is effects.ts.
import type { Json, JsonObject } from '../../providers/contract.ts';
import { explain, StateFailure } from '../failures.ts';
import type { ActionDocument } from '../ports.ts';
import { describe, isObject } from '../paths.ts';
import type { Reader } from '../reader.ts';
import type {
  ActionWait,
  Effect,
  Outcome,
  Report,
  StateType,
  Visit,
  Waiting,
  WorldEvent,
} from './contract.ts';
import { readInput } from './input.ts';

const DEFAULT_WAIT_S = 300;
/** A run lasts a year at most. */
const LONGEST_WAIT_S = 31_536_000;
const FIRST_POLL_MS = 1_000;
const LONGEST_POLL_MS = 600_000;
/** Starting is given up after this many silent contacts (2 minutes with the waits between them), a cancel after fewer. */
const START_TRIES = 8;
const CANCEL_TRIES = 5;

interface Settings {
  readonly name: string;
  readonly url: string;
  readonly run_as: string;
  readonly wait_ms: number;
  readonly raises: boolean;
}

function backOff(tries: number): number {
  return Math.min(FIRST_POLL_MS * 2 ** tries, 60_000);
}

function isEnded(document: ActionDocument): boolean {
  return document.status === 'SUCCEEDED' || document.status === 'FAILED';
}

function about(waiting: ActionWait): { request_id: string; url: string; run_as: string } {
  return { request_id: waiting.request_id, url: waiting.url, run_as: waiting.run_as };
}

/** What is due for an action in this phase. */
function contact(waiting: ActionWait): Effect {
  const { action_id, phase, body } = waiting;
  if (action_id === null) return { kind: 'start_action', ...about(waiting), body: body ?? {} };
  return { kind: phase === 'stopping' ? 'cancel_action' : 'poll_action', ...about(waiting), action_id };
}

function release(waiting: ActionWait, document: ActionDocument): Effect[] {
  return [
    { kind: 'release_action', url: waiting.url, run_as: waiting.run_as, action_id: document.action_id },
  ];
}

/** The status document as the run state holds it. */
function asResult(document: ActionDocument, name: string): JsonObject {
  return { ...(document as unknown as JsonObject), state_name: name };
}

function reportOf(settings: Settings, waiting: ActionWait, why?: string): Report {
  const { document } = waiting;
  const facts: JsonObject = document === null ? {} : { action_statuses: [asResult(document, settings.name)] };
  if (document?.status === 'INACTIVE') {
    // Clients turn these details into a request for consent, so what the provider says stays at the top.
    const said = isObject(document.details) ? document.details : {};
    return {
      status: 'INACTIVE',
      code: 'ActionInactive',
      description: `The action of state ${settings.name} needs something from you before it can go on`,
      facts: { ...said, ...facts },
    };
  }
  const doing = { starting: 'is being started', running: 'is running', stopping: 'is being cancelled' }[
    waiting.phase
  ];
  const description = `The action of state ${settings.name} ${doing}${why === undefined ? '' : ` (${why})`}`;
  return { status: 'ACTIVE', code: 'ActionStarted', description, facts };
}

function waitOn(settings: Settings, waiting: ActionWait, why?: string): Outcome {
  return { kind: 'waiting', waiting, report: reportOf(settings, waiting, why) };
}

function stop(settings: Settings, waiting: ActionWait, now: number): Outcome {
  return waitOn(settings, { ...waiting, phase: 'stopping', tries: 0, next_at: now });
}

function timedOut(settings: Settings, waiting: ActionWait, note = ''): Outcome {
  const limit_s = settings.wait_ms / 1_000;
  const last = waiting.document === null ? {} : asResult(waiting.document, settings.name);
  const cause = `the action at ${waiting.url} had not ended after the state's WaitTime of ${limit_s} s and was cancelled${note}`;
  return { kind: 'failed', failure: new StateFailure('ActionTimeout', cause, last) };
}

/** The action has ended by itself. */
function ended(settings: Settings, waiting: ActionWait, document: ActionDocument): Outcome {
  const result = asResult(document, settings.name);
  const effects = release(waiting, document);
  if (document.status === 'SUCCEEDED' || !settings.raises) return { kind: 'result', value: result, effects };
  return {
    kind: 'failed',
    failure: new StateFailure('ActionFailedException', explain(document.details), result),
    effects,
  };
}

function answered(settings: Settings, waiting: ActionWait, document: ActionDocument, visit: Visit): Outcome {
  const { now } = visit;
  const known: ActionWait = { ...waiting, action_id: document.action_id, body: null, document, tries: 0 };
  if (waiting.phase === 'stopping') {
    // The provider has taken the cancel. An action that got to its good end just before keeps its result.
    if (visit.cancelled) return { kind: 'cancelled' };
    return document.status === 'SUCCEEDED' ? ended(settings, waiting, document) : timedOut(settings, known);
  }
  if (isEnded(document)) return visit.cancelled ? { kind: 'cancelled' } : ended(settings, waiting, document);
  if (visit.cancelled) return stop(settings, known, now);
  const next_at = Math.min(now + known.poll_ms, known.deadline);
  const poll_ms = Math.min(known.poll_ms * 2, LONGEST_POLL_MS);
  return waitOn(settings, { ...known, phase: 'running', next_at, poll_ms });
}

type Refusal = Extract<WorldEvent, { kind: 'action_refused' }>;

function refused(
  settings: Settings,
  waiting: ActionWait,
  { message, body, error }: Refusal,
  visit: Visit,
): Outcome {
  const { url, phase } = waiting;
  if (visit.cancelled) {
    return phase === 'stopping'
      ? { kind: 'cancelled', note: `the action could not be cancelled: ${message}` }
      : { kind: 'cancelled' };
  }
  if (phase === 'stopping')
    return timedOut(settings, waiting, `; the provider refused the cancel: ${message}`);
  if (phase === 'starting') {
    return {
      kind: 'failed',
      failure: new StateFailure(
        error ?? 'ActionUnableToRun',
        `${url} did not run the action: ${message}`,
        body,
      ),
    };
  }
  const last = waiting.document === null ? body : asResult(waiting.document, settings.name);
  return {
    kind: 'failed',
    failure: new StateFailure('ActionFailedException', `${url} no longer knows the action: ${message}`, last),
  };
}

function unreachable(settings: Settings, waiting: ActionWait, message: string, visit: Visit): Outcome {
  const tries = waiting.tries + 1;
  const retry: ActionWait = { ...waiting, tries, next_at: visit.now + backOff(waiting.tries) };
  if (waiting.phase === 'stopping') {
    if (tries < CANCEL_TRIES) return waitOn(settings, retry, message);
    const note = `the provider did not answer the cancel: ${message}`;
    return visit.cancelled ? { kind: 'cancelled', note } : timedOut(settings, waiting, `; ${note}`);
  }
  if (waiting.phase === 'running')
    return waitOn(settings, { ...retry, next_at: Math.min(retry.next_at, waiting.deadline) }, message);
  if (tries < START_TRIES && retry.next_at < waiting.deadline) return waitOn(settings, retry, message);
  if (visit.cancelled)
    return { kind: 'cancelled', note: `it is not known whether the action started: ${message}` };
  return {
    kind: 'failed',
    failure: new StateFailure(
      'ActionUnableToRun',
      `${waiting.url} could not be reached in ${tries} tries: ${message}`,
    ),
  };
}

function on(settings: Settings, waiting: ActionWait, event: WorldEvent, visit: Visit): Outcome | null {
  switch (event.kind) {
    case 'woken':
      return waiting.phase === 'running' && visit.now >= waiting.deadline
        ? stop(settings, waiting, visit.now)
        : { kind: 'ask', effects: [contact(waiting)] };
    case 'cancel_requested':
      // An action that may have been started must first be known before it can be cancelled.
      return waiting.phase === 'running'
        ? stop(settings, waiting, visit.now)
        : waitOn(settings, { ...waiting, next_at: visit.now });
    case 'action_answered':
      return event.request_id === waiting.request_id
        ? answered(settings, waiting, event.document, visit)
        : null;
    case 'action_refused':
      return event.request_id === waiting.request_id ? refused(settings, waiting, event, visit) : null;
    case 'action_unreachable':
      return event.request_id === waiting.request_id
        ? unreachable(settings, waiting, event.message, visit)
        : null;
  }
}

function bodyOf(value: Json): JsonObject {
  if (isObject(value)) return value;
  throw new StateFailure(
    'States.ParameterPathFailure',
    `the input of an Action must be an object, not ${describe(value)}`,
  );
}

function readUrl(reader: Reader, field: string): string {
  const url = reader.text(field, 'required') ?? '';
  if (url !== '' && !/^(https?:\/\/[^\s/]|\/[^\s/])/.test(url)) {
    reader.problem(
      field,
      'must be the URL of an action provider (https://… or http://…), or a path on this service such as /providers/compute',
    );
  }
  return url;
}

/** ActionUrl, or the newer Handler of type ActionProvider. */
function readProvider(reader: Reader): { url: string; scope: string | null } {
  const field = reader.oneOf(['ActionUrl', 'Handler']);
  const scope = reader.text('ActionScope') ?? null;
  if (field !== 'Handler') return { url: field === undefined ? '' : readUrl(reader, 'ActionUrl'), scope };
  const handler = reader.raw['Handler'];
  if (!isObject(handler) || handler['Type'] !== 'ActionProvider') {
    reader.problem(
      'Handler',
      'this service calls handlers of the form {"Type": "ActionProvider", "Url": "https://…"} only; registered APIs are not available here',
    );
    return { url: '', scope };
  }
  const inner = reader.inside('Handler', handler);
  inner.only('A Handler', ['Type', 'Url', 'Scope']);
  return { url: readUrl(inner, 'Url'), scope: inner.text('Scope') ?? scope };
}

export const action: StateType = {
  fields: [
    'ActionUrl',
    'Handler',
    'ActionScope',
    'Parameters',
    'InputPath',
    'ResultPath',
    'WaitTime',
    'ExceptionOnActionFailure',
    'RunAs',
    'Catch',
    'Next',
    'End',
  ],
  goesOn: true,
  parse(reader, name) {
    const { url, scope } = readProvider(reader);
    const build = readInput(reader);
    const run_as = reader.text('RunAs') ?? 'User';
    const wait_ms = (reader.whole('WaitTime', { min: 1, max: LONGEST_WAIT_S }) ?? DEFAULT_WAIT_S) * 1_000;
    const raises = reader.flag('ExceptionOnActionFailure') ?? true;
    const settings: Settings = { name, url, run_as, wait_ms, raises };
    return {
      calls: { url, scope, run_as },
      enter(visit) {
        const { value, hidden } = build(visit);
        const { now, request_id } = visit;
        const waiting: ActionWait = {
          kind: 'action',
          phase: 'starting',
          request_id,
          url,
          run_as,
          body: bodyOf(value),
          action_id: null,
          deadline: now + wait_ms,
          next_at: now,
          poll_ms: FIRST_POLL_MS,
          tries: 0,
          document: null,
        };
        return { input: value, hidden, outcome: waitOn(settings, waiting) };
      },
      on: (waiting: Waiting, event, visit) =>
        waiting.kind === 'action' ? on(settings, waiting, event, visit) : null,
      due(waiting, now) {
        if (waiting.kind !== 'action') return { effects: [], wake_at: now };
        return waiting.next_at <= now
          ? { effects: [contact(waiting)], wake_at: now }
          : { effects: [], wake_at: waiting.next_at };
      },
    };
  },
};
