// The dispatcher of one service process: tasks out, results in. Composes its parts and runs its loops.
import { hostname } from 'node:os';
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { buryServices, ensureLinkKeys, insertService, removeService, touchService } from '../db/services.ts';
import { indexesOf, maskOf } from '../db/mask.ts';
import { claimStale, loadChunks, markCancelled, type Settled } from '../db/tasks.ts';
import { taskPlace } from '../ids.ts';
import { startLoop, type Loop } from '../loop.ts';
import type { Logger } from '../log.ts';
import { systemResult } from '../protocol/slab.ts';
import { makeKeys } from '../transport/zmq.ts';
import { makeDeliverer, type Deliverer } from './deliver.ts';
import { HEARTBEAT_MS, openLinks, type Links } from './links.ts';
import { openDeliveryQueue } from './queues.ts';
import { makeResultIntake } from './results.ts';
import { cancelFrames, noteSettled, type Session } from './session.ts';
import { makeSubmitter, type Submitter } from './submit.ts';
import { makeWaiters, type Waiters } from './waiters.ts';

/** A queued chunk nobody took for this long is offered again. */
const STALE_S = 15;
const RECONCILE_MS = 5_000;
const STALE_PAGE = 1_000;

const DONE_CHANNEL = 'chunks_done';
const CANCEL_CHANNEL = 'tasks_cancel';
const KEYS_CHANNEL = 'endpoint_keys';

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** The tasks were submitted here a moment ago: what ended since is remembered, the rows need no look first. */
  readonly fresh?: boolean;
}

export interface Dispatcher extends Submitter {
  readonly service_id: string;
  readonly link: { readonly address: string; readonly server_key: string };
  readonly waiters: Waiters;
  readonly backend: 'redis' | 'postgresql';
  sessionOf(endpointId: string): Session | undefined;
  /** Ends tasks now: their results say who cancelled them; running ones are killed. Answers those it ended. */
  cancel(taskIds: readonly string[], by: string): Promise<string[]>;
  /** Resolves true when all tasks ended, false after the time. */
  waitFor(taskIds: readonly string[], timeout_ms: number, options?: WaitOptions): Promise<boolean>;
  /** An endpoint's key was added or removed, here; tells the other services too. */
  keysChanged(deletedEndpoint?: string): Promise<void>;
  close(): Promise<void>;
}

export interface DispatcherOptions {
  readonly db: Db;
  readonly database_url: string;
  readonly redis_url: string | undefined;
  /** Where endpoints dial: `tcp://127.0.0.1:*`. */
  readonly link_bind: string;
  /** Whether chunks may skip the queue when nothing waits; off to measure the queue. */
  readonly direct: boolean;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
}

