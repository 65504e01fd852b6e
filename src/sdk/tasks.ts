// Tasks: submit by the thousand, look, wait, read what they printed, cancel.
import { WAIT_SLACK_MS, call, collect, segment, waitFor, type WaitOptions } from './call.ts';
import {
  taskEnded,
  type Json,
  type JsonObject,
  type TaskLogs,
  type TaskState,
  type TaskView,
} from './documents.ts';
import { pause, type Http } from './http.ts';
import { splitCalls } from './split.ts';

/** One call of a function: JSON arguments by place and by name. */
export interface FunctionCall {
  readonly args?: readonly Json[];
  readonly kwargs?: JsonObject;
}

export interface TaskLimits {
  /** A running task is ended after this long. */
  readonly timeout_s?: number;
  /** Starts it may have when workers or nodes are lost. */
  readonly max_attempts?: number;
}

export interface Submission {
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly calls: readonly FunctionCall[];
  /** An earlier group of the caller's to add to; a new one when absent. */
  readonly task_group_id?: string;
  readonly options?: TaskLimits;
  /** The same key answers the same tasks instead of making new ones. */
  readonly idempotency_key?: string;
}

export interface Submitted {
  readonly task_group_id: string;
  /** In the order of the calls. */
  readonly task_ids: readonly string[];
}

/** A submission in the Compute protocol: packed payloads by function id. */
export interface PackedSubmission {
  readonly tasks: Readonly<Record<string, readonly string[]>>;
  readonly task_group_id?: string;
  readonly resource_specification?: JsonObject;
  readonly result_serializers?: readonly string[];
  readonly user_runtime?: JsonObject;
}

export interface PackedSubmitted {
  readonly request_id: string;
  readonly task_group_id: string;
  readonly endpoint_id: string;
  readonly tasks: Readonly<Record<string, readonly string[]>>;
}

export interface TaskFilter {
  readonly state?: string | undefined;
  readonly function_id?: string | undefined;
  readonly endpoint_id?: string | undefined;
  readonly group?: string | undefined;
  /** 100 when absent. */
  readonly limit?: number | undefined;
}

export interface CancelAnswer {
  readonly task_id: string;
  readonly status: string;
  /** False when it had ended before. */
  readonly cancelled: boolean;
}

export interface Tasks {
  /** All calls in one request: all are accepted or none. The service takes about 10 MB. */
  readonly submit: (request: Submission) => Promise<Submitted>;
  /** At least one call and any number of them, in as many requests as they need, all in one task group. When a
   *  request is refused, those before it are accepted: with an idempotency_key the whole can be repeated. */
  readonly submitAll: (request: Submission, onAccepted?: (accepted: number) => void) => Promise<Submitted>;
  readonly submitPacked: (endpointId: string, request: PackedSubmission) => Promise<PackedSubmitted>;
  /** The view as it is now, or after at most `wait_s` when it has not ended. */
  readonly get: (id: string, options?: { readonly wait_s?: number }) => Promise<TaskView>;
  /** Waits for its end; on time-out answers the view as it is then. */
  readonly wait: (id: string, options?: WaitOptions<TaskView>) => Promise<TaskView>;
  /** States by id, for any number of tasks; ids the service does not know are absent. */
  readonly states: (ids: readonly string[]) => Promise<ReadonlyMap<string, TaskState>>;
  /** Waits until all have ended or the time is over; answers the ends there are, by id. */
  readonly waitAll: (
    ids: readonly string[],
    options?: WaitOptions & { readonly onProgress?: (ended: number) => void },
  ) => Promise<ReadonlyMap<string, TaskState>>;
  /** Newest first. */
  readonly list: (filter?: TaskFilter) => Promise<readonly TaskView[]>;
  readonly logs: (id: string) => Promise<TaskLogs>;
  readonly cancel: (id: string) => Promise<CancelAnswer>;
}

/** Ids in one batch_status request. */
const STATUS_BATCH = 1000;
const PAGE = 500;
const FIRST_LOOK_MS = 50;
const SLOWEST_LOOK_MS = 1000;

