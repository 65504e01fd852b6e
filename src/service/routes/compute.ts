// The Globus Compute routes (v2 and v3) that functions and tasks need, in that contract's shapes.
// Source: the live service's OpenAPI as of 2026-03 and globus-compute-sdk 4.15.
import { Ajv, type ValidateFunction } from 'ajv';
import type { Router } from 'express';
import { SCOPES } from '../../auth/scopes.ts';
import { wireTime } from '../../clock.ts';
import type { EndpointFacts, EndpointService } from '../../compute/endpoints.ts';
import type { FunctionService } from '../../compute/functions.ts';
import type { TaskService } from '../../compute/tasks.ts';
import type { TaskDetail } from '../../compute/views.ts';
import type { EndpointRow } from '../../db/endpoints.ts';
import type { FunctionRow } from '../../db/functions.ts';
import { Fault, type FaultItem } from '../../errors.ts';
import { isUuid } from '../../ids.ts';
import type { TaskOptions } from '../../protocol/messages.ts';
import {
  bodyObject,
  makeRoutes,
  ok,
  queryText,
  textParam,
  uuidParam,
  type RouteDeps,
} from '../steps/handler.ts';

export interface ComputeServices {
  readonly functions: FunctionService;
  readonly endpoints: EndpointService;
  readonly tasks: TaskService;
  readonly version: string;
  readonly chance: { uuid(): string };
}

/** Oldest SDK and endpoint this service answers; the SDK refuses to start without both keys. */
const OLDEST_SDK = '2.0.0';
const BATCH_STATUS_IDS = 10_000;
const UUID_PATTERN = '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$';

const ajv = new Ajv({ allErrors: false, allowUnionTypes: true });

interface SubmitBody {
  readonly tasks: Readonly<Record<string, readonly string[]>>;
  readonly task_group_id?: string | null;
  readonly resource_specification?: Readonly<Record<string, unknown>> | null;
  readonly result_serializers?: readonly string[] | null;
}

const checkSubmit = ajv.compile<SubmitBody>({
  type: 'object',
  required: ['tasks'],
  properties: {
    tasks: {
      type: 'object',
      minProperties: 1,
      additionalProperties: { type: 'array', minItems: 1, items: { type: 'string' } },
    },
    task_group_id: { type: ['string', 'null'], pattern: UUID_PATTERN },
    create_queue: { type: ['boolean', 'null'] },
    user_endpoint_config: { type: ['object', 'null'] },
    resource_specification: { type: ['object', 'null'] },
    result_serializers: { type: ['array', 'null'], maxItems: 16, items: { type: 'string', maxLength: 256 } },
    user_runtime: { type: ['object', 'null'] },
  },
});

interface FunctionBody {
  readonly function_name: string;
  readonly function_code: string;
  readonly meta?: Readonly<Record<string, string>> | null;
  readonly metadata?: Readonly<Record<string, string>> | null;
  readonly description?: string | null;
  readonly public?: boolean | null;
  readonly group?: string | null;
}

const checkFunction = ajv.compile<FunctionBody>({
  type: 'object',
  required: ['function_name', 'function_code'],
  properties: {
    function_name: { type: 'string', minLength: 1, maxLength: 512 },
    function_code: { type: 'string', minLength: 1 },
    meta: { type: ['object', 'null'], additionalProperties: { type: 'string', maxLength: 256 } },
    metadata: { type: ['object', 'null'], additionalProperties: { type: 'string', maxLength: 256 } },
    description: { type: ['string', 'null'] },
    public: { type: ['boolean', 'null'] },
    group: { type: ['string', 'null'], pattern: UUID_PATTERN },
  },
});

interface EndpointBody {
  readonly endpoint_name: string;
  readonly display_name?: string | null;
  readonly public?: boolean | null;
  readonly allowed_functions?: readonly string[] | null;
  readonly metadata?: Readonly<Record<string, unknown>> | null;
}

const checkEndpoint = ajv.compile<EndpointBody>({
  type: 'object',
  required: ['endpoint_name'],
  properties: {
    endpoint_name: { type: 'string', minLength: 1, maxLength: 256 },
    display_name: { type: ['string', 'null'], maxLength: 256 },
    public: { type: ['boolean', 'null'] },
    allowed_functions: {
      type: ['array', 'null'],
      maxItems: 10_000,
      items: { type: 'string', pattern: UUID_PATTERN },
    },
    metadata: { type: ['object', 'null'] },
  },
});

