// Compute: runs registered functions at endpoints. One action is a batch of tasks, all at once; it succeeds when
// all of them do. Takes the bodies of the hosted provider, version 3 and version 2 (reference: compute-api.md
// section 6), the latter also in the spellings of public flows (`func`, `payload`).
import { FAULTS, Fault } from '../errors.ts';
import { isUuid } from '../ids.ts';
import type {
  ActionProvider,
  ActionRecord,
  ActionState,
  Json,
  JsonObject,
  LogEntry,
  ProviderPorts,
  Started,
  StartRequest,
  TaskRequest,
  TaskView,
} from './contract.ts';
import { bodyFault } from './kit/body-check.ts';
import { cancelledState, failedState } from './kit/states.ts';

const MAX_TASKS = 10_000;
/** Characters kept of a traceback, and shown of its last line. */
const MAX_EXCEPTION = 16_384;
const MAX_LINE = 400;

interface Job extends TaskRequest {
  readonly endpoint_id: string;
}

type Path = readonly (string | number)[];

/** Names of one thing in the bodies, the preferred one first. */
const ENDPOINT = ['endpoint_id', 'endpoint'] as const;
const FUNCTION = ['function_id', 'function', 'func'] as const;

function uuidIn(
  names: readonly string[],
  entry: JsonObject,
  path: Path,
  inherited: string | undefined,
): string {
  const name = names.find((candidate) => entry[candidate] !== undefined && entry[candidate] !== null);
  const value = name === undefined ? inherited : entry[name];
  if (value === undefined) throw bodyFault([...path, names[0] ?? ''], 'required', 'is missing');
  const uuid = typeof value === 'string' ? value.toLowerCase() : '';
  if (!isUuid(uuid)) throw bodyFault([...path, name ?? names[0] ?? ''], 'format', 'must be a UUID');
  return uuid;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Arguments: `args` a list or one value, `kwargs` an object; version 2's `payload` is either. */
function argumentsIn(entry: JsonObject): Pick<TaskRequest, 'args' | 'kwargs'> {
  const { args, kwargs, payload } = entry;
  const listed = args ?? (isObject(payload) ? undefined : payload);
  const named = kwargs ?? (isObject(payload) ? payload : undefined);
  const list = listed === undefined || listed === null ? [] : Array.isArray(listed) ? listed : [listed];
  return { args: list as readonly Json[], kwargs: isObject(named) ? named : {} };
}

function optionalUuid(names: readonly string[], body: JsonObject): string | undefined {
  const there = names.some((name) => body[name] !== undefined && body[name] !== null);
  return there ? uuidIn(names, body, [], undefined) : undefined;
}

/** Every task that a body asks for, in order. Throws Fault invalid_request. */
export function jobsOf(body: JsonObject): readonly Job[] {
  const endpoint = optionalUuid(ENDPOINT, body);
  const func = optionalUuid(FUNCTION, body);
  const job = (entry: JsonObject, path: Path): Job => ({
    endpoint_id: uuidIn(ENDPOINT, entry, path, endpoint),
    function_id: uuidIn(FUNCTION, entry, path, func),
    ...argumentsIn(entry),
  });
  const single = func === undefined ? [] : [job(body, [])];
  const tasks = Array.isArray(body.tasks) ? (body.tasks as readonly JsonObject[]) : undefined;
  // Beside a list, the function at the top is the default of its tasks.
  if (tasks !== undefined) return tasks.map((task, index) => job(task, ['tasks', index]));
  if (single.length === 0) throw bodyFault(['tasks'], 'required', 'is missing');
  return single;
}

/** Tasks of one endpoint, with their places in the batch. */
function byEndpoint(jobs: readonly Job[]): ReadonlyMap<string, readonly number[]> {
  const places = new Map<string, number[]>();
  jobs.forEach((job, index) => {
    const known = places.get(job.endpoint_id);
    if (known === undefined) places.set(job.endpoint_id, [index]);
    else known.push(index);
  });
  return places;
}

async function submit(request: StartRequest, ports: ProviderPorts): Promise<readonly string[]> {
  const { action_id, body, caller } = request;
  const jobs = jobsOf(body);
  const groups = byEndpoint(jobs);
  const ids = jobs.map(() => '');
  const task_group_id = typeof body.task_group_id === 'string' ? body.task_group_id : action_id.slice(3);
  const resources = isObject(body.resource_specification)
    ? { resource_specification: body.resource_specification }
    : {};
  try {
    for (const [endpoint_id, places] of groups) {
      const made = await ports.submitTasks(
        { identity: caller.identity },
        {
          key: groups.size === 1 ? action_id : `${action_id}/${endpoint_id}`,
          endpoint_id,
          task_group_id,
          tasks: places.flatMap((place) => jobs[place] ?? []).map(({ endpoint_id: _, ...task }) => task),
          options: { result_serializers: ['JSONData'], ...resources },
        },
      );
      places.forEach((place, index) => (ids[place] = made[index] ?? ''));
    }
  } catch (error) {
    // All or nothing: what an earlier endpoint took does not run when a later one refuses. Other errors pass, and
    // the start is made again.
    const taken = ids.filter((id) => id !== '');
    const refused = error instanceof Fault && !FAULTS[error.code].retry;
    if (refused && taken.length > 0) await ports.cancelTasks(taken, 'a batch that was refused');
    throw error;
  }
  return ids;
}

async function run(request: StartRequest, ports: ProviderPorts): Promise<Started> {
  const tasks = await submit(request, ports);
  ports.watchTasks(request.action_id, tasks);
  const state: ActionState = {
    status: 'ACTIVE',
    display_status: 'Queued',
    details: { tasks: tasks.length, done: 0, failed: 0, running: 0 },
  };
  return { state, memo: { tasks } };
}

/** The line of a traceback that says what went wrong: its last. */
function lastLine(exception: string): string {
  const line = exception.trimEnd().split('\n').at(-1)?.trim() ?? '';
  return line.length <= MAX_LINE ? line : `${line.slice(0, MAX_LINE)}…`;
}

function clipped(exception: string): string {
  return exception.length <= MAX_EXCEPTION ? exception : `…${exception.slice(-MAX_EXCEPTION)}`;
}

/** The result entry of one task. A value that is no JSON can be fetched as the task's result only. */
function entryOf(view: TaskView): JsonObject {
  if (view.exception !== undefined) return { task_id: view.task_id, exception: clipped(view.exception) };
  if (view.output !== undefined) return { task_id: view.task_id, output: view.output };
  if (!view.done) return { task_id: view.task_id, status: view.status };
  return {
    task_id: view.task_id,
    output: null,
    note: 'The result is not JSON; fetch it as the result of the task.',
  };
}

/** The reason that most of the waiting tasks give. */
function mainReason(waiting: readonly TaskView[]): string | undefined {
  const counts = new Map<string, number>();
  for (const { reason } of waiting) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

function progress(views: readonly TaskView[]): ActionState {
  const open = views.filter((view) => !view.done);
  const running = open.filter((view) => view.status === 'running').length;
  const failed = views.filter((view) => view.exception !== undefined).length;
  const reason = mainReason(open.filter((view) => view.status !== 'running'));
  const total = views.length;
  return {
    status: 'ACTIVE',
    display_status: running > 0 ? `Running ${running} of ${total}` : `Waiting ${open.length} of ${total}`,
    details: {
      tasks: total,
      done: total - open.length,
      failed,
      running,
      ...(reason === undefined ? {} : { reason }),
    },
  };
}

function failure(views: readonly TaskView[], failed: readonly TaskView[]): ActionState {
  const first = failed[0];
  const exception = clipped(first?.exception ?? '');
  const place = first === undefined ? 0 : views.indexOf(first) + 1;
  const what = lastLine(exception);
  const description =
    views.length === 1
      ? `The task failed: ${what}`
      : `${failed.length} of ${views.length} tasks failed; task ${place}: ${what}`;
  const display = views.length === 1 ? 'Task failed' : `${failed.length} of ${views.length} tasks failed`;
  return failedState('TaskFailed', description, display, { exception, results: views.map(entryOf) });
}

/** The state of an action from its tasks. Pure. */
export function stateOf(views: readonly TaskView[]): ActionState {
  if (views.some((view) => !view.done)) return progress(views);
  const failed = views.filter((view) => view.exception !== undefined);
  if (failed.length > 0) return failure(views, failed);
  const results = views.map(entryOf);
  return {
    status: 'SUCCEEDED',
    display_status: 'Function Results Received',
    details: { result: results.map((entry) => entry.output ?? null), results },
  };
}

function taskIds(action: ActionRecord): readonly string[] {
  return Array.isArray(action.memo.tasks) ? (action.memo.tasks as readonly string[]) : [];
}

/** The tasks as they are, in order; one that nobody knows any more counts as failed. */
async function viewsOf(action: ActionRecord, ports: ProviderPorts): Promise<readonly TaskView[]> {
  const ids = taskIds(action);
  const known = new Map((await ports.taskViews(ids)).map((view) => [view.task_id, view]));
  const failed = (task_id: string, exception: string): TaskView => ({
    task_id,
    done: true,
    status: 'failed',
    reason: '',
    exception,
  });
  return ids.map((id) => {
    const view = known.get(id);
    if (view === undefined) return failed(id, 'The task is no longer known; its result was not kept.');
    const silent = view.done && view.status === 'failed' && view.exception === undefined;
    return silent ? failed(id, 'The task failed and left no message.') : view;
  });
}

async function status(action: ActionRecord, ports: ProviderPorts): Promise<ActionState> {
  const views = await viewsOf(action, ports);
  const open = views.filter((view) => !view.done);
  if (open.length > 0)
    ports.watchTasks(
      action.action_id,
      open.map((view) => view.task_id),
    );
  return stateOf(views);
}

async function cancel(action: ActionRecord, ports: ProviderPorts, by: string): Promise<ActionState> {
  const before = await viewsOf(action, ports);
  if (before.every((view) => view.done)) return stateOf(before);
  await ports.cancelTasks(taskIds(action), by);
  return cancelledState(by, { results: (await viewsOf(action, ports)).map(entryOf) });
}

/** What was asked for and not used is said, not hidden. */
function log(action: ActionRecord): Promise<readonly LogEntry[]> {
  const config = action.body.user_endpoint_config;
  const unused = isObject(config) && Object.keys(config).length > 0;
  const entry: LogEntry = {
    time: action.started_at,
    code: 'ConfigurationUnused',
    description: 'user_endpoint_config was not used: the endpoint takes no configuration from its callers.',
  };
  return Promise.resolve(unused ? [entry] : []);
}

const UUID_TEXT = { type: 'string', format: 'uuid' };
const ARGUMENTS = {
  args: { description: 'Positional arguments: a list, or one value.' },
  kwargs: { type: ['object', 'null'], description: 'Named arguments.' },
  payload: { description: 'Version 2: an object gives named arguments, anything else positional ones.' },
};

export const compute: ActionProvider = {
  name: 'compute',
  title: 'Compute',
  subtitle: 'Runs Python functions at endpoints',
  description:
    'Runs registered functions at endpoints, all tasks of one action at once. It succeeds when every task does: ' +
    'details.result lists their values in order. It fails when a task fails: details.exception has the traceback.',
  keywords: ['compute', 'function', 'python', 'endpoint', 'funcx'],
  synchronous: false,
  input_schema: {
    $schema: 'http://json-schema.org/draft-07/schema#',
    type: 'object',
    properties: {
      endpoint_id: { ...UUID_TEXT, description: 'Where the tasks run.' },
      tasks: {
        type: 'array',
        minItems: 1,
        maxItems: MAX_TASKS,
        description: 'What runs there, all at once.',
        // Few properties: each costs time for each of thousands of tasks. The provider's own check does the rest.
        items: {
          type: 'object',
          description: 'Version 2 spells endpoint, function or func, and payload, in each task too.',
          properties: {
            function_id: { ...UUID_TEXT, description: 'A registered function.' },
            args: ARGUMENTS.args,
            kwargs: ARGUMENTS.kwargs,
          },
        },
      },
      task_group_id: {
        type: ['string', 'null'],
        description: 'The tasks join this group; a new one when absent.',
      },
      resource_specification: { type: ['object', 'null'], description: 'What each task needs.' },
      user_endpoint_config: { type: ['object', 'null'], description: 'For endpoints with a template.' },
      create_queue: { type: ['boolean', 'null'], description: 'Has no effect here.' },
      endpoint: { ...UUID_TEXT, description: 'Version 2: where the tasks run.' },
      function: { ...UUID_TEXT, description: 'Version 2: the function of a single task.' },
      func: { ...UUID_TEXT, description: 'Version 2: the function of a single task.' },
      ...ARGUMENTS,
    },
  },
  check(body) {
    jobsOf(body);
    optionalUuid(['task_group_id'], body);
  },
  makeActionId: (uuid) => `tg_${uuid}`,
  run,
  status,
  cancel,
  log,
};
