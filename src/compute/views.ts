// What a caller is told of a task: its state, why it is in it, and its result. Made from a chunk's row, its
// slabs and its endpoint; pure but for the loading at the end.
import type { Sql } from '../db/connect.ts';
import { findEndpoint, type EndpointRow } from '../db/endpoints.ts';
import { hasBit } from '../db/mask.ts';
import { loadChunks, loadResults, type ChunkRow, type ResultRow } from '../db/tasks.ts';
import { taskId, taskPlace } from '../ids.ts';
import { wireTime } from '../clock.ts';
import type { TaskStatusName } from '../lifecycle.ts';
import type { WorkerFacts } from '../protocol/messages.ts';
import { decodeSlab, type SlabEntry } from '../protocol/slab.ts';

export interface TaskDetail {
  readonly task_id: string;
  readonly owner: string;
  readonly function_id: string;
  readonly endpoint_id: string;
  readonly task_group_id: string;
  readonly done: boolean;
  readonly status: TaskStatusName;
  readonly reason: string;
  readonly cancelled: boolean;
  readonly attempt: number;
  readonly submitted_at: Date;
  readonly ended?: EndedDetail;
}

export interface EndedDetail {
  /** When the result became visible. */
  readonly completed_at: Date;
  readonly started_s: number;
  readonly duration_s: number;
  readonly worker: WorkerFacts | null;
  /** Of a success: the serialised value, as the worker wrote it. */
  readonly result?: string;
  /** Of anything else: what went wrong, for people. */
  readonly exception?: string;
  readonly stdout: string;
  readonly stderr: string;
}

interface Found {
  readonly entry: SlabEntry;
  readonly row: ResultRow;
}

/** The visible result of each ended task, by index. */
function visibleResults(rows: readonly ResultRow[]): Map<number, Found> {
  const found = new Map<number, Found>();
  for (const row of rows) {
    for (const entry of decodeSlab(row.slab))
      if (hasBit(row.accepted, entry.index)) found.set(entry.index, { entry, row });
  }
  return found;
}

function exceptionText(entry: SlabEntry): string {
  const text = entry.data.toString('utf8');
  if (entry.outcome === 'user_failure') return text;
  const { code, message } = JSON.parse(text) as { code: string; message: string };
  return `${code}: ${message}`;
}

function endedDetail({ entry, row }: Found): EndedDetail {
  return {
    completed_at: row.received_at,
    started_s: entry.started_s,
    duration_s: entry.duration_s,
    worker: row.worker,
    ...(entry.outcome === 'success'
      ? { result: entry.data.toString('utf8') }
      : { exception: exceptionText(entry) }),
    stdout: entry.stdout.toString('utf8'),
    stderr: entry.stderr.toString('utf8'),
  };
}

function since(at: Date | null): string {
  return at === null ? '' : ` since ${wireTime(at)}`;
}

/** Why an open task is where it is. */
function openState(
  chunk: ChunkRow,
  index: number,
  endpoint: EndpointRow | undefined,
): { status: TaskStatusName; reason: string } {
  if (endpoint === undefined)
    return { status: 'waiting-for-ep', reason: 'waiting: its endpoint was deleted' };
  const name = endpoint.name;
  if (!endpoint.online) {
    const why =
      endpoint.linked_at === null
        ? `endpoint "${name}" has never connected`
        : `endpoint "${name}" offline${since(endpoint.unlinked_at ?? endpoint.last_seen_at)}`;
    return { status: 'waiting-for-ep', reason: `waiting: ${why}` };
  }
  if (hasBit(chunk.started, index)) return { status: 'running', reason: `running on endpoint "${name}"` };
  if (chunk.state === 'queued')
    return { status: 'received', reason: `waiting: on its way to endpoint "${name}"` };
  if (endpoint.status?.waiting_reason != null) {
    return { status: 'waiting-for-nodes', reason: `waiting: ${endpoint.status.waiting_reason}` };
  }
  return { status: 'waiting-for-launch', reason: `waiting: for a free worker on endpoint "${name}"` };
}

/** One task's detail; `results` are its chunk's visible results. */
function taskDetail(
  chunk: ChunkRow,
  index: number,
  results: ReadonlyMap<number, Found>,
  endpoint: EndpointRow | undefined,
): TaskDetail {
  const common = {
    task_id: taskId(chunk.id, index),
    owner: chunk.owner,
    function_id: chunk.function_id,
    endpoint_id: chunk.endpoint_id,
    task_group_id: chunk.task_group_id,
    cancelled: hasBit(chunk.cancelled, index),
    submitted_at: chunk.created_at,
  };
  const found = results.get(index);
  if (found === undefined) {
    return { ...common, done: false, attempt: chunk.epoch, ...openState(chunk, index, endpoint) };
  }
  const success = found.entry.outcome === 'success';
  return {
    ...common,
    done: true,
    attempt: found.entry.attempt,
    status: success ? 'success' : 'failed',
    reason: success ? 'done' : found.entry.outcome.replace('_', ' '),
    ended: endedDetail(found),
  };
}

function groupBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

async function endpointsOf(sql: Sql, chunks: readonly ChunkRow[]): Promise<Map<string, EndpointRow>> {
  const open = new Set(chunks.filter((chunk) => chunk.state !== 'done').map((chunk) => chunk.endpoint_id));
  const endpoints = new Map<string, EndpointRow>();
  for (const id of open) {
    const endpoint = await findEndpoint(sql, id);
    if (endpoint !== undefined) endpoints.set(id, endpoint);
  }
  return endpoints;
}

/** Details of every task of the given chunks, in order. */
export async function detailsOfChunks(sql: Sql, chunks: readonly ChunkRow[]): Promise<TaskDetail[]> {
  const results = groupBy(
    await loadResults(
      sql,
      chunks.map((chunk) => chunk.id),
    ),
    (row) => row.chunk_id,
  );
  const endpoints = await endpointsOf(sql, chunks);
  return chunks.flatMap((chunk) => {
    const visible = visibleResults(results.get(chunk.id) ?? []);
    return Array.from({ length: chunk.tasks }, (_, index) =>
      taskDetail(chunk, index, visible, endpoints.get(chunk.endpoint_id)),
    );
  });
}

/** Details of tasks by id; ids that name no task are absent. */
export async function detailsOf(sql: Sql, taskIds: readonly string[]): Promise<Map<string, TaskDetail>> {
  const wanted = groupBy(
    taskIds.flatMap((id) => {
      const place = taskPlace(id);
      return place === null ? [] : [place];
    }),
    (place) => place.chunk,
  );
  const chunks = await loadChunks(sql, [...wanted.keys()]);
  const results = groupBy(
    await loadResults(
      sql,
      chunks.map((chunk) => chunk.id),
    ),
    (row) => row.chunk_id,
  );
  const endpoints = await endpointsOf(sql, chunks);
  const details = new Map<string, TaskDetail>();
  for (const chunk of chunks) {
    const visible = visibleResults(results.get(chunk.id) ?? []);
    for (const { index } of wanted.get(chunk.id) ?? []) {
      if (index >= chunk.tasks) continue;
      const detail = taskDetail(chunk, index, visible, endpoints.get(chunk.endpoint_id));
      details.set(detail.task_id, detail);
    }
  }
  return details;
}
