// Our own routes under /api: what the Globus contracts have no word for.
import { Ajv } from 'ajv';
import type { Request, Router } from 'express';
import { SCOPES } from '../../auth/scopes.ts';
import type { TokenAuthority } from '../../auth/tokens.ts';
import { wireTime } from '../../clock.ts';
import type { EndpointService } from '../../compute/endpoints.ts';
import type { FunctionService } from '../../compute/functions.ts';
import type { TaskService } from '../../compute/tasks.ts';
import type { TaskDetail } from '../../compute/views.ts';
import type { EndpointRow } from '../../db/endpoints.ts';
import type { TokenRow } from '../../db/identity.ts';
import { Fault } from '../../errors.ts';
import { isUuid, taskPlace } from '../../ids.ts';
import { jsonPayload, jsonValue } from '../../protocol/packed.ts';
import type { TaskOptions } from '../../protocol/messages.ts';
import {
  bodyObject,
  makeRoutes,
  ok,
  queryCount,
  queryText,
  textParam,
  uuidParam,
  type RouteDeps,
  type Routes,
} from '../steps/handler.ts';
import { checkedBody } from './compute.ts';

export interface ApiServices {
  readonly functions: FunctionService;
  readonly endpoints: EndpointService;
  readonly tasks: TaskService;
  readonly tokens: TokenAuthority;
  readonly version: string;
  /** Where endpoints dial, now. */
  readonly link: { readonly address: string; readonly server_key: string };
  /** Is the database there? Throws when it is not. */
  readonly healthy: () => Promise<void>;
}

const LONGEST_WAIT_S = 60;
const PAGE = 1_000;
/** Chunks of a page at most: each may hold a hundred tasks. */
const PAGE_CHUNKS = 100;
const UUID = { type: 'string', pattern: '^[0-9a-fA-F-]{36}$' };

const ajv = new Ajv({ allowUnionTypes: true });

interface TokenBody {
  readonly name: string;
  readonly scopes?: readonly string[];
  readonly expires_in_s?: number;
  readonly username?: string;
}

const checkToken = ajv.compile<TokenBody>({
  type: 'object',
  required: ['name'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 128 },
    scopes: { type: 'array', maxItems: 64, items: { type: 'string', maxLength: 512 } },
    expires_in_s: { type: 'integer', minimum: 1, maximum: 366 * 86_400 },
    username: { type: 'string', minLength: 1, maxLength: 128 },
  },
});

interface TasksBody {
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly calls: readonly {
    readonly args?: readonly unknown[];
    readonly kwargs?: Readonly<Record<string, unknown>>;
  }[];
  readonly task_group_id?: string;
  readonly options?: TaskOptions;
  readonly idempotency_key?: string;
}

const checkTasks = ajv.compile<TasksBody>({
  type: 'object',
  required: ['endpoint_id', 'function_id', 'calls'],
  properties: {
    endpoint_id: UUID,
    function_id: UUID,
    task_group_id: UUID,
    idempotency_key: { type: 'string', minLength: 1, maxLength: 256 },
    calls: {
      type: 'array',
      minItems: 1,
      maxItems: 20_000,
      items: { type: 'object', properties: { args: { type: 'array' }, kwargs: { type: 'object' } } },
    },
    options: {
      type: 'object',
      additionalProperties: false,
      properties: {
        timeout_s: { type: 'number', exclusiveMinimum: 0, maximum: 31_536_000 },
        max_attempts: { type: 'integer', minimum: 1, maximum: 100 },
        result_serializers: { type: 'array', maxItems: 16, items: { type: 'string', maxLength: 256 } },
        resource_specification: { type: 'object' },
      },
    },
  },
});

interface RegisterBody {
  readonly code: string;
  readonly curve_public_key: string;
}

const checkRegister = ajv.compile<RegisterBody>({
  type: 'object',
  required: ['code', 'curve_public_key'],
  properties: {
    code: { type: 'string', maxLength: 128 },
    curve_public_key: { type: 'string', maxLength: 64 },
  },
});

