// The service's end of every endpoint's link: who may connect, what a fresh link means for the tasks its manager
// had, and what each message from a manager sets off.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Db } from '../db/connect.ts';
import {
  allCurveKeys,
  findEndpoint,
  linkEndpoint,
  noteStatus,
  unlinkEndpoint,
  type EndpointRow,
} from '../db/endpoints.ts';
import { indexesOf, maskOf } from '../db/mask.ts';
import { claimQueued, databaseNow, loadChunks, loadSent, markStarted, requeue } from '../db/tasks.ts';
import { isUuid } from '../ids.ts';
import type { Logger } from '../log.ts';
import { ProtocolError, decodeMessage, encodeMessage } from '../protocol/codec.ts';
import type { HeldTasks, ManagerToService, ServiceToManager, TaskRefs } from '../protocol/messages.ts';
import type { Hub, KeyPair, PeerId } from '../transport/link.ts';
import { openHub } from '../transport/zmq.ts';
import type { Deliverer } from './deliver.ts';
import type { ResultIntake } from './results.ts';
import { makeSession, openChunk, wakeRoomWaiters, type Session } from './session.ts';

export const HEARTBEAT_MS = 5_000;
/** Heartbeats missed before a link counts as down. */
const MISSED_HEARTBEATS = 3;
const CLAIM_PAGE = 500;

export interface Links {
  readonly address: string;
  sessionOf(endpointId: string): Session | undefined;
  send(session: Session, frames: readonly Uint8Array[]): boolean;
  /** Reads the keys that may connect again: one was added or removed. */
  reloadKeys(): Promise<void>;
  /** Ends the link of a deleted endpoint. */
  drop(endpointId: string, code: string, reason: string): void;
  /** One turn of the link's clock: heartbeats out, silent links down. */
  tick(): Promise<void>;
  close(): Promise<void>;
}