async function statesOf(
  http: Http,
  ids: readonly string[],
  signal?: AbortSignal,
): Promise<Map<string, TaskState>> {
  const states = new Map<string, TaskState>();
  for (let start = 0; start < ids.length; start += STATUS_BATCH) {
    const body = { task_ids: ids.slice(start, start + STATUS_BATCH) };
    const answer = await call<{ results: Record<string, TaskState> }>(http, 'POST', '/v2/batch_status', {
      body,
      signal,
    });
    for (const [id, state] of Object.entries(answer.results)) states.set(id, state);
  }
  return states;
}

async function waitForAll(
  http: Http,
  ids: readonly string[],
  options: WaitOptions & { readonly onProgress?: (ended: number) => void },
): Promise<Map<string, TaskState>> {
  const end = options.timeout_s === undefined ? Infinity : Date.now() + options.timeout_s * 1000;
  const ends = new Map<string, TaskState>();
  let open = [...ids];
  for (let wait_ms = FIRST_LOOK_MS; ; wait_ms = Math.min(wait_ms * 1.5, SLOWEST_LOOK_MS)) {
    const before = ends.size;
    for (const [id, state] of await statesOf(http, open, options.signal)) {
      if (state.completion_t !== undefined) ends.set(id, state);
    }
    if (ends.size > before) {
      open = open.filter((id) => !ends.has(id));
      options.onProgress?.(ends.size);
    }
    const left_ms = end - Date.now();
    if (open.length === 0 || left_ms <= 0) return ends;
    await pause(Math.min(wait_ms, left_ms), options.signal);
  }
}

async function submitAll(
  http: Http,
  request: Submission,
  onAccepted: (accepted: number) => void = () => undefined,
): Promise<Submitted> {
  const { calls, idempotency_key, ...head } = request;
  let task_group_id = request.task_group_id;
  const task_ids: string[] = [];
  let part = 0;
  for (const json of splitCalls(calls)) {
    const keyed = {
      ...head,
      ...(task_group_id === undefined ? {} : { task_group_id }),
      // A part's key comes from the whole's: repeating the whole repeats each part.
      ...(idempotency_key === undefined ? {} : { idempotency_key: `${idempotency_key}.${part}` }),
    };
    const body = `${JSON.stringify(keyed).slice(0, -1)},"calls":${json}}`;
    const submitted = await call<Submitted>(http, 'POST', '/api/tasks', { json: body });
    task_group_id = submitted.task_group_id;
    for (const id of submitted.task_ids) task_ids.push(id);
    part++;
    onAccepted(task_ids.length);
  }
  if (task_group_id === undefined) throw new RangeError('a submission needs at least one call');
  return { task_group_id, task_ids };
}

export function makeTasks(http: Http): Tasks {
  return {
    submit: (request) => call(http, 'POST', '/api/tasks', { body: request }),
    submitAll: (request, onAccepted) => submitAll(http, request, onAccepted),
    submitPacked: (endpointId, request) =>
      call(http, 'POST', `/v3/endpoints/${segment(endpointId)}/submit`, { body: request }),
    get: (id, { wait_s } = {}) =>
      call(http, 'GET', `/api/tasks/${segment(id)}`, {
        query: { wait_s },
        timeout_ms: wait_s === undefined ? undefined : wait_s * 1000 + WAIT_SLACK_MS,
      }),
    wait: (id, options = {}) =>
      waitFor(options, {
        ended: taskEnded,
        look: (wait_s, request) =>
          call<TaskView>(http, 'GET', `/api/tasks/${segment(id)}`, { ...request, query: { wait_s } }),
      }),
    states: (ids) => statesOf(http, ids),
    waitAll: (ids, options = {}) => waitForAll(http, ids, options),
    list: (filter = {}) =>
      collect(filter.limit ?? 100, async (marker) => {
        const { state, function_id, endpoint_id, group } = filter;
        const limit = Math.min(filter.limit ?? 100, PAGE);
        const query = { state, function_id, endpoint_id, group, limit, marker };
        const page = await call<{ tasks: TaskView[]; marker?: string }>(http, 'GET', '/api/tasks', { query });
        return { items: page.tasks, marker: page.marker };
      }),
    logs: (id) => call(http, 'GET', `/api/tasks/${segment(id)}/logs`),
    cancel: (id) => call(http, 'POST', `/api/tasks/${segment(id)}/cancel`),
  };
}