export async function openDispatcher(options: DispatcherOptions): Promise<Dispatcher> {
  const { db, log, clock, chance } = options;
  const service_id = chance.uuid();
  const now = (): number => clock.now();
  const waiters = makeWaiters();
  let living = 1;

  const onSettled = (settled: Settled): void => {
    const session = links.sessionOf(settled.endpoint_id);
    if (session !== undefined)
      noteSettled(session, settled.id, indexesOf(settled.fresh).length, settled.done);
    waiters.ended(settled.id, settled.fresh);
    if (living > 1) void db.notify(DONE_CHANNEL, `${settled.id} ${settled.fresh}`).catch(() => undefined);
  };
  const intake = makeResultIntake({ db, log, onSettled });

  const queue = openDeliveryQueue({
    service_id,
    database_url: options.database_url,
    redis_url: options.redis_url,
    log,
  });
  const keyRow = await ensureLinkKeys(db, () => {
    const pair = makeKeys();
    return { public_key: pair.publicKey, secret_key: pair.secretKey };
  });
  const links: Links = await openLinks({
    db,
    service_id,
    bind: options.link_bind,
    keys: { publicKey: keyRow.public_key, secretKey: keyRow.secret_key },
    log,
    now,
    intake,
    deliverer: () => deliverer,
  });
  const deliverer: Deliverer = makeDeliverer({
    db,
    service_id,
    queue,
    log,
    now,
    direct: options.direct,
    sessionOf: (endpointId) => links.sessionOf(endpointId),
    send: (session, frames) => links.send(session, frames),
  });
  const submitter = makeSubmitter({ db, chance, offer: (chunks) => deliverer.offer(chunks) });

  await insertService(db, {
    id: service_id,
    host: hostname(),
    pid: process.pid,
    link_address: links.address,
  });
  queue.work((delivery) => deliverer.deliver(delivery));

  /** Tells whichever service holds the chunk's link to stop its tasks. */
  const killAt = (endpointId: string, chunk: string, indexes: readonly number[]): void => {
    const session = links.sessionOf(endpointId);
    if (session !== undefined) links.send(session, cancelFrames([{ chunk, indexes }]));
    else
      void db.notify(CANCEL_CHANNEL, JSON.stringify({ endpointId, chunk, indexes })).catch(() => undefined);
  };

  await db.listen(DONE_CHANNEL, (payload) => {
    const [chunk, mask] = payload.split(' ');
    if (chunk !== undefined && mask !== undefined) waiters.ended(chunk, mask);
  });
  await db.listen(CANCEL_CHANNEL, (payload) => {
    const { endpointId, chunk, indexes } = JSON.parse(payload) as {
      endpointId: string;
      chunk: string;
      indexes: number[];
    };
    const session = links.sessionOf(endpointId);
    if (session !== undefined) links.send(session, cancelFrames([{ chunk, indexes }]));
  });
  await db.listen(KEYS_CHANNEL, (deleted) => {
    void links
      .reloadKeys()
      .catch((error: unknown) => log.warn({ err: error }, 'endpoint keys could not be read'));
    if (deleted !== '') links.drop(deleted, 'endpoint_deleted', 'This endpoint was deleted.');
  });

  const reconcile = async (): Promise<boolean> => {
    living = await touchService(db, service_id);
    for (const dead of await buryServices(db)) await queue.sweep(dead.id);
    const stale = await claimStale(db, service_id, STALE_S, STALE_PAGE);
    const byEndpoint = new Map<string, string[]>();
    for (const chunk of stale)
      byEndpoint.set(chunk.endpoint_id, [...(byEndpoint.get(chunk.endpoint_id) ?? []), chunk.id]);
    for (const [endpointId, chunks] of byEndpoint) await deliverer.enqueue(endpointId, chunks);
    return stale.length === STALE_PAGE;
  };
  const loops: Loop[] = [
    startLoop({ name: 'dispatcher.reconcile', interval_ms: RECONCILE_MS, log, turn: reconcile }),
    startLoop({ name: 'dispatcher.links', interval_ms: HEARTBEAT_MS, log, turn: () => links.tick() }),
  ];

  const cancel = async (taskIds: readonly string[], by: string): Promise<string[]> => {
    const byChunk = new Map<string, Map<number, string>>();
    for (const id of taskIds) {
      const place = taskPlace(id);
      if (place === null) continue;
      const own = byChunk.get(place.chunk) ?? new Map<number, string>();
      own.set(place.index, id);
      byChunk.set(place.chunk, own);
    }
    const rows = new Map((await loadChunks(db, [...byChunk.keys()])).map((row) => [row.id, row]));
    const ended: string[] = [];
    for (const [chunk, own] of byChunk) {
      const row = rows.get(chunk);
      if (row === undefined) continue;
      const indexes = [...own.keys()].filter((index) => index < row.tasks && row.done[index] !== '1');
      if (indexes.length === 0) continue;
      const entries = indexes.map((index) =>
        systemResult(
          index,
          0,
          'cancelled',
          'TASK_CANCELLED',
          `This task was cancelled by ${by}.`,
          now() / 1000,
        ),
      );
      const fresh = indexesOf(await intake.put(chunk, entries));
      if (fresh.length === 0) continue;
      await markCancelled(db, chunk, maskOf(fresh));
      killAt(row.endpoint_id, chunk, fresh);
      for (const index of fresh) ended.push(own.get(index) ?? '');
    }
    return ended;
  };

  return {
    service_id,
    link: { address: links.address, server_key: keyRow.public_key },
    waiters,
    backend: options.redis_url === undefined ? 'postgresql' : 'redis',
    sessionOf: (endpointId) => links.sessionOf(endpointId),
    submit: (submissions) => submitter.submit(submissions),
    cancel,
    waitFor: (taskIds, timeout_ms, options) => waitForTasks(db, waiters, taskIds, timeout_ms, options),
    async keysChanged(deletedEndpoint) {
      await links.reloadKeys();
      if (deletedEndpoint !== undefined)
        links.drop(deletedEndpoint, 'endpoint_deleted', 'This endpoint was deleted.');
      await db.notify(KEYS_CHANNEL, deletedEndpoint ?? '');
    },
    async close() {
      for (const loop of loops) await loop.stop();
      await links.close();
      await queue.close();
      await removeService(db, service_id).catch((error: unknown) =>
        log.warn({ err: error }, 'the service row stays behind'),
      );
    },
  };
}

/** Looks at the rows, then listens; looks again now and then, since a hint may be lost. */
async function waitForTasks(
  db: Db,
  waiters: Waiters,
  taskIds: readonly string[],
  timeout_ms: number,
  { signal, fresh = false }: WaitOptions = {},
): Promise<boolean> {
  const LOOK_AGAIN_MS = 2_000;
  let heard = (): void => undefined;
  let done = false;
  const watch = waiters.watch(taskIds, () => {
    done = true;
    heard();
  });
  const look = async (): Promise<void> => {
    for (const row of await loadChunks(db, [...watch.open.keys()])) waiters.ended(row.id, row.done);
  };
  const onAbort = (): void => heard();
  signal?.addEventListener('abort', onAbort, { once: true });
  const started = process.hrtime.bigint();
  const left = (): number => timeout_ms - Number(process.hrtime.bigint() - started) / 1e6;
  try {
    if (watch.open.size === 0) return true;
    for (let turn = 0; ; turn++) {
      if (turn > 0 || !fresh) await look();
      if (done || left() <= 0 || signal?.aborted === true) return done;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(LOOK_AGAIN_MS, Math.max(0, left())));
        heard = () => {
          clearTimeout(timer);
          resolve();
        };
        if (done) heard();
      });
      if (done) return true;
    }
  } finally {
    signal?.removeEventListener('abort', onAbort);
    waiters.unwatch(watch);
  }
}
