// The trigger host: what the service calls. It keeps triggers, runs the sources of those it leads, stores events
// before anything is decided, and starts at most one run for each.
//
//   source (kinds/) ─┐
//   webhook, fire ───┴─► store.ts ──► trigger_events ──► decider.ts ──► startRun(s)
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { eventById, eventsOf, type Decision } from '../db/trigger-events.ts';
import { triggersByIds, type TriggerRow } from '../db/triggers.ts';
import { Fault } from '../errors.ts';
import { isUuid } from '../ids.ts';
import type { Logger } from '../log.ts';
import { makeCatalog, notFound, type Catalog } from './catalog.ts';
import type { HookRequest } from './cloud-event.ts';
import { makeDecider, type Decider } from './decider.ts';
import { describeEvent, type EventDocument, type TriggerDocument } from './document.ts';
import { makeInbox, receiptOf, type FireRequest, type Inbox, type Receipt } from './inbox.ts';
import type { TriggerPorts } from './ports.ts';
import { isSecret } from './secrets.ts';
import { makeSources, type Sources } from './sources.ts';
import { makeEventStore, type EventStore, type NoticeListener } from './store.ts';

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

export interface EventPageRequest {
  /** 1 to 500; default 50. */
  readonly limit?: number;
  readonly marker?: string;
  readonly decision?: Decision;
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
  /** Stores an event by hand and waits up to 2 s for what is decided about it. */
  fire(owner: string, id: string, request: FireRequest): Promise<Receipt>;
  /** Newest first. */
  events(owner: string, id: string, page?: EventPageRequest): Promise<EventPage>;
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

/** Whoever listens to what happens to events. */
interface Audience {
  readonly notify: NoticeListener;
  readonly onEvent: (listener: NoticeListener) => () => void;
}

function makeAudience(log: Logger): Audience {
  const listeners = new Set<NoticeListener>();
  return {
    notify(notice) {
      for (const listener of listeners) {
        try {
          listener(notice);
        } catch (error) {
          log.error({ err: error }, 'a listener to trigger events failed');
        }
      }
    },
    onEvent(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

interface Parts {
  readonly db: Db;
  /** This host's id, new at each start of the process. */
  readonly id: string;
  readonly audience: Audience;
  readonly decider: Decider;
  readonly store: EventStore;
  readonly sources: Sources;
  readonly inbox: Inbox;
  readonly catalog: Catalog;
  readonly log: Logger;
  readonly tellOthers: () => void;
  started: boolean;
}

function makeParts(options: TriggerHostOptions): Parts {
  const { db, ports, clock, chance, log } = options;
  const id = chance.uuid();
  const secret_key = options.secret_key ?? null;
  const elapsed = options.elapsed ?? (() => performance.now());
  const now = (): number => clock.now();
  const audience = makeAudience(log);
  const { notify } = audience;
  const tellOthers = (): void => {
    db.notify(CHANNEL, id).catch((error: unknown) =>
      log.debug({ err: error }, 'the other services were not told'),
    );
  };
  const decider = makeDecider({ db, host: id, ports, log, notify });
  const onStored = (triggerId: string): void => {
    decider.wake();
    if (!sources.leads(triggerId)) tellOthers();
  };
  const store = makeEventStore({ db, host: id, elapsed, notify, onStored });
  const watch_roots = options.watch_roots ?? null;
  const onLed = (): void => decider.wake();
  const sources = makeSources({ db, host: id, log, store, now, elapsed, watch_roots, onLed });
  const inbox = makeInbox({ db, store, now, makeId: () => chance.uuid(), secret_key });
  const catalog = makeCatalog({
    db,
    ports,
    chance,
    secret_key,
    healthHere: (triggerId) => sources.health(triggerId),
    leader: () => (parts.started ? id : null),
    onChange() {
      sources.wake();
      decider.wake();
      tellOthers();
    },
  });
  const parts: Parts = {
    db,
    id,
    audience,
    decider,
    store,
    sources,
    inbox,
    catalog,
    log,
    tellOthers,
    started: false,
  };
  return parts;
}

async function fire(parts: Parts, owner: string, id: string, request: FireRequest): Promise<Receipt> {
  const row = await parts.catalog.find(owner, id);
  const done = new Set<string>();
  let heard: (() => void) | null = null;
  const end = parts.audience.onEvent((notice) => {
    if (notice.is !== 'decided' || notice.trigger_id !== id) return;
    done.add(notice.event_id);
    heard?.();
  });
  try {
    const receipt = await parts.inbox.fire(row, request);
    if (receipt.decision !== 'waiting') return receipt;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, parts.started ? FIRE_WAIT_MS : 0);
      heard = () => {
        if (!done.has(receipt.event_id)) return;
        clearTimeout(timer);
        resolve();
      };
      heard();
    });
    const now = await eventById(parts.db, id, receipt.event_id);
    return now === null ? receipt : receiptOf(now, receipt.duplicate);
  } finally {
    end();
  }
}

async function events(parts: Parts, owner: string, id: string, page: EventPageRequest): Promise<EventPage> {
  await parts.catalog.find(owner, id);
  const limit = Math.min(Math.max(page.limit ?? 50, 1), 500);
  const before = page.marker === undefined ? null : Number(page.marker);
  if (before !== null && !Number.isSafeInteger(before))
    throw new Fault('invalid_request', 'The marker is not one that this list gave.');
  const rows = await eventsOf(parts.db, id, { limit, before, decision: page.decision ?? null });
  const last = rows.at(-1);
  return {
    events: rows.map(describeEvent),
    marker: rows.length === limit && last !== undefined ? String(last.seq) : null,
  };
}

async function rowBySecret(parts: Parts, id: string, secret: string): Promise<TriggerRow> {
  const [row] = isUuid(id) ? await triggersByIds(parts.db, [id]) : [];
  // The same words whether the id or the secret is wrong, and neither in them.
  if (!isSecret(secret, row?.hook_hash ?? null) || row === undefined) throw notFound('wrong URL');
  return row;
}

function start(parts: Parts): void {
  if (parts.started) return;
  parts.started = true;
  const { db, sources, decider, log } = parts;
  db.listen(CHANNEL, (from) => {
    if (from === parts.id || !parts.started) return;
    sources.wake();
    decider.wake();
  }).catch((error: unknown) => log.warn({ err: error }, 'notifications between services are off'));
  sources.start();
  decider.start();
}

async function stop(parts: Parts): Promise<void> {
  if (!parts.started) return;
  parts.started = false;
  await Promise.all([parts.decider.stop(), parts.sources.stop()]);
  parts.tellOthers();
}

/** Makes the host of one process. It serves requests at once; sources and decisions run after `start()`. */
export function makeTriggerHost(options: TriggerHostOptions): TriggerHost {
  const parts = makeParts(options);
  const { catalog, inbox } = parts;
  return {
    create: (owner, body) => catalog.create(owner, body),
    get: (owner, id) => catalog.get(owner, id),
    list: (owner) => catalog.list(owner),
    delete: (owner, id) => catalog.delete(owner, id),
    pause: (owner, id) => catalog.switchTo(owner, id, 'paused'),
    resume: (owner, id) => catalog.switchTo(owner, id, 'active'),
    fire: (owner, id, request) => fire(parts, owner, id, request),
    events: (owner, id, page = {}) => events(parts, owner, id, page),
    receive: async (owner, id, request) => inbox.webhook(await catalog.find(owner, id), request),
    receiveHook: async (id, secret, request) =>
      inbox.signedWebhook(await rowBySecret(parts, id, secret), request),
    start: () => start(parts),
    stop: () => stop(parts),
    wake: () => parts.decider.runEnded(),
    onEvent: (listener) => parts.audience.onEvent(listener),
  };
}
