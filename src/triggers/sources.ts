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

export function makeSources(options: SourcesOptions): Sources {
  const { db, host, log, elapsed } = options;
  const running = new Map<string, Running>();
  const failures = new Map<string, Failure>();
  let led: ReadonlySet<string> = new Set();
  let loop: Loop | null = null;
  let health_saved_ms = 0;

  const contextOf = (row: TriggerRow, entry: () => Running | undefined, abort: AbortController) => {
    const context: SourceContext = {
      trigger_id: row.id,
      created_at: row.created_at.getTime(),
      log: log.child({ trigger_id: row.id }),
      now: options.now,
      elapsed,
      watch_roots: options.watch_roots,
      emit: (events, cursor) => options.store.fromSource(row.id, events, cursor ?? null, abort.signal),
      stored: (ids) => storedIds(db, row.id, ids),
      loadCursor: () => cursorOf(db, row.id) as Promise<JsonObject | null>,
      report: (health) => {
        const mine = entry();
        if (mine !== undefined) mine.health = health;
        failures.delete(row.id);
      },
      signal: abort.signal,
    };
    return context;
  };
  const failed = (id: string, error: unknown): void => {
    const count = (failures.get(id)?.count ?? 0) + 1;
    const retry_ms = elapsed() + Math.min(60_000, 1_000 * 2 ** Math.min(count, 6));
    failures.set(id, { error: messageOf(error), count, retry_ms });
    log.warn({ err: error, trigger_id: id }, 'a trigger source ended; it is started again');
  };
  const begin = (row: TriggerRow, run: NonNullable<TriggerKind['run']>): void => {
    const abort = new AbortController();
    const context = contextOf(row, () => running.get(row.id), abort);
    const done = run(row.config as JsonObject, context)
      .then(
        () => (abort.signal.aborted ? undefined : failed(row.id, new Error('it ended by itself'))),
        (error: unknown) => (abort.signal.aborted ? undefined : failed(row.id, error)),
      )
      .then(() => {
        running.delete(row.id);
        loop?.wake();
      });
    running.set(row.id, { abort, done, health: { state: 'starting' } });
  };
  const startMissing = async (ids: readonly string[]): Promise<void> => {
    const due = ids.filter((id) => !running.has(id) && (failures.get(id)?.retry_ms ?? 0) <= elapsed());
    if (due.length === 0) return;
    for (const row of await triggersByIds(db, due)) {
      const run = KINDS.get(row.kind)?.run;
      if (run !== undefined && row.state === 'active' && loop !== null) begin(row, run);
    }
  };
  const tellHealth = async (): Promise<void> => {
    if (elapsed() - health_saved_ms < HEALTH_MS || running.size === 0) return;
    health_saved_ms = elapsed();
    await saveHealth(db, host, new Map([...running].map(([id, one]) => [id, one.health])));
  };
  const turn = async (): Promise<void> => {
    const triggers = await renewLeases(db, host, ALIVE_S);
    const before = led;
    led = new Set(triggers.map((one) => one.id));
    const active = new Set(triggers.filter((one) => one.state === 'active').map((one) => one.id));
    for (const [id, one] of running) if (!active.has(id)) one.abort.abort();
    for (const id of failures.keys()) if (!active.has(id)) failures.delete(id);
    await startMissing([...active]);
    if ([...led].some((id) => !before.has(id))) options.onLed();
    await tellHealth();
    await purgeTriggers(db, PURGE_EVENTS);
  };
  return {
    start() {
      loop ??= startLoop({ name: 'trigger-sources', interval_ms: RENEW_MS, log, turn });
    },
    async stop() {
      const ending = loop;
      loop = null;
      await ending?.stop();
      const all = [...running.values()];
      for (const one of all) one.abort.abort();
      await withinStopTime(Promise.all(all.map((one) => one.done)), log);
      if (ending !== null) await releaseLeases(db, host);
      led = new Set();
    },
    wake: () => loop?.wake(),
    leads: (id) => led.has(id),
    health(id) {
      const failure = failures.get(id);
      if (failure !== undefined) return { state: 'trouble', error: failure.error };
      return running.get(id)?.health ?? null;
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
