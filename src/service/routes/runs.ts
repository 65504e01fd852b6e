// The Flows API: runs (reference: Flows API sections 1 to 5), with the old spellings below /flows/{id}.
import type { Request, Router } from 'express';
import { SCOPES } from '../../auth/scopes.ts';
import type { PageQuery } from '../../db/pages.ts';
import { RUN_ORDER, type RunFilter, type RunRoleFilter } from '../../db/runs.ts';
import { Fault } from '../../errors.ts';
import { isUuid } from '../../ids.ts';
import { namesOf } from '../../flows/access.ts';
import { logEntryDocument } from '../../flows/documents.ts';
import type { FlowEngine } from '../../flows/engine.ts';
import {
  bodyObject,
  makeRoutes,
  needScope,
  ok,
  queryCount,
  queryText,
  uuidParam,
  type Answer,
  type Handler,
  type RouteDeps,
} from '../steps/handler.ts';
import { flowScope } from '../../auth/scopes.ts';
import {
  makeMarker,
  queryFlag,
  queryList,
  queryOrder,
  queryRange,
  queryWords,
  readMarker,
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

type Field = keyof typeof RUN_ORDER;

/** A time range as it survives a marker. */
type RangeText = Readonly<Record<'from' | 'to', string | null>>;
type StoredFilter = Omit<RunFilter, 'identity' | 'names' | 'start_time' | 'completion_time'> &
  Partial<Record<'start_time' | 'completion_time', RangeText>>;

interface RunMarker {
  readonly kind: 'runs';
  readonly filter: StoredFilter;
  readonly page: PageQuery<Field>;
}

interface LogMarker {
  readonly kind: 'log';
  readonly run: string;
  readonly after: number;
  readonly limit: number;
  readonly reverse: boolean;
}

function present<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function rangeText(request: Request, name: string): RangeText | undefined {
  const range = queryRange(request, name);
  return range === undefined
    ? undefined
    : { from: range.from?.toISOString() ?? null, to: range.to?.toISOString() ?? null };
}

function flowIdsAsked(request: Request, flowId: string | undefined): readonly string[] | undefined {
  if (flowId !== undefined) return [flowId];
  const ids = queryList(request, 'filter_flow_id').map((id) => id.toLowerCase());
  const bad = ids.find((id) => !isUuid(id));
  if (bad !== undefined)
    throw new Fault('invalid_request', `filter_flow_id: "${bad.slice(0, 80)}" is not a UUID.`);
  return ids.length === 0 ? undefined : ids;
}

function asked(request: Request, flowId: string | undefined): RunMarker {
  const marker = readMarker<RunMarker>(request, 'runs');
  if (marker !== undefined) return marker;
  const statuses = queryWords(request, 'filter_status', STATUSES);
  const roles = [...queryWords(request, 'filter_roles', ROLES), ...queryWords(request, 'filter_role', ROLES)];
  const optional = present({
    flow_ids: flowIdsAsked(request, flowId),
    statuses: statuses.length === 0 ? undefined : statuses,
    label: queryText(request, 'filter_label'),
    flow_title: queryText(request, 'filter_flow_title'),
    start_time: rangeText(request, 'filter_start_time'),
    completion_time: rangeText(request, 'filter_completion_time'),
  });
  return {
    kind: 'runs',
    filter: { roles: roles.length === 0 ? ['run_owner'] : roles, ...optional } as StoredFilter,
    page: {
      order: queryOrder(request, Object.keys(RUN_ORDER) as Field[], {
        field: 'start_time',
        descending: true,
      }),
      limit: queryCount(request, 'per_page', PER_PAGE),
    },
  };
}

function filterFrom({
  start_time,
  completion_time,
  ...rest
}: StoredFilter): Omit<RunFilter, 'identity' | 'names'> {
  const range = (text: RangeText): { from: Date | null; to: Date | null } => ({
    from: text.from === null ? null : new Date(text.from),
    to: text.to === null ? null : new Date(text.to),
  });
  return {
    ...rest,
    ...(start_time === undefined ? {} : { start_time: range(start_time) }),
    ...(completion_time === undefined ? {} : { completion_time: range(completion_time) }),
  };
}

function lister(engine: FlowEngine, old: boolean): Handler {
  return async (request, caller) => {
    const flowId = old ? uuidParam(request, 'flow', 'flow_not_found') : undefined;
    const { filter, page } = asked(request, flowId);
    const { rows, last } = await engine.listRuns(caller, filterFrom(filter), namesOf(caller), page);
    const marker =
      last === undefined ? null : makeMarker({ kind: 'runs', filter, page: { ...page, after: last } });
    return ok({
      runs: rows,
      ...(old ? { actions: rows } : {}),
      limit: page.limit,
      has_next_page: marker !== null,
      ...(marker === null ? {} : { marker }),
    });
  };
}

function logReader(engine: FlowEngine, runId: (request: Request) => string): Handler {
  return async (request, caller) => {
    const id = runId(request);
    const marker = readMarker<LogMarker>(request, 'log');
    const page: LogMarker | { after: null; limit: number; reverse: boolean } =
      marker?.run === id
        ? marker
        : {
            after: null,
            limit: queryCount(request, 'limit', { min: 1, max: 100, otherwise: 10 }),
            reverse: queryFlag(request, 'reverse_order'),
          };
    const { entries, next } = await engine.runLog(caller, id, page);
    const { limit, reverse } = page;
    return ok({
      limit,
      has_next_page: next !== undefined,
      ...(next === undefined
        ? {}
        : { marker: makeMarker({ kind: 'log', run: id, after: next, limit, reverse }) }),
      entries: entries.map(logEntryDocument),
    });
  };
}

/** Ids, and what to set, of POST /batch/runs. */
async function batch(engine: FlowEngine, ...[request, caller]: Parameters<Handler>): Promise<Answer> {
  const { filters, set } = bodyObject(request) as {
    filters?: { run_ids?: unknown };
    set?: Record<string, unknown>;
  };
  const ids: readonly unknown[] = Array.isArray(filters?.run_ids) ? filters.run_ids : [];
  if (ids.length === 0 || ids.length > MOST_BATCH || !ids.every(isUuid)) {
    throw new Fault('invalid_request', `filters.run_ids must hold 1 to ${MOST_BATCH} run ids.`);
  }
  const { status, ...fields } = set ?? {};
  if (status !== undefined && status !== 'cancel')
    throw new Fault('invalid_request', 'set.status can only be "cancel".');
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
    const wait_s = queryCount(request, 'wait_s', { min: 0, max: 60, otherwise: 0 });
    return ok(
      await engine.getRun(caller, id(request), {
        wait_s,
        describe: queryFlag(request, 'include_flow_description'),
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