/** A task as our own clients read it. */
function taskBody(task: TaskDetail): Record<string, unknown> {
  const { ended } = task;
  const value = ended?.result === undefined ? undefined : jsonValue(ended.result);
  return {
    task_id: task.task_id,
    function_id: task.function_id,
    endpoint_id: task.endpoint_id,
    task_group_id: task.task_group_id,
    status: task.status,
    reason: task.reason,
    cancelled: task.cancelled,
    attempt: task.attempt,
    submitted_at: wireTime(task.submitted_at),
    ...(ended === undefined
      ? {}
      : {
          started_at: wireTime(ended.started_s * 1000),
          completed_at: wireTime(ended.completed_at),
          duration_s: ended.duration_s,
          worker: ended.worker,
          ...(ended.result === undefined ? { exception: ended.exception } : { result: ended.result }),
          ...(value === undefined ? {} : { output: value.value }),
        }),
  };
}

function endpointBody(row: EndpointRow): Record<string, unknown> {
  const at = row.online ? row.linked_at : (row.unlinked_at ?? row.last_seen_at);
  return {
    id: row.id,
    name: row.name,
    display_name: row.display_name,
    owner: row.owner,
    status: row.online ? 'online' : 'offline',
    since: at === null ? null : wireTime(at),
    workers: row.status?.total_workers ?? 0,
    idle_workers: row.status?.idle_workers ?? 0,
    outstanding_tasks: row.status?.outstanding_tasks ?? 0,
    pending_tasks: row.status?.pending_tasks ?? 0,
    waiting_reason: row.status?.waiting_reason ?? null,
    registered: row.curve_key !== null,
    created_at: wireTime(row.created_at),
  };
}

function tokenBody(row: TokenRow): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    username: row.username,
    scopes: row.scopes,
    created_at: wireTime(row.created_at),
    expires_at: wireTime(row.expires_at),
    revoked_at: row.revoked_at === null ? null : wireTime(row.revoked_at),
  };
}

/** Aborts when the caller hangs up, so that a wait for a gone client ends. */
function hangUpSignal(request: Request): AbortSignal {
  const abort = new AbortController();
  // The response's 'close', not the request's: that comes as soon as its body has been read.
  request.res?.once('close', () => abort.abort());
  return abort.signal;
}

function tokenRoutes(routes: Routes, tokens: TokenAuthority): void {
  routes.on('get', '/whoami', [], (_request, caller) =>
    ok({
      identity: caller.identity,
      username: caller.username,
      scopes: [...caller.scopes],
      token_id: caller.token_id,
    }),
  );
  routes.on('post', '/tokens', [], async (request, caller) => {
    const body = checkedBody(checkToken, bodyObject(request));
    const isAdmin = caller.scopes.has(SCOPES.admin);
    // A token makes tokens for its own user with no more rights than it has; only an administrator's makes others.
    const beyond = (body.scopes ?? []).filter((scope) => !caller.scopes.has(scope));
    if (!isAdmin && ((body.username ?? caller.username) !== caller.username || beyond.length > 0)) {
      throw new Fault(
        'forbidden',
        'Only an administrator makes tokens for others or with more scopes than their own.',
      );
    }
    const scopes = body.scopes ?? [...caller.scopes].filter((scope) => scope !== SCOPES.admin);
    const issued = await tokens.issue({
      username: body.username ?? caller.username,
      name: body.name,
      scopes,
      ...(body.expires_in_s === undefined ? {} : { lifetime_s: body.expires_in_s }),
    });
    return ok({ ...issued, expires_at: wireTime(issued.expires_at) }, 201);
  });
  routes.on('get', '/tokens', [], async (_request, caller) => {
    const rows = await tokens.list(caller.scopes.has(SCOPES.admin) ? null : caller.identity);
    return ok({ tokens: rows.map(tokenBody) });
  });
  routes.on('delete', '/tokens/:id', [], async (request, caller) => {
    await tokens.revoke(
      uuidParam(request, 'id', 'token_not_found'),
      caller.scopes.has(SCOPES.admin) ? null : caller.identity,
    );
    return ok({ revoked: true });
  });
}

