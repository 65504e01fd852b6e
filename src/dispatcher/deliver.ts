// Delivery: from stored chunks to frames on a link. Straight away when this service holds the link and nothing
// waits before them; through the queue otherwise. Whatever goes wrong here leaves a queued row, and the
// reconciler comes back to it.
import type { Db } from '../db/connect.ts';
import { findEndpoint } from '../db/endpoints.ts';
import { findFunction } from '../db/functions.ts';
import { loadDeliverable, markSent, type DeliverableChunk, type NewChunk } from '../db/tasks.ts';
import type { Logger } from '../log.ts';
import { makeGroupCommit } from './group-commit.ts';
import { makeRecent } from './recent.ts';
import { DELIVERY_CHUNKS, type Delivery, type DeliveryQueue } from './queues.ts';
import {
  batchToDeliver,
  closeChunk,
  functionFrames,
  hasRoom,
  openChunk,
  submitFrames,
  waitForRoom,
  type Session,
} from './session.ts';

const ROOM_WAIT_MS = 30_000;
const TAKE_WAIT_MS = 10_000;
const PAYLOAD_CACHE_BYTES = 64 * 1024 * 1024;
const FUNCTION_CACHE_BYTES = 64 * 1024 * 1024;
/** How long this service believes that an endpoint's link is where it last saw it. */
const LINK_MEMORY_MS = 1_000;

export interface Deliverer {
  /** Takes newly stored chunks. Never throws. */
  offer(chunks: readonly NewChunk[]): void;
  /** Works on one job of the queue; throws to have it tried again. */
  deliver(delivery: Delivery): Promise<void>;
  /** Queues chunks of one endpoint for this service. */
  enqueue(endpointId: string, chunkIds: readonly string[]): Promise<void>;
  /** The manager took a delivery. */
  taken(session: Session, chunk: string, epoch: number): void;
  /** Sends a manager the code of functions it asks for. */
  sendFunctions(session: Session, functionIds: readonly string[]): Promise<void>;
}

export interface DelivererDeps {
  readonly db: Db;
  readonly service_id: string;
  readonly queue: DeliveryQueue;
  readonly log: Logger;
  readonly now: () => number;
  /** May chunks skip the queue when nothing waits? */
  readonly direct: boolean;
  readonly sessionOf: (endpointId: string) => Session | undefined;
  /** Queues frames for a peer; false when its outbox is full. */
  readonly send: (session: Session, frames: readonly Uint8Array[]) => boolean;
}

