// Chunks and result slabs: every task there is. All statements take batches; the two on the hot path
// (insertChunks, settle) are one round trip each, whatever the number of chunks. Every statement that changes
// several chunks locks them in the order of their ids first: two that share chunks would deadlock otherwise.
import type { TaskOptions, WorkerFacts } from '../protocol/messages.ts';
import type { Sql } from './connect.ts';

export type ChunkState = 'queued' | 'sent' | 'done';

export interface NewChunk {
  readonly id: string;
  readonly owner: string;
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly task_group_id: string;
  readonly tasks: number;
  readonly options: TaskOptions;
  /** One batch (src/protocol/batch.ts) with every task of the chunk. */
  readonly payloads: Buffer;
}

export interface ChunkRow {
  readonly id: string;
  readonly owner: string;
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly task_group_id: string;
  readonly tasks: number;
  readonly state: ChunkState;
  readonly epoch: number;
  readonly done: string;
  readonly failed: string;
  readonly cancelled: string;
  readonly started: string;
  readonly options: TaskOptions;
  readonly created_at: Date;
  readonly sent_at: Date | null;
  readonly done_at: Date | null;
}

/** What a delivery needs of a chunk. */
export interface DeliverableChunk {
  readonly id: string;
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly epoch: number;
  readonly tasks: number;
  readonly done: string;
  readonly options: TaskOptions;
  readonly payloads: Buffer;
}

interface Placed {
  readonly joined: Buffer;
  readonly starts: number[];
  readonly lengths: number[];
}

/** Many byte strings as one parameter: a bytea[] would be sent as hexadecimal text, twice the size. */
function place(parts: readonly Buffer[]): Placed {
  const starts: number[] = [];
  const lengths: number[] = [];
  let at = 1;
  for (const part of parts) {
    starts.push(at);
    lengths.push(part.length);
    at += part.length;
  }
  return { joined: Buffer.concat(parts), starts, lengths };
}

/** Stores chunks and their task groups; answers the ids that were new. Known ids are left as they are. */
export async function insertChunks(sql: Sql, chunks: readonly NewChunk[]): Promise<Set<string>> {
  const { joined, starts, lengths } = place(chunks.map((chunk) => chunk.payloads));
  const rows = await sql.named<{ id: string }>(
    'chunks_insert',
    `WITH input AS MATERIALIZED (
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::smallint[], $7::jsonb[],
                            $8::int[], $9::int[])
         AS t(id, owner, endpoint_id, function_id, task_group_id, tasks, options, start, length)),
     groups AS (
       INSERT INTO task_groups (id, owner) SELECT DISTINCT task_group_id, owner FROM input ON CONFLICT DO NOTHING)
     INSERT INTO chunks (id, owner, endpoint_id, function_id, task_group_id, tasks, options, payloads)
     SELECT id, owner, endpoint_id, function_id, task_group_id, tasks, options, substring($10::bytea FROM start FOR length)
     FROM input ON CONFLICT (id) DO NOTHING RETURNING id`,
    [
      chunks.map((chunk) => chunk.id),
      chunks.map((chunk) => chunk.owner),
      chunks.map((chunk) => chunk.endpoint_id),
      chunks.map((chunk) => chunk.function_id),
      chunks.map((chunk) => chunk.task_group_id),
      chunks.map((chunk) => chunk.tasks),
      chunks.map((chunk) => JSON.stringify(chunk.options)),
      starts,
      lengths,
      joined,
    ],
  );
  return new Set(rows.map((row) => row.id));
}

const DELIVERABLE = 'id, endpoint_id, function_id, epoch, tasks, done, options, payloads';

/** Queued chunks of the given ids, with their payloads. */
export function loadDeliverable(sql: Sql, ids: readonly string[]): Promise<DeliverableChunk[]> {
  return sql.named<DeliverableChunk>(
    'chunks_deliverable',
    `SELECT ${DELIVERABLE} FROM chunks WHERE id = ANY($1::uuid[]) AND state = 'queued'`,
    [ids],
  );
}

/** The manager took these deliveries. One that was settled or re-queued meanwhile stays as it is. */
export async function markSent(
  sql: Sql,
  deliveries: readonly { id: string; epoch: number }[],
): Promise<void> {
  await sql.named(
    'chunks_sent',
    `UPDATE chunks c SET state = 'sent', sent_at = now() FROM (
       SELECT k.id FROM chunks k JOIN unnest($1::uuid[], $2::int[]) AS t(id, epoch) ON k.id = t.id AND k.epoch = t.epoch
       WHERE k.state = 'queued' ORDER BY k.id FOR UPDATE OF k) held
     WHERE c.id = held.id`,
    [deliveries.map((delivery) => delivery.id), deliveries.map((delivery) => delivery.epoch)],
  );
}

export interface SlabToSettle {
  readonly chunk: string;
  /** Tasks in the slab, and those of them that are no success. */
  readonly mask: string;
  readonly failed: string;
  readonly slab: Buffer;
  readonly worker: WorkerFacts | null;
}