/** A body of known shape; throws Fault invalid_request that names each bad field. */
export function checkedBody<Body>(check: ValidateFunction<Body>, body: Record<string, unknown>): Body {
  if (check(body)) return body;
  const items = (check.errors ?? []).map((error): FaultItem => {
    const at = error.instancePath.split('/').slice(1);
    const field = error.keyword === 'required' ? [...at, String(error.params.missingProperty)] : at;
    return {
      loc: ['body', ...field],
      msg: error.message ?? 'is not valid',
      type: `value_error.${error.keyword}`,
    };
  });
  throw new Fault('invalid_request', items.map((item) => `${item.loc.join('.')} ${item.msg}`).join('; '), {
    items,
  });
}

function unixTime(at: Date): string {
  return (at.getTime() / 1000).toFixed(6);
}

/** A task as Compute clients read it: `completion_t` exactly when it ended, `exception` for every failure. */
function taskBody(task: TaskDetail): Record<string, unknown> {
  const { ended } = task;
  if (ended === undefined) return { task_id: task.task_id, status: task.status, reason: task.reason };
  return {
    task_id: task.task_id,
    status: task.status,
    completion_t: unixTime(ended.completed_at),
    ...(ended.result === undefined ? { exception: ended.exception } : { result: ended.result }),
    ...(ended.worker === null
      ? {}
      : {
          details: {
            os: ended.worker.os,
            python_version: ended.worker.python_version,
            ...(ended.worker.dill_version === null ? {} : { dill_version: ended.worker.dill_version }),
            endpoint_id: task.endpoint_id,
            task_transitions: {
              'execution-start': ended.started_s,
              'execution-end': ended.started_s + ended.duration_s,
            },
          },
        }),
  };
}

function functionBody(row: FunctionRow): Record<string, unknown> {
  return {
    function_uuid: row.id,
    function_name: row.name,
    function_code: row.code,
    ...(row.description === null ? {} : { description: row.description }),
    metadata: row.meta,
  };
}

function endpointBody(row: EndpointRow): Record<string, unknown> {
  return {
    uuid: row.id,
    name: row.name,
    display_name: row.display_name ?? row.name,
    multi_user: false,
    high_assurance: false,
    public: row.public,
    owner: row.owner,
    subscription_admin_verified: false,
    ...row.metadata,
  };
}

function endpointFacts(body: EndpointBody): EndpointFacts {
  return {
    name: body.endpoint_name,
    display_name: body.display_name ?? null,
    public: body.public ?? false,
    allowed_functions: body.allowed_functions?.map((id) => id.toLowerCase()) ?? null,
    metadata: body.metadata ?? {},
  };
}

function taskOptions(body: SubmitBody): TaskOptions {
  return {
    ...(body.result_serializers == null ? {} : { result_serializers: body.result_serializers }),
    ...(body.resource_specification == null ? {} : { resource_specification: body.resource_specification }),
  };
}

