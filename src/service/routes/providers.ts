// The ActionProvider API over HTTP, mounted at /providers, in both spellings of its routes: the old one that the
// hosted flow service and the automate client use, and the new one (reference: ActionProvider API section 1).
import type { Request, Router } from 'express';
import type { Principal } from '../../auth/principal.ts';
import { SCOPES } from '../../auth/scopes.ts';
import { ACTION_ROLES } from '../../db/actions.ts';
import type { ActionHost } from '../../providers/host.ts';
import {
  bodyObject,
  makeRoutes,
  needScope,
  ok,
  queryCount,
  queryText,
  textParam,
  type Answer,
  type RouteDeps,
  type Routes,
} from '../steps/handler.ts';

const STATUSES = ['ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED'] as const;

/** Browsers of any origin may introspect. */
const CORS = { 'Access-Control-Allow-Origin': '*' };
const PREFLIGHT = {
  ...CORS,
  'Access-Control-Allow-Methods': 'GET, OPTIONS',
  'Access-Control-Expose-Headers': '*',
};

/** A comma list in the query: known words in any case, the default when there is none. */
function words<W extends string>(
  request: Request,
  name: string,
  known: readonly W[],
  otherwise: W,
): readonly W[] {
  const asked = (queryText(request, name) ?? '').split(',').map((word) => word.trim().toLowerCase());
  const found = known.filter((word) => asked.includes(word.toLowerCase()));
  return found.length > 0 ? found : [otherwise];
}

const isTrue = (text: string | undefined): boolean => /^(true|1|yes)$/i.test(text ?? '');

type Method = 'get' | 'post' | 'delete';
type Spellings = readonly (readonly [Method, string])[];
type On = (spellings: Spellings, handler: (request: Request, caller: Principal) => Promise<Answer>) => void;

const nameIn = (request: Request): string => textParam(request, 'name');
const idIn = (request: Request): string => textParam(request, 'id');

/** What needs no token. */
function openRoutes(routes: Routes, host: ActionHost): void {
  routes.open('get', '/', () => ({ ...ok({ providers: host.list() }), headers: CORS }));
  routes.open('get', '/:name', (request) => ({ ...ok(host.introspect(nameIn(request))), headers: CORS }));
  routes.open('options', '/:name', (request) => {
    host.introspect(nameIn(request));
    return { status: 204, headers: PREFLIGHT };
  });
}

/** Run and enumerate. */
function providerVerbs(on: On, host: ActionHost): void {
  const run: Spellings = [
    ['post', '/:name/run'],
    ['post', '/:name/actions'],
  ];
  on(run, async (request, caller) => {
    const { created, action } = await host.run(nameIn(request), caller, bodyObject(request));
    return ok(action, created ? 202 : 200);
  });
  on([['get', '/:name/actions']], async (request, caller) => {
    const roles = words(request, 'roles', ACTION_ROLES, 'creator_id');
    const statuses = words(request, 'status', STATUSES, 'ACTIVE');
    return ok(await host.enumerate(nameIn(request), caller, { roles, statuses }));
  });
}

/** What is asked of one action. */
function actionVerbs(on: On, host: ActionHost): void {
  const status: Spellings = [
    ['get', '/:name/actions/:id'],
    ['get', '/:name/:id/status'],
  ];
  const log: Spellings = [
    ['get', '/:name/actions/:id/log'],
    ['get', '/:name/:id/log'],
  ];
  on(status, async (request, caller) => ok(await host.status(nameIn(request), caller, idIn(request))));
  on(log, async (request, caller) => {
    const per_page = queryCount(request, 'per_page', { min: 1, max: 100, otherwise: 10 });
    const limit = queryCount(request, 'limit', { min: 1, max: 100, otherwise: per_page });
    const reverse = isTrue(queryText(request, 'reverse_order'));
    const marker = queryText(request, 'pagination_token') ?? queryText(request, 'marker');
    return ok(await host.log(nameIn(request), caller, idIn(request), { limit, reverse, marker }));
  });
  for (const verb of ['cancel', 'resume', 'release'] as const) {
    const spellings: Spellings = [
      ['post', `/:name/actions/:id/${verb}`],
      ['post', `/:name/:id/${verb}`],
      ...(verb === 'release' ? [['delete', '/:name/actions/:id'] as const] : []),
    ];
    on(spellings, async (request, caller) => ok(await host[verb](nameIn(request), caller, idIn(request))));
  }
}

/** Routes under /providers. The bodies of POST must have been parsed as JSON whatever their Content-Type. */
export function providerRoutes(host: ActionHost, deps: RouteDeps): Router {
  const routes = makeRoutes('provider', deps);
  // The token needs the provider's own scope, or the one for all of ours.
  const on: On = (spellings, handler) => {
    for (const [method, path] of spellings) {
      routes.on(method, path, [], (request, caller) => {
        needScope(caller, host.scopeOf(nameIn(request)), SCOPES.providers);
        return handler(request, caller);
      });
    }
  };
  openRoutes(routes, host);
  providerVerbs(on, host);
  actionVerbs(on, host);
  return routes.finish();
}
