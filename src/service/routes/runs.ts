// The Flows API: runs (reference: Flows API sections 1 to 5), with the old spellings below /flows/{id}.
import type { Request, Router } from 'express';
import { SCOPES, flowScope } from '../../auth/scopes.ts';
import { RUN_ORDER, type RunFilter, type RunRoleFilter } from '../../db/runs.ts';
import { Fault } from '../../errors.ts';
import { isUuid } from '../../ids.ts';
import { namesOf } from '../../flows/access.ts';
import { logEntryDocument } from '../../flows/documents.ts';
import { isObject } from '../../flows/paths.ts';
import type { FlowEngine } from '../../flows/engine.ts';
import {
  bodyObject,
  makeRoutes,
  needScope,
  ok,
  uuidParam,
  type Answer,
  type Handler,
  type RouteDeps,
} from '../steps/handler.ts';
import {
  makeMarker,
  queryCount,
  queryFlag,
  queryList,
  queryOrder,
  queryRange,
  queryText,
  queryWords,
  readAsked,
  type Query,
} from './listing.ts';

/** Clients of different ages ask for status or manage scopes to read. */
const STATUS = [SCOPES.flows_run_status, SCOPES.flows_run_manage, SCOPES.flows_all];
const MANAGE = [SCOPES.flows_run_manage, SCOPES.flows_all];

const ROLES: readonly RunRoleFilter[] = [
  'run_owner',
  'run_manager',
  'run_monitor',
  'flow_run_manager',
  'flow_run_monitor',
];
const STATUSES = ['ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED', 'ENDED'] as const;
const PER_PAGE = { min: 1, max: 100, otherwise: 25 };
const MOST_BATCH = 200;
const MOST_ENTRIES = 2 ** 31 - 1;

type Field = keyof typeof RUN_ORDER;
const FIELDS = Object.keys(RUN_ORDER) as Field[];

function flowIdsAsked(query: Query): readonly string[] | undefined {
  const ids = queryList(query, 'filter_flow_id').map((id) => id.toLowerCase());
  const bad = ids.find((id) => !isUuid(id));
  if (bad !== undefined)
    throw new Fault('invalid_request', `filter_flow_id: "${bad.slice(0, 80)}" is not a UUID.`);
  return ids.length === 0 ? undefined : ids;
}

function filterFrom(query: Query): Omit<RunFilter, 'identity' | 'names'> {
  const statuses = queryWords(query, 'filter_status', STATUSES);
  const roles = [...queryWords(query, 'filter_roles', ROLES), ...queryWords(query, 'filter_role', ROLES)];
  const given = {
    flow_ids: flowIdsAsked(query),
    statuses: statuses.length === 0 ? undefined : statuses,
    label: queryText(query, 'filter_label'),
    flow_title: queryText(query, 'filter_flow_title'),
    start_time: queryRange(query, 'filter_start_time'),
    completion_time: queryRange(query, 'filter_completion_time'),
  };
  const present = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { roles: roles.length === 0 ? ['run_owner'] : roles, ...present };
}

/** `old`: runs of one flow, under the name that the first version of the API gave them too. */
function lister(engine: FlowEngine, old: boolean): Handler {
  return async (request, caller) => {
    const { query: given, after } = readAsked(request, 'runs');
    const query = old ? { ...given, filter_flow_id: uuidParam(request, 'flow', 'flow_not_found') } : given;
    const limit = queryCount(query, 'per_page', PER_PAGE);
    const order = queryOrder(query, FIELDS, { field: 'start_time', descending: true });
    const page = { order, limit, ...(after === undefined ? {} : { after }) };
    const { rows, last } = await engine.listRuns(caller, filterFrom(query), namesOf(caller), page);
    const marker = last === undefined ? {} : { marker: makeMarker('runs', query, last) };
    return ok({
      runs: rows,
      ...(old ? { actions: rows } : {}),
      limit,
      has_next_page: last !== undefined,
      ...marker,
    });
  };
}