export function computeRoutes(services: ComputeServices, deps: RouteDeps): Router {
  const { functions, endpoints, tasks } = services;
  const routes = makeRoutes('compute', deps);
  const scopes = [SCOPES.compute];

  routes.open('get', '/v2/version', (request) => {
    if (queryText(request, 'service') !== 'all') return ok(services.version);
    return ok({
      api: services.version,
      min_sdk_version: OLDEST_SDK,
      min_ep_version: OLDEST_SDK,
      git_sha: 'unknown',
    });
  });

  routes.on('post', '/v3/functions', scopes, async (request, caller) => {
    const body = checkedBody(checkFunction, bodyObject(request));
    const id = await functions.register(caller, {
      name: body.function_name,
      code: body.function_code,
      description: body.description ?? null,
      meta: body.meta ?? body.metadata ?? {},
      public: body.public ?? false,
      group_id: body.group ?? null,
    });
    return ok({ function_uuid: id });
  });
  routes.on('get', '/v2/functions/:id', scopes, async (request, caller) => {
    return ok(functionBody(await functions.get(caller, uuidParam(request, 'id', 'function_not_found'))));
  });
  routes.on('delete', '/v2/functions/:id', scopes, async (request, caller) => {
    await functions.remove(caller, uuidParam(request, 'id', 'function_not_found'));
    return ok({ result: 302 });
  });

  routes.on('post', '/v3/endpoints', scopes, async (request, caller) => {
    const body = checkedBody(checkEndpoint, bodyObject(request));
    return ok({ endpoint_id: await endpoints.create(caller, endpointFacts(body)) });
  });
  routes.on('put', '/v3/endpoints/:id', scopes, async (request, caller) => {
    const id = uuidParam(request, 'id', 'endpoint_not_found');
    await endpoints.update(caller, id, endpointFacts(checkedBody(checkEndpoint, bodyObject(request))));
    return ok({ endpoint_id: id });
  });
  routes.on('get', '/v2/endpoints', scopes, async (request, caller) => {
    const rows = await endpoints.list(caller, queryText(request, 'role') === 'any');
    return ok(
      rows.map((row) => ({
        uuid: row.id,
        name: row.name,
        display_name: row.display_name ?? row.name,
        owner: row.owner,
      })),
    );
  });
  routes.on('get', '/v2/endpoints/:id', scopes, async (request, caller) => {
    return ok(endpointBody(await endpoints.get(caller, uuidParam(request, 'id', 'endpoint_not_found'))));
  });
  routes.on('get', '/v2/endpoints/:id/status', scopes, async (request, caller) => {
    const row = await endpoints.get(caller, uuidParam(request, 'id', 'endpoint_not_found'));
    const { status } = row;
    return ok({
      status: row.online ? 'online' : 'offline',
      details:
        status === null
          ? {}
          : {
              total_workers: status.total_workers,
              idle_workers: status.idle_workers,
              pending_tasks: status.pending_tasks,
              outstanding_tasks: status.outstanding_tasks,
              managers: status.executors,
            },
    });
  });
  routes.on('get', '/v3/endpoints/:id/allowed_functions', scopes, async (request, caller) => {
    const row = await endpoints.get(caller, uuidParam(request, 'id', 'endpoint_not_found'));
    return ok({
      endpoint_id: row.id,
      restricted: row.allowed_functions !== null,
      ...(row.allowed_functions === null ? {} : { functions: row.allowed_functions }),
    });
  });
  for (const path of ['/v2/endpoints/:id', '/v3/endpoints/:id']) {
    routes.on('delete', path, scopes, async (request, caller) => {
      await endpoints.remove(caller, uuidParam(request, 'id', 'endpoint_not_found'));
      return ok({ result: 302 });
    });
  }

  routes.on('post', '/v3/endpoints/:id/submit', scopes, async (request, caller) => {
    const endpoint_id = uuidParam(request, 'id', 'endpoint_not_found');
    const body = checkedBody(checkSubmit, bodyObject(request));
    const named = Object.entries(body.tasks);
    for (const [id] of named) {
      if (!isUuid(id.toLowerCase())) {
        throw new Fault('function_not_found', `Function ${id.slice(0, 80)} could not be resolved`, {
          args: [id.slice(0, 80)],
        });
      }
    }
    const submitted = await tasks.submit(caller, {
      endpoint_id,
      task_group_id: body.task_group_id?.toLowerCase() ?? undefined,
      calls: named.map(([id, payloads]) => ({
        function_id: id.toLowerCase(),
        payloads: payloads.map((payload) => Buffer.from(payload)),
      })),
      options: taskOptions(body),
    });
    // The SDK looks its answers up under the very string it sent.
    return ok({
      request_id: services.chance.uuid(),
      task_group_id: submitted.task_group_id,
      endpoint_id: textParam(request, 'id'),
      tasks: Object.fromEntries(named.map(([id], place) => [id, submitted.task_ids[place] ?? []])),
    });
  });
  routes.on('get', '/v2/tasks/:id', scopes, async (request, caller) => {
    return ok(taskBody(await tasks.get(caller, textParam(request, 'id').toLowerCase(), 0)));
  });
  routes.on('post', '/v2/batch_status', scopes, async (request, caller) => {
    const ids = bodyObject(request).task_ids;
    if (!Array.isArray(ids) || ids.length > BATCH_STATUS_IDS || !ids.every((id) => typeof id === 'string')) {
      throw new Fault('invalid_request', `task_ids must be a list of at most ${BATCH_STATUS_IDS} task ids.`);
    }
    const found = await tasks.find(
      caller,
      ids.map((id: string) => id.toLowerCase()),
    );
    const results = Object.fromEntries([...found].map(([id, task]) => [id, taskBody(task)]));
    return ok({ response: 'batch', results });
  });
  routes.on('get', '/v2/taskgroup/:id', scopes, async (request, caller) => {
    const id = textParam(request, 'id');
    const members = await tasks.group(caller, id.toLowerCase());
    return ok({
      taskgroup_id: id,
      tasks: members.map((task) => ({ id: task.task_id, created_at: wireTime(task.submitted_at) })),
    });
  });

  return routes.finish();
}
