// The doors that action providers are given, opened onto the task service.
import type { Db } from '../../db/connect.ts';
import type { Dispatcher } from '../../dispatcher/index.ts';
import type { TaskService } from '../../compute/tasks.ts';
import { detailsOf, type TaskDetail } from '../../compute/views.ts';
import { jsonPayload, jsonValue } from '../../protocol/packed.ts';
import type { Json, ProviderPorts, TaskRequest, TaskView } from '../../providers/contract.ts';

function viewOf(detail: TaskDetail): TaskView {
  const value = detail.ended?.result === undefined ? undefined : jsonValue(detail.ended.result);
  return {
    task_id: detail.task_id,
    done: detail.done,
    status: detail.status,
    reason: detail.reason,
    ...(value === undefined ? {} : { output: value.value as Json }),
    ...(detail.ended?.exception === undefined ? {} : { exception: detail.ended.exception }),
  };
}

/** Calls by function, and for each task which call and place it became. */
function byFunction(tasks: readonly TaskRequest[]): {
  readonly calls: { readonly function_id: string; readonly payloads: Buffer[] }[];
  readonly places: readonly (readonly [number, number])[];
} {
  const calls: { readonly function_id: string; readonly payloads: Buffer[] }[] = [];
  const places = tasks.map((task): readonly [number, number] => {
    let call = calls.findIndex((known) => known.function_id === task.function_id);
    if (call === -1) call = calls.push({ function_id: task.function_id, payloads: [] }) - 1;
    const payloads = calls[call]?.payloads ?? [];
    return [call, payloads.push(Buffer.from(jsonPayload(task.args, task.kwargs))) - 1];
  });
  return { calls, places };
}

export function makeProviderPorts(deps: {
  readonly db: Db;
  readonly tasks: TaskService;
  readonly dispatcher: Dispatcher;
  readonly now: () => number;
  /** Has the action looked at again. */
  readonly look: (actionId: string) => void;
}): ProviderPorts {
  return {
    now: deps.now,
    async submitTasks(caller, request) {
      const { calls, places } = byFunction(request.tasks);
      const { task_ids } = await deps.tasks.submit(caller, {
        endpoint_id: request.endpoint_id,
        calls,
        task_group_id: request.task_group_id,
        options: request.options,
        key: request.key,
      });
      return places.map(([call, place]) => task_ids[call]?.[place] ?? '');
    },
    async taskViews(taskIds) {
      const details = await detailsOf(deps.db, taskIds);
      return taskIds.flatMap((id) => {
        const detail = details.get(id);
        return detail === undefined ? [] : [viewOf(detail)];
      });
    },
    async cancelTasks(taskIds, by) {
      await deps.dispatcher.cancel(taskIds, by);
    },
    watchTasks(actionId, taskIds) {
      deps.dispatcher.waiters.watch(taskIds, () => deps.look(actionId));
    },
  };
}