function logReader(engine: FlowEngine, runId: (request: Request) => string): Handler {
  return async (request, caller) => {
    const id = runId(request);
    const { query, after: [place] = [] } = readAsked(request, 'log');
    const limit = queryCount(query, 'limit', { min: 1, max: 100, otherwise: 10 });
    const after =
      place === undefined
        ? null
        : queryCount({ place }, 'place', { min: 0, max: MOST_ENTRIES, otherwise: 0 });
    const { entries, next } = await engine.runLog(caller, id, {
      after,
      limit,
      reverse: queryFlag(query, 'reverse_order'),
    });
    return ok({
      limit,
      has_next_page: next !== undefined,
      ...(next === undefined ? {} : { marker: makeMarker('log', query, [String(next)]) }),
      entries: entries.map(logEntryDocument),
    });
  };
}

/** The run ids of POST /batch/runs. */
function batchIds(filters: unknown): readonly string[] {
  const given: unknown = isObject(filters) ? filters['run_ids'] : undefined;
  const ids: readonly unknown[] = Array.isArray(given) ? given : [];
  const known = ids.filter((id): id is string => typeof id === 'string' && isUuid(id));
  if (known.length > 0 && known.length <= MOST_BATCH && known.length === ids.length) return known;
  throw new Fault('invalid_request', `filters.run_ids must hold 1 to ${MOST_BATCH} run ids.`);
}

/** Sets fields of many runs, or cancels them. */
async function batch(engine: FlowEngine, ...[request, caller]: Parameters<Handler>): Promise<Answer> {
  const { filters, set, add, remove } = bodyObject(request);
  if (add !== undefined || remove !== undefined) {
    throw new Fault('invalid_request', 'add and remove are not supported here; give the whole lists in set.');
  }
  const ids = batchIds(filters);
  const { status, ...fields } = isObject(set) ? set : {};
  if (status !== undefined && status !== 'cancel') {
    throw new Fault('invalid_request', 'set.status can only be "cancel".');
  }
  for (const id of ids) {
    if (Object.keys(fields).length > 0) await engine.updateRun(caller, id, fields);
    if (status === 'cancel') await engine.cancelRun(caller, id);
  }
  return ok({ run_ids: ids }, 202);
}

/** Routes at the root: /runs, /batch/runs, and the old ones below /flows/{id}. */
export function runRoutes(engine: FlowEngine, deps: RouteDeps): Router {
  const routes = makeRoutes('flows', deps);
  const id = (request: Request): string => uuidParam(request, 'run', 'run_not_found');
  const get: Handler = async (request, caller) => {
    const wait_s = queryCount(request.query, 'wait_s', { min: 0, max: 60, otherwise: 0 });
    return ok(
      await engine.getRun(caller, id(request), {
        wait_s,
        describe: queryFlag(request.query, 'include_flow_description'),
      }),
    );
  };
  const cancel: Handler = async (request, caller) => ok(await engine.cancelRun(caller, id(request)), 202);
  const release: Handler = async (request, caller) => ok(await engine.releaseRun(caller, id(request)));
  const resume: Handler = async (request, caller) => {
    const run = await engine.getRun(caller, id(request));
    needScope(caller, flowScope(run.flow_id), ...MANAGE);
    return ok(await engine.resumeRun(caller, id(request)));
  };
  const log = logReader(engine, id);

  routes.on('get', '/runs', STATUS, lister(engine, false));
  routes.on('get', '/runs/:run', STATUS, get);
  routes.on('put', '/runs/:run', MANAGE, async (request, caller) =>
    ok(await engine.updateRun(caller, id(request), bodyObject(request))),
  );
  routes.on('get', '/runs/:run/definition', STATUS, async (request, caller) =>
    ok(await engine.runDefinition(caller, id(request))),
  );
  routes.on('get', '/runs/:run/log', STATUS, log);
  routes.on('post', '/runs/:run/cancel', MANAGE, cancel);
  routes.on('post', '/runs/:run/release', MANAGE, release);
  routes.on('post', '/runs/:run/resume', [], resume);
  routes.on('post', '/batch/runs', MANAGE, (request, caller) => batch(engine, request, caller));

  routes.on('get', '/flows/:flow/runs', STATUS, lister(engine, true));
  for (const old of ['/flows/:flow/:run', '/flows/:flow/runs/:run', '/flows/:flow/actions/:run']) {
    routes.on('get', `${old}/status`, STATUS, get);
    routes.on('get', `${old}/log`, STATUS, log);
    routes.on('post', `${old}/cancel`, MANAGE, cancel);
    routes.on('post', `${old}/release`, MANAGE, release);
    routes.on('post', `${old}/resume`, [], resume);
  }
  return routes.finish();
}
