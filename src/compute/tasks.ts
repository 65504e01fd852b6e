// Tasks as callers see them: submit, look, wait, cancel. Checks who may, then leaves the work to the dispatcher.
import type { Chance } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import {
  countGroup,
  groupOwner,
  listChunks,
  loadGroup,
  openOfGroup,
  type ChunkFilter,
  type GroupCounts,
} from '../db/tasks.ts';
import type { Dispatcher } from '../dispatcher/index.ts';
import { Fault } from '../errors.ts';
import { isUuid, taskId } from '../ids.ts';
import type { TaskOptions } from '../protocol/messages.ts';
import { checkPermitted, usableEndpoint, usableFunction, type Caller } from './access.ts';
import { detailsOf, detailsOfChunks, type TaskDetail } from './views.ts';

/** Tasks in one submission, and bytes of one task, at most (Globus Compute's limit is 10 MB a submission). */
export const SUBMISSION_TASKS = 20_000;
export const TASK_BYTES = 10 * 1024 * 1024;
const FACT_MS = 1_000;
const FACTS = 10_000;

export interface SubmitRequest {
  readonly endpoint_id: string;
  /** Payloads by function, in the order the answer follows. */
  readonly calls: readonly { readonly function_id: string; readonly payloads: readonly Buffer[] }[];
  readonly task_group_id?: string | undefined;
  readonly options: TaskOptions;
  readonly key?: string | undefined;
}

export interface Submitted {
  readonly task_group_id: string;
  /** Task ids by call, in order. */
  readonly task_ids: readonly (readonly string[])[];
}

export interface TaskService {
  submit(caller: Caller, request: SubmitRequest): Promise<Submitted>;
  /** Details of the caller's tasks; others are absent. */
  find(caller: Caller, taskIds: readonly string[]): Promise<Map<string, TaskDetail>>;
  /** Throws Fault task_not_found. Waits up to `wait_ms` for its end. */
  get(caller: Caller, taskId: string, wait_ms: number, signal?: AbortSignal): Promise<TaskDetail>;
  /** Tasks of a group; throws Fault task_group_not_found. */
  group(caller: Caller, groupId: string): Promise<TaskDetail[]>;
  /** How far a group is, waiting up to `wait_ms` for its end. */
  progress(caller: Caller, groupId: string, wait_ms: number, signal?: AbortSignal): Promise<GroupCounts>;
  /** Details of tasks just submitted here, in order, waiting up to `wait_ms` until all have ended. */
  await(
    caller: Caller,
    taskIds: readonly string[],
    wait_ms: number,
    signal?: AbortSignal,
  ): Promise<TaskDetail[]>;
  list(filter: ChunkFilter): Promise<TaskDetail[]>;
  /** Ends the caller's tasks; answers those that this call ended. */
  cancel(caller: Caller & { readonly username?: string }, taskIds: readonly string[]): Promise<string[]>;
}

function checkSizes(request: SubmitRequest): void {
  const count = request.calls.reduce((sum, call) => sum + call.payloads.length, 0);
  if (count === 0) throw new Fault('invalid_request', 'A submission needs at least one task.');
  if (count > SUBMISSION_TASKS) {
    throw new Fault(
      'payload_too_large',
      `A submission takes ${SUBMISSION_TASKS} tasks at most; this one has ${count}.`,
      {
        args: [count, SUBMISSION_TASKS],
        remedy: 'Split it into several submissions of one task group.',
      },
    );
  }
  for (const payload of request.calls.flatMap((call) => call.payloads)) {
    if (payload.length > TASK_BYTES) {
      throw new Fault(
        'task_too_large',
        `A task's arguments are ${payload.length} bytes; ${TASK_BYTES} is the most.`,
        {
          args: [payload.length, TASK_BYTES],
          remedy: 'Pass large data as a file path or by reference.',
        },
      );
    }
  }
}

/** Remembers that a check passed for a moment: a client that calls in a loop is not checked against the rows each time. */
function makePassed(now: () => number): {
  readonly seen: (key: string) => boolean;
  readonly note: (key: string) => void;
} {
  const until = new Map<string, number>();
  return {
    seen: (key) => (until.get(key) ?? 0) > now(),
    note(key) {
      if (until.size >= FACTS) until.clear();
      until.set(key, now() + FACT_MS);
    },
  };
}