export function makeDeliverer(deps: DelivererDeps): Deliverer {
  const { db, log, queue, now } = deps;
  const payloads = makeRecent<DeliverableChunk>(PAYLOAD_CACHE_BYTES);
  const codes = makeRecent<Buffer>(FUNCTION_CACHE_BYTES);
  const links = new Map<string, { readonly service: string | null; readonly until_ms: number }>();

  const sent = makeGroupCommit<{ id: string; epoch: number }, void>({
    concurrency: 1,
    max_weight: 500,
    weigh: () => 1,
    async write(deliveries) {
      await markSent(db, deliveries);
      return [];
    },
  });

  const codeOf = async (functionId: string): Promise<Buffer | undefined> => {
    const known = codes.get(functionId);
    if (known !== undefined) return known;
    const row = await findFunction(db, functionId);
    if (row === undefined) return undefined;
    const code = Buffer.from(row.code);
    codes.put(functionId, code, code.length);
    return code;
  };

  const sendFunctions = async (session: Session, ids: readonly string[]): Promise<void> => {
    const found: [string, Buffer][] = [];
    for (const id of ids) {
      const code = await codeOf(id);
      if (code !== undefined) found.push([id, code]);
    }
    if (found.length === 0 || !deps.send(session, functionFrames(found))) return;
    for (const [id] of found) session.functions.add(id);
  };

  /** Puts chunks on the link; false when its outbox is full and nothing was sent. */
  const put = (
    session: Session,
    chunks: readonly DeliverableChunk[],
    taken: (id: string) => void,
  ): boolean => {
    const batches = chunks.map((chunk) => [chunk, batchToDeliver(chunk)] as const);
    for (const [chunk, batch] of batches) {
      session.untaken.set(chunk.id, { epoch: chunk.epoch, sent_ms: now(), taken: () => taken(chunk.id) });
      const left = chunk.tasks - (chunk.done.match(/1/g)?.length ?? 0);
      openChunk(session, chunk.id, { epoch: chunk.epoch, bytes: batch.length, left });
    }
    if (deps.send(session, submitFrames(batches))) return true;
    for (const chunk of chunks) {
      session.untaken.delete(chunk.id);
      closeChunk(session, chunk.id);
    }
    return false;
  };

  /** Was this delivery sent a moment ago, so that its answer may still come? */
  const isOnItsWay = (session: Session, chunk: DeliverableChunk): boolean => {
    const untaken = session.untaken.get(chunk.id);
    return untaken?.epoch === chunk.epoch && now() - untaken.sent_ms < TAKE_WAIT_MS;
  };

  const nothing = (): void => undefined;

  const linkHolder = async (endpointId: string): Promise<string | null> => {
    const known = links.get(endpointId);
    if (known !== undefined && known.until_ms > now()) return known.service;
    const service = (await findEndpoint(db, endpointId))?.link_service ?? null;
    if (links.size > 10_000) links.clear();
    links.set(endpointId, { service, until_ms: now() + LINK_MEMORY_MS });
    return service;
  };

  const enqueueFor = async (service: string, endpointId: string, ids: readonly string[]): Promise<void> => {
    const deliveries: Delivery[] = [];
    for (let start = 0; start < ids.length; start += DELIVERY_CHUNKS) {
      deliveries.push({ endpoint_id: endpointId, chunks: ids.slice(start, start + DELIVERY_CHUNKS) });
    }
    if (deliveries.length > 0) await queue.add(service, deliveries);
  };

  const route = async (endpointId: string, chunks: readonly NewChunk[]): Promise<void> => {
    const session = deps.sessionOf(endpointId);
    const fresh = chunks.map((chunk): DeliverableChunk => ({ ...chunk, epoch: 1, done: '' }));
    if (session !== undefined && deps.direct && session.waiting === 0 && hasRoom(session)) {
      const unknown = [...new Set(fresh.map((chunk) => chunk.function_id))].filter(
        (id) => !session.functions.has(id),
      );
      if (unknown.length > 0) await sendFunctions(session, unknown);
      if (put(session, fresh, nothing)) return;
    }
    const service = session === undefined ? await linkHolder(endpointId) : deps.service_id;
    // Nobody holds the link: the chunks wait in their rows and are queued when the endpoint comes.
    if (service === null) return;
    if (service === deps.service_id) {
      for (const chunk of fresh) payloads.put(chunk.id, chunk, chunk.payloads.length);
    }
    await enqueueFor(
      service,
      endpointId,
      fresh.map((chunk) => chunk.id),
    );
  };

  return {
    offer(chunks) {
      const byEndpoint = new Map<string, NewChunk[]>();
      for (const chunk of chunks) {
        const same = byEndpoint.get(chunk.endpoint_id) ?? [];
        same.push(chunk);
        byEndpoint.set(chunk.endpoint_id, same);
      }
      for (const [endpointId, same] of byEndpoint) {
        route(endpointId, same).catch((error: unknown) => {
          log.warn({ err: error, endpoint_id: endpointId }, 'new tasks stay queued until the next look');
        });
      }
    },
    async deliver(delivery) {
      const session = deps.sessionOf(delivery.endpoint_id);
      // The link ended: when the endpoint is back, its queued rows are queued again.
      if (session === undefined) return;
      if (!(await waitForRoom(session, ROOM_WAIT_MS))) {
        if (session.ended) return;
        throw new Error('the endpoint is busy; the delivery waits for room');
      }
      const cached = delivery.chunks.map((id) => payloads.take(id));
      const known = cached.filter((chunk) => chunk !== undefined);
      const missing = delivery.chunks.filter((_, place) => cached[place] === undefined);
      const loaded = missing.length === 0 ? [] : await loadDeliverable(db, missing);
      const wanted = [...known, ...loaded];
      const unknown = [...new Set(wanted.map((chunk) => chunk.function_id))].filter(
        (id) => !session.functions.has(id),
      );
      if (unknown.length > 0) await sendFunctions(session, unknown);
      // Looked at last: the same chunk may have come by another job while the code was fetched.
      const chunks = wanted.filter((chunk) => !isOnItsWay(session, chunk));
      if (chunks.length === 0) return;
      await allTaken(session, chunks, (taken) => put(session, chunks, taken));
    },
    enqueue: (endpointId, chunkIds) => enqueueFor(deps.service_id, endpointId, chunkIds),
    taken(session, chunk, epoch) {
      const waiting = session.untaken.get(chunk);
      if (waiting === undefined || waiting.epoch !== epoch) return;
      session.untaken.delete(chunk);
      void sent.add({ id: chunk, epoch }).then(waiting.taken, (error: unknown) => {
        log.warn({ err: error, chunk }, 'a delivery could not be noted; it is made again');
      });
    },
    sendFunctions,
  };
}

/** Sends and waits until the manager has taken every chunk; throws when it does not within the time. */
async function allTaken(
  session: Session,
  chunks: readonly DeliverableChunk[],
  put: (taken: (id: string) => void) => boolean,
): Promise<void> {
  const left = new Set(chunks.map((chunk) => chunk.id));
  await new Promise<void>((resolve, reject) => {
    const giveUp = (why: string): void => {
      for (const id of left) session.untaken.delete(id);
      reject(new Error(why));
    };
    const timer = setTimeout(() => giveUp('the endpoint did not take the delivery in time'), TAKE_WAIT_MS);
    const sent = put((id) => {
      left.delete(id);
      if (left.size > 0) return;
      clearTimeout(timer);
      resolve();
    });
    if (!sent) {
      clearTimeout(timer);
      giveUp('the link is congested; the delivery is tried again');
    }
  });
}