function endpointRoutes(routes: Routes, services: ApiServices): void {
  const { endpoints } = services;
  routes.on('get', '/endpoints', [SCOPES.compute], async (_request, caller) => {
    return ok({ endpoints: (await endpoints.list(caller, true)).map(endpointBody) });
  });
  routes.on('get', '/endpoints/:id', [SCOPES.compute], async (request, caller) => {
    return ok(endpointBody(await endpoints.get(caller, uuidParam(request, 'id', 'endpoint_not_found'))));
  });
  routes.on('post', '/endpoints', [SCOPES.compute], async (request, caller) => {
    const body = bodyObject(request);
    if (typeof body.name !== 'string' || body.name === '' || body.name.length > 256) {
      throw new Fault('invalid_request', 'name must be a text of 1 to 256 characters.');
    }
    const display_name = typeof body.display_name === 'string' ? body.display_name : null;
    const facts = { name: body.name, display_name, public: false, allowed_functions: null, metadata: {} };
    const code = await endpoints.makeCode(caller, await endpoints.create(caller, facts));
    return ok({ ...code, expires_at: wireTime(code.expires_at) }, 201);
  });
  routes.on('post', '/endpoints/:id/registration_code', [SCOPES.compute], async (request, caller) => {
    const code = await endpoints.makeCode(caller, uuidParam(request, 'id', 'endpoint_not_found'));
    return ok({ ...code, expires_at: wireTime(code.expires_at) }, 201);
  });
  // The code is the proof: an agent has no user's token.
  routes.open('post', '/endpoints/register', async (request) => {
    const body = checkedBody(checkRegister, bodyObject(request));
    return ok(await endpoints.register(body.code, body.curve_public_key));
  });
  routes.open('get', '/link', () => ok(services.link));
}