export function makeTaskService(deps: {
  readonly db: Db;
  readonly dispatcher: Dispatcher;
  readonly chance: Chance;
  readonly now: () => number;
}): TaskService {
  const { db, dispatcher, chance } = deps;
  const passed = makePassed(deps.now);

  const checkMay = async (caller: Caller, endpointId: string, functionId: string): Promise<void> => {
    const key = `${caller.identity} ${endpointId} ${functionId}`;
    if (passed.seen(key)) return;
    const endpoint = await usableEndpoint(db, caller, endpointId);
    await usableFunction(db, caller, functionId);
    checkPermitted(endpoint, functionId);
    passed.note(key);
  };

  const noGroup = (groupId: string): Fault =>
    new Fault('task_group_not_found', `Task Group ${groupId.slice(0, 80)} could not be resolved`, {
      args: [groupId],
    });

  const checkGroup = async (caller: Caller, groupId: string): Promise<void> => {
    const owner = isUuid(groupId) ? await groupOwner(db, groupId) : undefined;
    if (owner !== caller.identity) throw noGroup(groupId);
  };

  /** A keyed submission may name a group that is not there yet; nobody may name another's. */
  const checkGroupToUse = async (caller: Caller, groupId: string, mayBeNew: boolean): Promise<void> => {
    const owner = isUuid(groupId) ? await groupOwner(db, groupId) : null;
    if (owner !== caller.identity && !(mayBeNew && owner === undefined)) throw noGroup(groupId);
  };

  const find = async (caller: Caller, taskIds: readonly string[]): Promise<Map<string, TaskDetail>> => {
    const details = await detailsOf(db, taskIds);
    for (const [id, detail] of details) if (detail.owner !== caller.identity) details.delete(id);
    return details;
  };

  return {
    async submit(caller, request) {
      checkSizes(request);
      for (const call of request.calls) await checkMay(caller, request.endpoint_id, call.function_id);
      if (request.task_group_id !== undefined) {
        await checkGroupToUse(caller, request.task_group_id, request.key !== undefined);
      }
      const task_group_id = request.task_group_id ?? chance.uuid();
      const task_ids = await dispatcher.submit(
        request.calls.map((call) => ({
          owner: caller.identity,
          endpoint_id: request.endpoint_id,
          function_id: call.function_id,
          task_group_id,
          options: request.options,
          payloads: call.payloads,
          ...(request.key === undefined ? {} : { key: request.key }),
        })),
      );
      return { task_group_id, task_ids };
    },
    find,
    async get(caller, taskId, wait_ms, signal) {
      const missing = new Fault('task_not_found', `Task ${taskId.slice(0, 80)} not found`, {
        args: [taskId.slice(0, 80)],
      });
      const first = (await find(caller, [taskId])).get(taskId);
      if (first === undefined) throw missing;
      if (first.done || wait_ms <= 0) return first;
      await dispatcher.waitFor([taskId], wait_ms, { signal });
      const second = (await find(caller, [taskId])).get(taskId);
      if (second === undefined) throw missing;
      return second;
    },
    async group(caller, groupId) {
      await checkGroup(caller, groupId);
      return detailsOfChunks(db, await loadGroup(db, groupId));
    },
    async progress(caller, groupId, wait_ms, signal) {
      await checkGroup(caller, groupId);
      if (wait_ms > 0) {
        const open = await openOfGroup(db, groupId);
        const ids = open.flatMap((chunk) =>
          Array.from({ length: chunk.tasks }, (_, index) => index)
            .filter((index) => chunk.done[index] !== '1')
            .map((index) => taskId(chunk.id, index)),
        );
        if (ids.length > 0) await dispatcher.waitFor(ids, wait_ms, { signal });
      }
      return countGroup(db, groupId);
    },
    async await(caller, taskIds, wait_ms, signal) {
      await dispatcher.waitFor(taskIds, wait_ms, { signal, fresh: true });
      const found = await find(caller, taskIds);
      return taskIds.flatMap((id) => found.get(id) ?? []);
    },
    list: async (filter) => detailsOfChunks(db, await listChunks(db, filter)),
    async cancel(caller, taskIds) {
      const own = [...(await find(caller, taskIds)).keys()];
      return dispatcher.cancel(own, caller.username ?? caller.identity);
    },
  };
}