export interface Settled {
  readonly id: string;
  /** Tasks whose result became visible by this call. */
  readonly fresh: string;
  readonly done: boolean;
  readonly endpoint_id: string;
}

/**
 * Makes results visible, each task's once: a task that has a result already keeps it. At most one slab per chunk
 * in a call. Unknown chunks are left out of the answer.
 */
export function settle(sql: Sql, slabs: readonly SlabToSettle[]): Promise<Settled[]> {
  const { joined, starts, lengths } = place(slabs.map((entry) => entry.slab));
  return sql.named<Settled>(
    'chunks_settle',
    `WITH input AS MATERIALIZED (
       SELECT * FROM unnest($1::uuid[], $2::bit(128)[], $3::bit(128)[], $4::jsonb[], $5::int[], $6::int[])
         AS t(id, mask, failed, worker, start, length)),
     held AS MATERIALIZED (
       SELECT c.id, i.mask & ~c.done AS fresh, i.failed, i.worker, i.start, i.length
       FROM chunks c JOIN input i ON i.id = c.id ORDER BY c.id FOR UPDATE OF c),
     slab AS (
       INSERT INTO results (chunk_id, accepted, slab, worker)
       SELECT id, fresh, substring($7::bytea FROM start FOR length), worker FROM held WHERE bit_count(fresh) > 0)
     UPDATE chunks c SET done = c.done | h.fresh, failed = c.failed | (h.failed & h.fresh),
       state = CASE WHEN bit_count(c.done | h.fresh) >= c.tasks THEN 'done' ELSE c.state END,
       done_at = CASE WHEN bit_count(c.done | h.fresh) >= c.tasks THEN now() END
     FROM held h WHERE c.id = h.id AND bit_count(h.fresh) > 0
     RETURNING c.id, h.fresh, c.state = 'done' AS done, c.endpoint_id`,
    [
      slabs.map((entry) => entry.chunk),
      slabs.map((entry) => entry.mask),
      slabs.map((entry) => entry.failed),
      slabs.map((entry) => (entry.worker === null ? null : JSON.stringify(entry.worker))),
      starts,
      lengths,
      joined,
    ],
  );
}

/** Marks tasks cancelled, for the view; their results come through settle. */
export async function markCancelled(sql: Sql, chunk: string, mask: string): Promise<void> {
  await sql.query('UPDATE chunks SET cancelled = cancelled | $2::bit(128) WHERE id = $1', [chunk, mask]);
}

/** Notes that tasks are running. */
export async function markStarted(
  sql: Sql,
  marks: readonly { chunk: string; mask: string }[],
): Promise<void> {
  await sql.named(
    'chunks_started',
    `UPDATE chunks c SET started = c.started | held.mask FROM (
       SELECT k.id, t.mask FROM chunks k JOIN unnest($1::uuid[], $2::bit(128)[]) AS t(id, mask) ON k.id = t.id
       ORDER BY k.id FOR UPDATE OF k) held
     WHERE c.id = held.id`,
    [marks.map((mark) => mark.chunk), marks.map((mark) => mark.mask)],
  );
}

const CHUNK_COLUMNS = `id, owner, endpoint_id, function_id, task_group_id, tasks, state, epoch, done, failed, cancelled,
  started, options, created_at, sent_at, done_at`;

/** Chunks by id, without payloads. */
export function loadChunks(sql: Sql, ids: readonly string[]): Promise<ChunkRow[]> {
  return sql.named<ChunkRow>(
    'chunks_load',
    `SELECT ${CHUNK_COLUMNS} FROM chunks WHERE id = ANY($1::uuid[])`,
    [ids],
  );
}

export interface GroupCounts {
  readonly tasks: number;
  readonly done: number;
  readonly failed: number;
}

/** How far a task group is. */
export async function countGroup(sql: Sql, groupId: string): Promise<GroupCounts> {
  const rows = await sql.named<GroupCounts>(
    'group_count',
    `SELECT coalesce(sum(tasks), 0)::int AS tasks, coalesce(sum(bit_count(done)), 0)::int AS done,
       coalesce(sum(bit_count(failed)), 0)::int AS failed FROM chunks WHERE task_group_id = $1`,
    [groupId],
  );
  return rows[0] ?? { tasks: 0, done: 0, failed: 0 };
}

/** Ids of a group's tasks that have not ended. */
export async function openOfGroup(
  sql: Sql,
  groupId: string,
): Promise<{ id: string; tasks: number; done: string }[]> {
  return sql.query(`SELECT id, tasks, done FROM chunks WHERE task_group_id = $1 AND state <> 'done'`, [
    groupId,
  ]);
}

/** Every chunk of a task group, oldest first. */
export function loadGroup(sql: Sql, groupId: string): Promise<ChunkRow[]> {
  return sql.query<ChunkRow>(
    `SELECT ${CHUNK_COLUMNS} FROM chunks WHERE task_group_id = $1 ORDER BY created_at, id`,
    [groupId],
  );
}

