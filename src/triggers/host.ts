// The trigger host: what the service calls. It keeps triggers, runs the sources of those it leads, stores events
// before anything is decided, and starts at most one run for each.
//
//   source (kinds/) ─┐
//   webhook, fire ───┴─► store.ts ──► trigger_events ──► decider.ts ──► startRun(s)
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { eventById, eventsOf, type Decision } from '../db/trigger-events.ts';
import { deleteTrigger, insertTrigger, setTriggerState, triggerFigures } from '../db/triggers.ts';
import { triggersByIds, triggersOf, type TriggerFigures, type TriggerRow } from '../db/triggers.ts';
import { Fault } from '../errors.ts';
import { isUuid } from '../ids.ts';
import type { Logger } from '../log.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { HookRequest } from './cloud-event.ts';
import { makeDecider } from './decider.ts';
import { describeEvent, describeTrigger, parseNewTrigger } from './document.ts';
import type { EventDocument, TriggerDocument } from './document.ts';
import { makeInbox, receiptOf, type FireRequest, type Receipt } from './inbox.ts';
import { KINDS } from './kinds/index.ts';
import type { TriggerPorts } from './ports.ts';
import { hashSecret, isSecret, seal } from './secrets.ts';
import { makeSources } from './sources.ts';
import { makeEventStore, type NoticeListener } from './store.ts';

/** Triggers of one user at most. */
const MAX_TRIGGERS = 1_000;
/** How long `fire` waits for the decision before it answers without. */
const FIRE_WAIT_MS = 2_000;
/** Tells the other services that triggers changed or events came. */
const CHANNEL = 'triggers';

export interface TriggerHostOptions {
  readonly db: Db;
  readonly ports: TriggerPorts;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
  /** Folders below which files may be watched; null or absent: anywhere this process can read. */
  readonly watch_roots?: readonly string[] | null;
  /** 32 bytes that seal signing secrets; absent: triggers with one are refused. */
  readonly secret_key?: Buffer | null;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsed?: () => number;
}

export interface EventPage {
  readonly events: readonly EventDocument[];
  /** Pass it to get the next page; null at the end. */
  readonly marker: string | null;
}

/** `owner` is always the caller's identity UUID: what is another's is not found. */
export interface TriggerHost {
  create(owner: string, body: unknown): Promise<TriggerDocument>;
  get(owner: string, id: string): Promise<TriggerDocument>;
  list(owner: string): Promise<readonly TriggerDocument[]>;
  delete(owner: string, id: string): Promise<void>;
  pause(owner: string, id: string): Promise<TriggerDocument>;
  resume(owner: string, id: string): Promise<TriggerDocument>;
  fire(owner: string, id: string, request: FireRequest): Promise<Receipt>;
  /** Newest first. */
  events(
    owner: string,
    id: string,
    page?: { readonly limit?: number; readonly marker?: string; readonly decision?: Decision },
  ): Promise<EventPage>;
  /** A webhook of its owner. */
  receive(owner: string, id: string, request: HookRequest): Promise<Receipt>;
  /** A webhook through its secret URL. */
  receiveHook(id: string, secret: string, request: HookRequest): Promise<Receipt>;
  start(): void;
  /** Ends sources and loops; nothing is lost, the next start goes on. */
  stop(): Promise<void>;
  /** A run ended: triggers that limit their runs may start the next. A hint. */
  wake(): void;
  /** Tells of events stored and decided by this process. Answers how to end it. */
  onEvent(listener: NoticeListener): () => void;
}

function notFound(id: string): Fault {
  return new Fault('trigger_not_found', `No such trigger: ${id.slice(0, 80)}`, { args: [id.slice(0, 80)] });
}

