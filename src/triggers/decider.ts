// The loop that decides about stored events, in the order of storage, each once. It starts from the tables alone,
// so it is also what picks up after a crash: a run whose decision was not written down is asked for again under
// the same request_id, and is the same run.
import { createHash } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import { closeRuns, decideEvents, limitedTriggers, postponeEvents } from '../db/trigger-events.ts';
import { waitingEvents, type Decided, type Postponed, type WaitingEvent } from '../db/trigger-events.ts';
import { triggersByIds, type TriggerRow } from '../db/triggers.ts';
import { FAULTS, Fault, messageOf } from '../errors.ts';
import { uuidFromBytes } from '../ids.ts';
import type { Logger } from '../log.ts';
import { startLoop, type Loop } from '../loop.ts';
import type { JsonObject } from '../providers/contract.ts';
import { KINDS } from './kinds/index.ts';
import { makeMatcher, type EventFilter, type Matcher } from './match.ts';
import type { CloudEvent, StartRunOutcome, StartRunRequest, TriggerPorts } from './ports.ts';
import type { NoticeListener } from './store.ts';

/** What one turn takes: events of one trigger, events, and characters of JSON in all. */
const LIMITS = { each: 500, events: 2_000, bytes: 4_000_000 };
/** Runs started at a time when there is no batch door. */
const PARALLEL = 8;
/** The loop looks by itself so often. */
const SWEEP_MS = 1_000;
/** A door that does not answer for so long has failed; the event is tried again. */
const START_MS = 60_000;
/** Waits between attempts, and how many there are: with these, a little over a day. */
const FIRST_RETRY_S = 0.5;
const LONGEST_RETRY_S = 60;
const MAX_ATTEMPTS = 1_500;
/** Compiled triggers kept. */
const MAX_RULES = 10_000;

export interface Decider {
  start(): void;
  stop(): Promise<void>;
  /** There may be something to decide. */
  wake(): void;
  /** A run has ended: that matters only while a trigger waits for its limit. */
  runEnded(): void;
}

export interface DeciderOptions {
  readonly db: Db;
  readonly host: string;
  readonly ports: TriggerPorts;
  readonly log: Logger;
  readonly notify: NoticeListener;
}

interface Compiled {
  readonly row: TriggerRow;
  readonly match: Matcher;
}

/** An event for which a run is to be started. */
interface Start {
  readonly waiting: WaitingEvent;
  readonly row: TriggerRow;
  readonly request: StartRunRequest;
}

/** The id under which a run is asked for: the same event of the same trigger always gives the same. A UUIDv8. */
export function requestIdOf(triggerId: string, event: Pick<CloudEvent, 'source' | 'id'>): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([triggerId, event.source, event.id]))
    .digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  return uuidFromBytes(hash);
}

