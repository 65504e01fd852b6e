// Which triggers this host leads, and the sources it runs for them. Several hosts share the database: each says
// every few seconds that it lives, and takes the triggers whose host does not.
import type { Db } from '../db/connect.ts';
import { cursorOf, releaseLeases, renewLeases, saveHealth, purgeTriggers } from '../db/triggers.ts';
import { storedIds } from '../db/trigger-events.ts';
import { triggersByIds, type TriggerRow } from '../db/triggers.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import { startLoop, type Loop } from '../loop.ts';
import type { JsonObject } from '../providers/contract.ts';
import { KINDS } from './kinds/index.ts';
import type { SourceContext, TriggerKind } from './ports.ts';
import type { EventStore } from './store.ts';

/** A host that was not heard of for so long is dead; it says that it lives every RENEW_MS. */
const ALIVE_S = 10;
const RENEW_MS = 3_000;
/** Health goes to the database so often, for the other services to show. */
const HEALTH_MS = 9_000;
/** How long a source may take to end. */
const STOP_MS = 15_000;
const PURGE_EVENTS = 5_000;

export interface Sources {
  start(): void;
  /** Ends all sources and gives the triggers back. */
  stop(): Promise<void>;
  /** Looks at the triggers now: one was made, paused, resumed or deleted. */
  wake(): void;
  leads(triggerId: string): boolean;
  /** What the running source last said; null when none runs here. */
  health(triggerId: string): JsonObject | null;
}

export interface SourcesOptions {
  readonly db: Db;
  readonly host: string;
  readonly log: Logger;
  readonly store: EventStore;
  readonly now: () => number;
  readonly elapsed: () => number;
  readonly watch_roots: readonly string[] | null;
  /** The triggers of this host may have become more: there may be events to decide. */
  readonly onLed: () => void;
}

interface Running {
  readonly abort: AbortController;
  readonly done: Promise<void>;
  health: JsonObject;
}

interface Failure {
  readonly error: string;
  readonly count: number;
  readonly retry_ms: number;
}

interface State {
  readonly options: SourcesOptions;
  readonly running: Map<string, Running>;
  readonly failures: Map<string, Failure>;
  led: ReadonlySet<string>;
  loop: Loop | null;
  health_saved_ms: number;
}

function contextOf(state: State, row: TriggerRow, signal: AbortSignal): SourceContext {
  const { db, log, store, now, elapsed, watch_roots } = state.options;
  return {
    trigger_id: row.id,
    created_at: row.created_at.getTime(),
    log: log.child({ trigger_id: row.id }),
    now,
    elapsed,
    watch_roots,
    emit: (events, cursor) => store.fromSource(row.id, events, cursor ?? null, signal),
    stored: (ids) => storedIds(db, row.id, ids),
    loadCursor: () => cursorOf(db, row.id) as Promise<JsonObject | null>,
    report(health) {
      const mine = state.running.get(row.id);
      if (mine !== undefined) mine.health = health;
      state.failures.delete(row.id);
    },
    signal,
  };
}

function noteFailure(state: State, id: string, error: unknown): void {
  const count = (state.failures.get(id)?.count ?? 0) + 1;
  const retry_ms = state.options.elapsed() + Math.min(60_000, 1_000 * 2 ** Math.min(count, 6));
  state.failures.set(id, { error: messageOf(error), count, retry_ms });
  state.options.log.warn({ err: error, trigger_id: id }, 'a trigger source ended; it is started again');
}

function begin(state: State, row: TriggerRow, run: NonNullable<TriggerKind['run']>): void {
  const abort = new AbortController();
  const ended = (error: unknown): void => {
    if (!abort.signal.aborted) noteFailure(state, row.id, error);
    state.running.delete(row.id);
    state.loop?.wake();
  };
  const done = run(row.config as JsonObject, contextOf(state, row, abort.signal)).then(
    () => ended(new Error('it ended by itself')),
    ended,
  );
  state.running.set(row.id, { abort, done, health: { state: 'starting' } });
}

async function startMissing(state: State, active: ReadonlySet<string>): Promise<void> {
  const { running, failures, options } = state;
  const due = [...active].filter(
    (id) => !running.has(id) && (failures.get(id)?.retry_ms ?? 0) <= options.elapsed(),
  );
  if (due.length === 0) return;
  for (const row of await triggersByIds(options.db, due)) {
    const run = KINDS.get(row.kind)?.run;
    if (run !== undefined && row.state === 'active' && state.loop !== null) begin(state, row, run);
  }
}

async function tellHealth(state: State): Promise<void> {
  const { db, host, elapsed } = state.options;
  if (elapsed() - state.health_saved_ms < HEALTH_MS || state.running.size === 0) return;
  state.health_saved_ms = elapsed();
  await saveHealth(db, host, new Map([...state.running].map(([id, one]) => [id, one.health])));
}

async function turn(state: State): Promise<void> {
  const { db, host, onLed } = state.options;
  const triggers = await renewLeases(db, host, ALIVE_S);
  const before = state.led;
  state.led = new Set(triggers.map((one) => one.id));
  const active = new Set(triggers.filter((one) => one.state === 'active').map((one) => one.id));
  for (const [id, one] of state.running) if (!active.has(id)) one.abort.abort();
  for (const id of state.failures.keys()) if (!active.has(id)) state.failures.delete(id);
  await startMissing(state, active);
  if ([...state.led].some((id) => !before.has(id))) onLed();
  await tellHealth(state);
  await purgeTriggers(db, PURGE_EVENTS);
}

async function stop(state: State): Promise<void> {
  const { db, host, log } = state.options;
  const { loop } = state;
  if (loop === null) return;
  state.loop = null;
  await loop.stop();
  const all = [...state.running.values()];
  for (const one of all) one.abort.abort();
  await withinStopTime(Promise.all(all.map((one) => one.done)), log);
  state.led = new Set();
  // With the database away, the lease runs out by itself.
  await releaseLeases(db, host).catch((error: unknown) =>
    log.warn({ err: error }, 'the triggers could not be given back'),
  );
}

export function makeSources(options: SourcesOptions): Sources {
  const state: State = {
    options,
    running: new Map(),
    failures: new Map(),
    led: new Set(),
    loop: null,
    health_saved_ms: 0,
  };
  return {
    start() {
      state.loop ??= startLoop({
        name: 'trigger-sources',
        interval_ms: RENEW_MS,
        log: options.log,
        turn: () => turn(state),
      });
    },
    stop: () => stop(state),
    wake: () => state.loop?.wake(),
    leads: (id) => state.led.has(id),
    health(id) {
      const failure = state.failures.get(id);
      if (failure !== undefined) return { state: 'trouble', error: failure.error };
      return state.running.get(id)?.health ?? null;
    },
  };
}

/** A source that hangs in a dead file system must not keep the service from ending. */
async function withinStopTime(work: Promise<unknown>, log: Logger): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      log.warn('a trigger source did not end in time');
      resolve();
    }, STOP_MS);
  });
  await Promise.race([work, late]);
  clearTimeout(timer);
}