export function makeTriggerHost(options: TriggerHostOptions): TriggerHost {
  const { db, ports, clock, chance, log } = options;
  const host = chance.uuid();
  const secret_key = options.secret_key ?? null;
  const elapsed = options.elapsed ?? (() => performance.now());
  const listeners = new Set<NoticeListener>();
  let started = false;

  const notify: NoticeListener = (notice) => {
    for (const listener of listeners) {
      try {
        listener(notice);
      } catch (error) {
        log.error({ err: error }, 'a listener to trigger events failed');
      }
    }
  };
  const tellOthers = (): void => {
    db.notify(CHANNEL, host).catch((error: unknown) =>
      log.debug({ err: error }, 'the other services were not told'),
    );
  };
  const decider = makeDecider({ db, host, ports, log, notify });
  const store = makeEventStore({
    db,
    host,
    elapsed,
    notify,
    onStored(triggerId) {
      decider.wake();
      if (!sources.leads(triggerId)) tellOthers();
    },
  });
  const sources = makeSources({
    db,
    host,
    log,
    store,
    now: () => clock.now(),
    elapsed,
    watch_roots: options.watch_roots ?? null,
    onLed: () => decider.wake(),
  });
  const inbox = makeInbox({
    db,
    store,
    now: () => clock.now(),
    makeId: () => chance.uuid(),
    secret_key,
  });

  const find = async (owner: string, id: string): Promise<TriggerRow> => {
    if (!isUuid(id)) throw notFound(id);
    const [row] = await triggersByIds(db, [id]);
    if (row === undefined || row.owner !== owner) throw notFound(id);
    return row;
  };
  const healthOf = (row: TriggerRow, figures: TriggerFigures | undefined): JsonObject => {
    if (row.state === 'paused') return { state: 'paused' };
    if (KINDS.get(row.kind)?.run === undefined) return { state: 'listening' };
    const here = sources.health(row.id);
    if (here !== null) return here;
    if (figures?.led !== true)
      return { state: 'stopped', error: 'no service runs this source at the moment' };
    const told = (figures.health ?? { state: 'starting' }) as JsonObject;
    return figures.health_at === null ? told : { ...told, as_of: figures.health_at.toISOString() };
  };
  const describeAll = async (rows: readonly TriggerRow[]): Promise<TriggerDocument[]> => {
    const figures = await triggerFigures(
      db,
      rows.map((row) => row.id),
    );
    const byId = new Map(figures.map((one) => [one.id, one]));
    return rows.map((row) => {
      const mine = byId.get(row.id);
      return describeTrigger(row, mine ?? null, healthOf(row, mine), null);
    });
  };
  const describe = async (owner: string, id: string): Promise<TriggerDocument> =>
    (await describeAll([await find(owner, id)]))[0] as TriggerDocument;
  const changed = (): void => {
    sources.wake();
    decider.wake();
    tellOthers();
  };
  const switchTo = async (
    owner: string,
    id: string,
    state: 'active' | 'paused',
  ): Promise<TriggerDocument> => {
    if (!isUuid(id) || !(await setTriggerState(db, id, owner, state))) throw notFound(id);
    changed();
    return describe(owner, id);
  };
  const sealed = (secret: string | null): Buffer | null => {
    if (secret === null) return null;
    if (secret_key !== null) return seal(secret, secret_key, chance.bytes(12));
    throw new Fault('unavailable', 'This service has no key to keep signing secrets with.', {
      remedy: 'Use the secret URL without a signature, or ask the operator for a secret key.',
    });
  };

  return {
    async create(owner, body) {
      const wanted = parseNewTrigger(body);
      await ports.checkFlow?.(owner, wanted.flow_id);
      if (wanted.max_in_flight !== null && ports.activeRuns === undefined)
        throw new Fault('invalid_request', 'This service cannot limit the runs in flight of a trigger.');
      if ((await triggersOf(db, owner, MAX_TRIGGERS)).length >= MAX_TRIGGERS)
        throw new Fault('too_many_requests', `You have ${MAX_TRIGGERS} triggers; delete some first.`);
      const secret = wanted.kind.kind === 'webhook' ? chance.bytes(24).toString('base64url') : null;
      const row = await insertTrigger(db, {
        id: chance.uuid(),
        owner,
        name: wanted.name,
        kind: wanted.kind.kind,
        config: wanted.config,
        flow_id: wanted.flow_id,
        input: wanted.input,
        label: wanted.label,
        filter: wanted.filter as JsonObject | null,
        max_in_flight: wanted.max_in_flight,
        hook_hash: secret === null ? null : hashSecret(secret),
        signing_secret: sealed(wanted.signing_secret),
        lease_holder: started ? host : null,
      });
      changed();
      return describeTrigger(row, null, { state: row.kind === 'webhook' ? 'listening' : 'starting' }, secret);
    },
    get: describe,
    list: async (owner) => describeAll(await triggersOf(db, owner, MAX_TRIGGERS)),
    async delete(owner, id) {
      if (!isUuid(id) || !(await deleteTrigger(db, id, owner))) throw notFound(id);
      changed();
    },
    pause: (owner, id) => switchTo(owner, id, 'paused'),
    resume: (owner, id) => switchTo(owner, id, 'active'),
    async fire(owner, id, request) {
      const row = await find(owner, id);
      let heard: () => void = () => undefined;
      const decidedHere = new Promise<void>((resolve) => (heard = resolve));
      let wanted: string | null = null;
      const early = new Set<string>();
      const end = this.onEvent((notice) => {
        if (notice.is !== 'decided' || notice.trigger_id !== id) return;
        early.add(notice.event_id);
        if (notice.event_id === wanted) heard();
      });
      try {
        const receipt = await inbox.fire(row, request);
        wanted = receipt.event_id;
        if (started && receipt.decision === 'waiting' && !early.has(wanted))
          await soon(decidedHere, FIRE_WAIT_MS);
        const now = await eventById(db, id, receipt.event_id);
        return now === null ? receipt : receiptOf(now, receipt.duplicate);
      } finally {
        end();
      }
    },
    async events(owner, id, page = {}) {
      await find(owner, id);
      const limit = Math.min(Math.max(page.limit ?? 50, 1), 500);
      const before = page.marker === undefined ? null : Number(page.marker);
      if (before !== null && !Number.isSafeInteger(before))
        throw new Fault('invalid_request', 'The marker is not one that this list gave.');
      const rows = await eventsOf(db, id, { limit, before, decision: page.decision ?? null });
      const last = rows.at(-1);
      return {
        events: rows.map(describeEvent),
        marker: rows.length === limit && last !== undefined ? String(last.seq) : null,
      };
    },
    receive: async (owner, id, request) => inbox.webhook(await find(owner, id), request),
    async receiveHook(id, secret, request) {
      const [row] = isUuid(id) ? await triggersByIds(db, [id]) : [];
      if (!isSecret(secret, row?.hook_hash ?? null) || row === undefined)
        throw notFound('this URL names none');
      return inbox.signedWebhook(row, request);
    },
    start() {
      if (started) return;
      started = true;
      db.listen(CHANNEL, (from) => {
        if (from === host || !started) return;
        sources.wake();
        decider.wake();
      }).catch((error: unknown) => log.warn({ err: error }, 'notifications between services are off'));
      sources.start();
      decider.start();
    },
    async stop() {
      if (!started) return;
      started = false;
      await Promise.all([decider.stop(), sources.stop()]);
      tellOthers();
    },
    wake: () => decider.wake(),
    onEvent(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

async function soon(work: Promise<void>, limit_ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => (timer = setTimeout(resolve, limit_ms)))]);
  clearTimeout(timer);
}