function withinTime<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer for ${START_MS / 1_000} s`)), START_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function startAll(
  ports: TriggerPorts,
  requests: readonly StartRunRequest[],
): Promise<StartRunOutcome[]> {
  const outcomes = new Array<StartRunOutcome>(requests.length);
  if (ports.startRuns !== undefined) {
    try {
      return [...(await withinTime(ports.startRuns(requests)))];
    } catch (error) {
      return requests.map(() => ({ error }));
    }
  }
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < requests.length; i = next++) {
      try {
        outcomes[i] = await withinTime(ports.startRun(requests[i] as StartRunRequest));
      } catch (error) {
        outcomes[i] = { error };
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return outcomes;
}

function decided(
  waiting: WaitingEvent,
  decision: Decided['decision'],
  extra: { reason?: string; run_id?: string; run_open?: boolean } = {},
): Decided {
  return {
    trigger_id: waiting.trigger_id,
    seq: waiting.seq,
    decision,
    reason: extra.reason?.slice(0, 2_000) ?? null,
    run_id: extra.run_id ?? null,
    run_open: extra.run_open ?? false,
  };
}

/** What an attempt to start a run comes to: a decision, or another attempt later. */
function settle(start: Start, outcome: StartRunOutcome | undefined): Decided | Postponed {
  const { waiting, row } = start;
  if (outcome !== undefined && 'run_id' in outcome) {
    return decided(waiting, 'fired', { run_id: outcome.run_id, run_open: row.max_in_flight !== null });
  }
  const error = outcome?.error ?? new Error('the flow engine gave no answer for it');
  const reason = `The run was not started: ${messageOf(error)}`;
  const final = error instanceof Fault && !FAULTS[error.code].retry;
  if (final || waiting.attempts + 1 >= MAX_ATTEMPTS) return decided(waiting, 'failed', { reason });
  const delay_s = Math.min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** Math.min(waiting.attempts, 10));
  return {
    trigger_id: waiting.trigger_id,
    seq: waiting.seq,
    delay_s,
    reason: `${reason} It is tried again.`.slice(0, 2_000),
  };
}

interface State {
  readonly options: DeciderOptions;
  readonly rules: Map<string, Compiled>;
  /** Events of a trigger that limits its runs waited at the latest turn. */
  limited: boolean;
  loop: Loop | null;
}

async function compile(state: State, ids: ReadonlySet<string>): Promise<void> {
  const { rules, options } = state;
  if (rules.size > MAX_RULES) rules.clear();
  const missing = [...ids].filter((id) => !rules.has(id));
  if (missing.length === 0) return;
  for (const row of await triggersByIds(options.db, missing)) {
    const rule = { ...row, input: row.input as JsonObject, filter: row.filter as EventFilter | null };
    rules.set(row.id, { row, match: makeMatcher(rule, KINDS.get(row.kind)?.declines) });
  }
}

/** How many runs each trigger that limits them may start now. */
async function rooms({ db, host, ports }: DeciderOptions): Promise<Map<string, number>> {
  const room = new Map<string, number>();
  if (ports.activeRuns === undefined) return room;
  for (const limited of await limitedTriggers(db, host)) {
    const active = new Set(await ports.activeRuns(limited.open_runs));
    const ended = limited.open_runs.filter((id) => !active.has(id));
    if (ended.length > 0) await closeRuns(db, limited.id, ended);
    room.set(limited.id, Math.max(0, Math.min(LIMITS.each, limited.max_in_flight - active.size)));
  }
  return room;
}

function judge(waiting: WaitingEvent, rule: Compiled): Decided | Start {
  if (waiting.while_paused)
    return decided(waiting, 'paused', { reason: 'The trigger was paused when the event came.' });
  const event = waiting.event as unknown as CloudEvent;
  const verdict = rule.match(event, waiting.by_hand);
  if (verdict.is !== 'start') return decided(waiting, verdict.is, { reason: verdict.reason });
  const request: StartRunRequest = {
    owner: rule.row.owner,
    flow_id: rule.row.flow_id,
    request_id: requestIdOf(waiting.trigger_id, event),
    label: verdict.label,
    body: verdict.body,
    tags: [`trigger:${rule.row.name}`],
  };
  return { waiting, row: rule.row, request };
}

function keyOf(one: { readonly trigger_id: string; readonly seq: number }): string {
  return `${one.trigger_id}:${one.seq}`;
}

async function write(
  { db, notify }: DeciderOptions,
  results: readonly (Decided | Postponed)[],
  batch: readonly WaitingEvent[],
): Promise<void> {
  const final = results.filter((one): one is Decided => 'decision' in one);
  const later = results.filter((one): one is Postponed => 'delay_s' in one);
  const written = final.length === 0 ? [] : await decideEvents(db, final);
  if (later.length > 0) await postponeEvents(db, later);
  const mine = new Set(written.map(keyOf));
  const ids = new Map(batch.map((one) => [keyOf(one), one.event.id as string]));
  for (const one of final) {
    if (!mine.has(keyOf(one))) continue;
    const { trigger_id, decision, run_id, reason } = one;
    notify({ is: 'decided', trigger_id, event_id: ids.get(keyOf(one)) ?? '', decision, run_id, reason });
  }
}

/** One batch. Answers true when there may be more behind it. */
async function turn(state: State): Promise<boolean> {
  const { options, rules } = state;
  const room = await rooms(options);
  state.limited = room.size > 0;
  const batch = await waitingEvents(options.db, options.host, LIMITS, room);
  if (batch.length === 0) return false;
  await compile(state, new Set(batch.map((one) => one.trigger_id)));
  const results: (Decided | Postponed)[] = [];
  const starts: Start[] = [];
  for (const waiting of batch) {
    const rule = rules.get(waiting.trigger_id);
    if (rule === undefined) continue;
    const verdict = judge(waiting, rule);
    if ('request' in verdict) starts.push(verdict);
    else results.push(verdict);
  }
  const requests = starts.map((start) => start.request);
  const outcomes = requests.length === 0 ? [] : await startAll(options.ports, requests);
  starts.forEach((start, i) => results.push(settle(start, outcomes[i])));
  await write(options, results, batch);
  // What was put off waits for its time; behind what was decided there may be more.
  return results.some((one) => 'decision' in one);
}

export function makeDecider(options: DeciderOptions): Decider {
  const state: State = { options, rules: new Map(), limited: false, loop: null };
  return {
    start() {
      state.loop ??= startLoop({
        name: 'trigger-decider',
        interval_ms: SWEEP_MS,
        log: options.log,
        turn: () => turn(state),
      });
    },
    async stop() {
      const { loop } = state;
      state.loop = null;
      await loop?.stop();
    },
    wake: () => state.loop?.wake(),
    runEnded() {
      if (state.limited) state.loop?.wake();
    },
  };
}
