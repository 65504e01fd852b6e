// The Flows API: flows (reference: Flows API sections 1 to 5). A flow is also an action provider at /flows/{id}, so
// the old spellings of its routes are answered too.
import type { Request, Router } from 'express';
import type { Principal } from '../../auth/principal.ts';
import { SCOPES, flowScope } from '../../auth/scopes.ts';
import { FLOW_ORDER, type FlowFilter, type FlowRoleFilter } from '../../db/flows.ts';
import { namesAndEverybody } from '../../flows/access.ts';
import type { FlowEngine } from '../../flows/engine.ts';
import { bodyObject, makeRoutes, needScope, ok, uuidParam, type RouteDeps } from '../steps/handler.ts';
import {
  makeMarker,
  queryCount,
  queryList,
  queryOrder,
  queryText,
  queryWords,
  readAsked,
  type Query,
} from './listing.ts';

const MANAGE = [SCOPES.flows_manage, SCOPES.flows_all];
const VIEW = [SCOPES.flows_view, SCOPES.flows_manage, SCOPES.flows_all];

const ROLES: readonly FlowRoleFilter[] = [
  'flow_owner',
  'flow_administrator',
  'flow_starter',
  'flow_viewer',
  'run_manager',
  'run_monitor',
];
/** The deprecated single role also means every higher one. */
const CUMULATIVE = ROLES.slice(0, 4);
const PER_PAGE = { min: 1, max: 100, otherwise: 25 };

type Field = keyof typeof FLOW_ORDER;
const FIELDS = Object.keys(FLOW_ORDER) as Field[];

function rolesAsked(query: Query): readonly FlowRoleFilter[] {
  const roles = queryWords(query, 'filter_roles', ROLES);
  if (roles.length > 0) return roles;
  const [role = 'flow_owner'] = queryWords(query, 'filter_role', ROLES);
  const place = CUMULATIVE.indexOf(role);
  return place < 0 ? [role] : CUMULATIVE.slice(0, place + 1);
}

function filterFrom(query: Query): Omit<FlowFilter, 'identity' | 'names'> {
  const texts = {
    title: queryText(query, 'filter_title'),
    subtitle: queryText(query, 'filter_subtitle'),
    description: queryText(query, 'filter_description'),
    fulltext: queryText(query, 'filter_fulltext'),
  };
  const keywords = queryList(query, 'filter_keywords');
  const given = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined));
  return { roles: rolesAsked(query), ...given, ...(keywords.length === 0 ? {} : { keywords }) };
}

/** Starting a run takes the flow's own scope; the service's own are for flows of this service. */
function needRunScope(caller: Principal, flowId: string): void {
  needScope(caller, flowScope(flowId), SCOPES.flows_run, SCOPES.flows_all);
}

/** Routes at the root: /flows. */
export function flowRoutes(engine: FlowEngine, deps: RouteDeps): Router {
  const routes = makeRoutes('flows', deps);
  const flowId = (request: Request): string => uuidParam(request, 'flow', 'flow_not_found');

  routes.on('get', '/flows', VIEW, async (request, caller) => {
    const { query, after } = readAsked(request, 'flows');
    const limit = queryCount(query, 'per_page', PER_PAGE);
    const order = queryOrder(query, FIELDS, { field: 'updated_at', descending: true });
    const page = { order, limit, ...(after === undefined ? {} : { after }) };
    const { rows, last } = await engine.listFlows(caller, filterFrom(query), namesAndEverybody(caller), page);
    const marker = last === undefined ? {} : { marker: makeMarker('flows', query, last) };
    return ok({ flows: rows, limit, has_next_page: last !== undefined, ...marker });
  });
  routes.on('post', '/flows', MANAGE, async (request, caller) =>
    ok(await engine.createFlow(caller, bodyObject(request)), 201),
  );
  for (const path of ['/flows/validate', '/flows/dry-run']) {
    routes.on('post', path, MANAGE, (request) => ok(engine.validateFlow(bodyObject(request))));
  }
  // A flow is an action provider, and a public one shows itself to everybody.
  routes.open('get', '/flows/:flow', async (request) => {
    const id = flowId(request);
    if (request.headers.authorization === undefined) {
      const flow = await engine.getPublicFlow(id);
      if (flow !== null) return ok(flow);
    }
    const caller = await deps.authenticate(request);
    needScope(caller, ...VIEW);
    return ok(await engine.getFlow(caller, id));
  });
  routes.on('put', '/flows/:flow', MANAGE, async (request, caller) =>
    ok(await engine.updateFlow(caller, flowId(request), bodyObject(request))),
  );
  routes.on('delete', '/flows/:flow', MANAGE, async (request, caller) =>
    ok({ ...(await engine.deleteFlow(caller, flowId(request))), DELETED: true }),
  );
  routes.on('post', '/flows/:flow/run', [], async (request, caller) => {
    const id = flowId(request);
    needRunScope(caller, id);
    return ok(await engine.startRun(caller, id, bodyObject(request)), 201);
  });
  for (const path of ['/flows/:flow/validate_run', '/flows/:flow/run/dry-run']) {
    routes.on('post', path, [], async (request, caller) => {
      const id = flowId(request);
      needRunScope(caller, id);
      await engine.checkRun(caller, id, bodyObject(request));
      return ok({ message: 'validation successful' });
    });
  }
  return routes.finish();
}