export interface LinksDeps {
  readonly db: Db;
  readonly service_id: string;
  readonly bind: string;
  readonly keys: KeyPair;
  readonly log: Logger;
  readonly now: () => number;
  readonly intake: ResultIntake;
  /** Made after the links, since it sends through them. */
  readonly deliverer: () => Deliverer;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function provesItself(endpoint: EndpointRow | undefined, secret: unknown): endpoint is EndpointRow {
  if (endpoint?.secret_hash == null || typeof secret !== 'string') return false;
  return timingSafeEqual(endpoint.secret_hash, sha256(secret));
}

/** Held tasks by chunk: what a manager says it still has. */
function heldByChunk(held: readonly HeldTasks[]): Map<string, { mask: string; epoch: number }> {
  const byChunk = new Map<string, { indexes: Set<number>; epoch: number }>();
  for (const tasks of held) {
    if (!isUuid(tasks.chunk)) continue;
    const known = byChunk.get(tasks.chunk) ?? { indexes: new Set<number>(), epoch: tasks.epoch };
    for (const index of tasks.indexes) if (index >= 0 && index < 128) known.indexes.add(index);
    byChunk.set(tasks.chunk, { indexes: known.indexes, epoch: Math.max(known.epoch, tasks.epoch) });
  }
  return new Map(
    [...byChunk].map(([chunk, { indexes, epoch }]) => [chunk, { mask: maskOf(indexes), epoch }]),
  );
}

/** Tasks of a chunk that have no result and that the manager does not have. */
function lostTasks(chunk: { done: string; tasks: number }, heldMask: string | undefined): number {
  let lost = 0;
  for (let index = 0; index < chunk.tasks; index++) {
    if (chunk.done[index] !== '1' && heldMask?.[index] !== '1') lost++;
  }
  return lost;
}

export async function openLinks(deps: LinksDeps): Promise<Links> {
  const { db, log, now } = deps;
  const byEndpoint = new Map<string, Session>();
  const byPeer = new Map<PeerId, Session>();
  let allowed = new Set<string>();
  const strange = new Set<string>();

  const reloadKeys = async (): Promise<void> => {
    allowed = new Set(await allCurveKeys(db));
  };
  await reloadKeys();

  const say = (peer: PeerId, message: ServiceToManager): void => {
    hub.send(peer, encodeMessage(message));
  };

  const end = async (session: Session, why: string): Promise<void> => {
    if (session.ended) return;
    session.ended = true;
    wakeRoomWaiters(session);
    byPeer.delete(session.peer);
    if (byEndpoint.get(session.endpoint_id) === session) byEndpoint.delete(session.endpoint_id);
    log.info({ endpoint_id: session.endpoint_id, why }, 'an endpoint went offline');
    await unlinkEndpoint(db, session.endpoint_id, session.link_epoch).catch((error: unknown) =>
      log.warn({ err: error }, 'an offline endpoint could not be noted'),
    );
  };

  /** What was sent and neither ended nor is held any more was lost with the manager's predecessor. */
  const redeliver = async (
    endpointId: string,
    held: ReadonlyMap<string, { mask: string }>,
  ): Promise<void> => {
    const sent = await loadSent(db, endpointId);
    const lost = sent
      .filter((chunk) => lostTasks(chunk, held.get(chunk.id)?.mask) > 0)
      .map((chunk) => chunk.id);
    if (lost.length === 0) return;
    log.warn(
      { endpoint_id: endpointId, chunks: lost.length },
      'tasks their manager lost are delivered again',
    );
    await requeue(db, lost);
  };

  /** Held tasks that have a result already (cancelled, say) and must not run. */
  const alreadyEnded = async (held: ReadonlyMap<string, { mask: string }>): Promise<TaskRefs[]> => {
    const rows = new Map((await loadChunks(db, [...held.keys()])).map((row) => [row.id, row]));
    return [...held].flatMap(([chunk, { mask }]) => {
      const done = rows.get(chunk)?.done;
      const indexes = indexesOf(mask).filter((index) => done === undefined || done[index] === '1');
      return indexes.length === 0 ? [] : [{ chunk, indexes }];
    });
  };

  const enqueueWaiting = async (endpointId: string): Promise<void> => {
    const since = await databaseNow(db);
    for (;;) {
      const page = await claimQueued(db, endpointId, since, CLAIM_PAGE);
      if (page.length > 0) {
        await deps.deliverer().enqueue(
          endpointId,
          page.map((chunk) => chunk.id),
        );
      }
      if (page.length < CLAIM_PAGE) return;
    }
  };

  const hello = async (
    peer: PeerId,
    message: Extract<ManagerToService, { kind: 'link.hello' }>,
  ): Promise<void> => {
    const endpoint = isUuid(message.endpoint_id) ? await findEndpoint(db, message.endpoint_id) : undefined;
    if (!provesItself(endpoint, message.secret)) {
      say(peer, {
        kind: 'link.refused',
        code: endpoint === undefined ? 'unknown_endpoint' : 'bad_secret',
        reason: 'This endpoint is not registered here under this key; configure it again.',
      });
      return;
    }
    const earlier = byEndpoint.get(endpoint.id);
    if (earlier !== undefined) await end(earlier, 'a newer link took its place');
    const held = heldByChunk(message.held);
    const link_epoch = await linkEndpoint(db, endpoint.id, deps.service_id);
    await redeliver(endpoint.id, held);
    const cancelled = await alreadyEnded(held);
    const session = makeSession(
      { endpoint_id: endpoint.id, peer, link_epoch, hostname: message.hostname },
      now(),
    );
    for (const [chunk, { mask, epoch }] of held) {
      openChunk(session, chunk, { epoch, bytes: 0, left: indexesOf(mask).length });
    }
    byEndpoint.set(endpoint.id, session);
    byPeer.set(peer, session);
    say(peer, { kind: 'link.welcome', heartbeat_ms: HEARTBEAT_MS, cancelled });
    log.info(
      { endpoint_id: endpoint.id, held: held.size, version: message.version },
      'an endpoint is online',
    );
    await enqueueWaiting(endpoint.id);
  };

  const started = async (tasks: readonly { chunk: string; index: number }[]): Promise<void> => {
    const byChunk = new Map<string, number[]>();
    for (const task of tasks) {
      if (isUuid(task.chunk)) byChunk.set(task.chunk, [...(byChunk.get(task.chunk) ?? []), task.index]);
    }
    await markStarted(
      db,
      [...byChunk].map(([chunk, indexes]) => ({ chunk, mask: maskOf(indexes) })),
    );
  };

  /** Results that cannot be stored end the link: the manager keeps them, and sends them again on its next one. */
  const results = async (
    session: Session,
    message: Extract<ManagerToService, { kind: 'tasks.results' }>,
    blob: Buffer,
  ): Promise<void> => {
    try {
      await deps.intake.take(message, blob);
    } catch (error) {
      await end(session, 'its results could not be stored');
      throw error;
    }
    say(session.peer, { kind: 'results.ack', seq: message.seq });
  };

  const handle = async (peer: PeerId, message: ManagerToService, blob: Buffer): Promise<void> => {
    if (message.kind === 'link.hello') return hello(peer, message);
    const session = byPeer.get(peer);
    // A peer without a session has not said hello to this process; it will, once it sees our silence.
    if (session === undefined) return;
    session.heard_ms = now();
    switch (message.kind) {
      case 'link.heartbeat':
        session.status = message.status;
        return noteStatus(db, session.endpoint_id, session.link_epoch, message.status);
      case 'link.bye':
        return end(session, 'it said bye');
      case 'tasks.accepted':
        for (const { chunk, epoch } of message.chunks) deps.deliverer().taken(session, chunk, epoch);
        return;
      case 'tasks.started':
        return started(message.tasks);
      case 'functions.wanted':
        return deps.deliverer().sendFunctions(session, message.function_ids);
      case 'tasks.results':
        return results(session, message, blob);
      default:
        unknownKind((message as { kind: string }).kind);
    }
  };

  const unknownKind = (kind: string): void => {
    if (strange.size >= 100 || strange.has(kind)) return;
    strange.add(kind);
    log.warn({ kind }, 'a message of an unknown kind was dropped; more of it are not logged');
  };

  const onMessage = (peer: PeerId, frames: Buffer[]): void => {
    try {
      const { message, blob } = decodeMessage<ManagerToService>(frames);
      handle(peer, message, blob).catch((error: unknown) => {
        log.error({ err: error, kind: message.kind }, 'a message from an endpoint could not be worked on');
      });
    } catch (error) {
      if (error instanceof ProtocolError && error.reason === 'version') {
        say(peer, { kind: 'link.refused', code: 'version', reason: error.message });
      }
      log.warn({ err: error, peer }, 'a message from an endpoint was dropped');
    }
  };

  const hub: Hub = await openHub({
    bind: deps.bind,
    keys: deps.keys,
    allow: (key) => allowed.has(key),
    events: {
      onMessage,
      onUnreachable(peer, why) {
        const session = byPeer.get(peer);
        if (session !== undefined) void end(session, why);
      },
      onRefused: (why) => log.warn({ why }, 'a peer was refused on the endpoint link'),
    },
  });

  return {
    address: hub.address,
    sessionOf: (endpointId) => byEndpoint.get(endpointId),
    send: (session, frames) => hub.send(session.peer, frames),
    reloadKeys,
    drop(endpointId, code, reason) {
      const session = byEndpoint.get(endpointId);
      if (session === undefined) return;
      say(session.peer, { kind: 'link.refused', code, reason });
      void end(session, reason);
    },
    async tick() {
      for (const session of byEndpoint.values()) {
        if (now() - session.heard_ms > HEARTBEAT_MS * MISSED_HEARTBEATS) await end(session, 'no heartbeat');
        else say(session.peer, { kind: 'link.heartbeat' });
      }
    },
    async close() {
      await hub.close();
    },
  };
}