function taskRoutes(routes: Routes, tasks: TaskService): void {
  routes.on('post', '/tasks', [SCOPES.compute], async (request, caller) => {
    const body = checkedBody(checkTasks, bodyObject(request));
    const submitted = await tasks.submit(caller, {
      endpoint_id: body.endpoint_id.toLowerCase(),
      task_group_id: body.task_group_id?.toLowerCase(),
      calls: [
        {
          function_id: body.function_id.toLowerCase(),
          payloads: body.calls.map((call) => Buffer.from(jsonPayload(call.args ?? [], call.kwargs ?? {}))),
        },
      ],
      // JSON first, so that every client can read the value; anything Python can pickle otherwise.
      options: { result_serializers: ['JSONData', 'DillDataBase64'], ...body.options },
      key: body.idempotency_key,
    });
    const answer = { task_group_id: submitted.task_group_id, task_ids: submitted.task_ids.flat() };
    const wait_s = queryCount(request, 'wait_s', { min: 0, max: LONGEST_WAIT_S, otherwise: 0 });
    if (wait_s === 0) return ok(answer, 202);
    const views = await tasks.await(caller, answer.task_ids, wait_s * 1000, hangUpSignal(request));
    return ok({ ...answer, tasks: views.map(taskBody) }, views.every((task) => task.done) ? 200 : 202);
  });
  routes.on('get', '/tasks', [SCOPES.compute], async (request, caller) => {
    const limit = queryCount(request, 'limit', { min: 1, max: PAGE, otherwise: 100 });
    const state = queryText(request, 'state');
    const uuid = (name: string): string | undefined => {
      const text = queryText(request, name)?.toLowerCase();
      if (text !== undefined && !isUuid(text)) throw new Fault('invalid_uuid', `${name} must be a UUID.`);
      return text;
    };
    const marker = decodeMarker(queryText(request, 'marker'));
    // A page is whole chunks, as many as surely hold no fewer tasks than asked for: at least one each.
    const chunks = Math.min(limit, PAGE_CHUNKS);
    const wantsOpen = state === undefined ? undefined : !['success', 'failed'].includes(state);
    const found = await tasks.list({
      owner: caller.identity,
      endpoint_id: uuid('endpoint_id'),
      function_id: uuid('function_id'),
      task_group_id: uuid('group'),
      open: wantsOpen,
      before: marker,
      limit: chunks,
    });
    const matching = found.filter(
      (task) => state === undefined || task.status === state || (state === 'open' && !task.done),
    );
    return ok({ tasks: matching.map(taskBody), marker: nextMarker(found, chunks) });
  });
  routes.on('get', '/task_groups/:id', [SCOPES.compute], async (request, caller) => {
    const wait_s = queryCount(request, 'wait_s', { min: 0, max: LONGEST_WAIT_S, otherwise: 0 });
    const id = textParam(request, 'id').toLowerCase();
    return ok({
      task_group_id: id,
      ...(await tasks.progress(caller, id, wait_s * 1000, hangUpSignal(request))),
    });
  });
  routes.on('get', '/tasks/:id', [SCOPES.compute], async (request, caller) => {
    const wait_s = queryCount(request, 'wait_s', { min: 0, max: LONGEST_WAIT_S, otherwise: 0 });
    const id = textParam(request, 'id').toLowerCase();
    return ok(taskBody(await tasks.get(caller, id, wait_s * 1000, hangUpSignal(request))));
  });
  routes.on('get', '/tasks/:id/logs', [SCOPES.compute], async (request, caller) => {
    const task = await tasks.get(caller, textParam(request, 'id').toLowerCase(), 0);
    return ok({ task_id: task.task_id, stdout: task.ended?.stdout ?? '', stderr: task.ended?.stderr ?? '' });
  });
  routes.on('post', '/tasks/:id/cancel', [SCOPES.compute], async (request, caller) => {
    const id = textParam(request, 'id').toLowerCase();
    await tasks.get(caller, id, 0);
    const ended = await tasks.cancel(caller, [id]);
    const after = await tasks.get(caller, id, 0);
    return ok({ task_id: id, status: after.status, cancelled: ended.includes(id) });
  });
}

type Marker = { readonly created_at: Date; readonly id: string };

/** Pages end at chunk borders: the marker names the last chunk shown. */
function nextMarker(found: readonly TaskDetail[], limit: number): string | null {
  const chunks = new Set(found.map((task) => taskPlace(task.task_id)?.chunk));
  const last = found.at(-1);
  if (last === undefined || chunks.size < limit) return null;
  const place = taskPlace(last.task_id);
  return Buffer.from(JSON.stringify([last.submitted_at.toISOString(), place?.chunk])).toString('base64url');
}

function decodeMarker(text: string | undefined): Marker | undefined {
  if (text === undefined) return undefined;
  try {
    const [at, id] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [string, string];
    const created_at = new Date(at);
    if (isUuid(id) && !Number.isNaN(created_at.getTime())) return { created_at, id };
  } catch {
    // Falls through to the one answer for every bad marker.
  }
  throw new Fault('invalid_request', 'marker is not one this service gave out.');
}

export function apiRoutes(services: ApiServices, deps: RouteDeps): Router {
  const routes = makeRoutes('api', deps);
  routes.open('get', '/health', async () => {
    await services.healthy();
    return ok({ status: 'ok', version: services.version });
  });
  tokenRoutes(routes, services.tokens);
  endpointRoutes(routes, services);
  taskRoutes(routes, services.tasks);
  routes.on('get', '/functions', [SCOPES.compute], async (request, caller) => {
    const limit = queryCount(request, 'limit', { min: 1, max: PAGE, otherwise: 100 });
    const rows = await services.functions.list(caller, queryText(request, 'name'), limit);
    return ok({
      functions: rows.map((row) => ({
        id: row.id,
        name: row.name,
        description: row.description,
        public: row.public,
        created_at: wireTime(row.created_at),
      })),
    });
  });
  return routes.finish();
}