export interface ChunkFilter {
  readonly owner: string;
  readonly endpoint_id?: string | undefined;
  readonly function_id?: string | undefined;
  readonly task_group_id?: string | undefined;
  readonly open?: boolean | undefined;
  /** Only chunks made before this one. */
  readonly before?: { readonly created_at: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** A page of one owner's chunks, newest first. */
export function listChunks(sql: Sql, filter: ChunkFilter): Promise<ChunkRow[]> {
  return sql.query<ChunkRow>(
    `SELECT ${CHUNK_COLUMNS} FROM chunks
     WHERE owner = $1 AND ($2::uuid IS NULL OR endpoint_id = $2) AND ($3::uuid IS NULL OR function_id = $3)
       AND ($4::uuid IS NULL OR task_group_id = $4) AND ($5::boolean IS NULL OR (state <> 'done') = $5)
       AND ($6::timestamptz IS NULL OR (created_at, id) < ($6, $7::uuid))
     ORDER BY created_at DESC, id DESC LIMIT $8`,
    [
      filter.owner,
      filter.endpoint_id ?? null,
      filter.function_id ?? null,
      filter.task_group_id ?? null,
      filter.open ?? null,
      filter.before?.created_at ?? null,
      filter.before?.id ?? null,
      filter.limit,
    ],
  );
}

export interface ResultRow {
  readonly chunk_id: string;
  readonly accepted: string;
  readonly slab: Buffer;
  readonly worker: WorkerFacts | null;
  readonly received_at: Date;
}

/** Every slab of the given chunks. */
export function loadResults(sql: Sql, chunkIds: readonly string[]): Promise<ResultRow[]> {
  return sql.named<ResultRow>(
    'results_load',
    'SELECT chunk_id, accepted, slab, worker, received_at FROM results WHERE chunk_id = ANY($1::uuid[]) ORDER BY chunk_id, seq',
    [chunkIds],
  );
}

/** The owner of a task group, or undefined when there is no such group. */
export async function groupOwner(sql: Sql, groupId: string): Promise<string | undefined> {
  const rows = await sql.query<{ owner: string }>('SELECT owner FROM task_groups WHERE id = $1', [groupId]);
  return rows[0]?.owner;
}

/** Chunks an endpoint's manager is believed to have. */
export function loadSent(
  sql: Sql,
  endpointId: string,
): Promise<{ id: string; done: string; tasks: number }[]> {
  return sql.query(`SELECT id, done, tasks FROM chunks WHERE endpoint_id = $1 AND state = 'sent'`, [
    endpointId,
  ]);
}

/** Puts chunks back in the queue under a new delivery number: their manager lost them. */
export async function requeue(sql: Sql, ids: readonly string[]): Promise<void> {
  await sql.query(
    `UPDATE chunks c SET state = 'queued', epoch = c.epoch + 1, started = 0::bit(128), enqueued_at = now() FROM (
       SELECT id FROM chunks WHERE id = ANY($1::uuid[]) AND state = 'sent' ORDER BY id FOR UPDATE) held
     WHERE c.id = held.id`,
    [ids],
  );
}

/**
 * Claims queued chunks of endpoints linked to this service that nobody has delivered since `idle_s` seconds, and
 * notes the try. What the reconciler hands to the queue again.
 */
export function claimStale(
  sql: Sql,
  serviceId: string,
  idle_s: number,
  limit: number,
): Promise<{ id: string; endpoint_id: string }[]> {
  return sql.query(
    `UPDATE chunks c SET enqueued_at = now() FROM (
       SELECT c.id FROM chunks c JOIN endpoints e ON e.id = c.endpoint_id
       WHERE c.state = 'queued' AND e.link_service = $1 AND c.enqueued_at < now() - make_interval(secs => $2)
       ORDER BY c.created_at, c.id LIMIT $3 FOR UPDATE OF c SKIP LOCKED) stale
     WHERE c.id = stale.id RETURNING c.id, c.endpoint_id`,
    [serviceId, idle_s, limit],
  );
}

/** Claims a page of the queued chunks of one endpoint, oldest first, that nobody claimed since `since`. */
export function claimQueued(
  sql: Sql,
  endpointId: string,
  since: string,
  limit: number,
): Promise<{ id: string }[]> {
  return sql.query(
    `UPDATE chunks c SET enqueued_at = now() FROM (
       SELECT id FROM chunks WHERE endpoint_id = $1 AND state = 'queued' AND enqueued_at < $2::timestamptz
       ORDER BY created_at, id LIMIT $3 FOR UPDATE SKIP LOCKED) q
     WHERE c.id = q.id RETURNING c.id`,
    [endpointId, since, limit],
  );
}

/** The database's clock as text: a Date would drop the microseconds that row times are compared by. */
export async function databaseNow(sql: Sql): Promise<string> {
  const rows = await sql.query<{ now: string }>('SELECT clock_timestamp()::text AS now');
  return rows[0]?.now ?? 'infinity';
}
