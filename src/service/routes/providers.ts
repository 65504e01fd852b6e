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

/** Routes under /providers. The bodies of POST must have been parsed as JSON whatever their Content-Type. */
export function providerRoutes(host: ActionHost, deps: RouteDeps): Router {
  const routes = makeRoutes('provider', deps);
  const name = (request: Request): string => textParam(request, 'name');
  const id = (request: Request): string => textParam(request, 'id');

  /** A route of an action or a provider, in each of its spellings; the token needs the provider's scope or the
   *  one for all of ours. */
  const on = (
    spellings: readonly (readonly ['get' | 'post' | 'delete', string])[],
    handler: (request: Request, caller: Principal) => Promise<Answer>,
  ): void => {
    for (const [method, path] of spellings) {
      routes.on(method, path, [], (request, caller) => {
        needScope(caller, host.scopeOf(name(request)), SCOPES.providers);
        return handler(request, caller);
      });
    }
  };

  routes.open('get', '/', () => ({ ...ok({ providers: host.list() }), headers: CORS }));
  routes.open('get', '/:name', (request) => ({ ...ok(host.introspect(name(request))), headers: CORS }));
  routes.open('options', '/:name', (request) => {
    host.introspect(name(request));
    return { status: 204, headers: PREFLIGHT };
  });

  const run = async (request: Request, caller: Principal): Promise<Answer> => {
    const { created, action } = await host.run(name(request), caller, bodyObject(request));
    return ok(action, created ? 202 : 200);
  };
  on(
    [
      ['post', '/:name/run'],
      ['post', '/:name/actions'],
    ],
    run,
  );
  on([['get', '/:name/actions']], async (request, caller) =>
    ok(
      await host.enumerate(name(request), caller, {
        roles: words(request, 'roles', ACTION_ROLES, 'creator_id'),
        statuses: words(request, 'status', STATUSES, 'ACTIVE'),
      }),
    ),
  );
  on(
    [
      ['get', '/:name/actions/:id'],
      ['get', '/:name/:id/status'],
    ],
    async (request, caller) => ok(await host.status(name(request), caller, id(request))),
  );
  on(
    [
      ['get', '/:name/actions/:id/log'],
      ['get', '/:name/:id/log'],
    ],
    async (request, caller) => {
      const per_page = queryCount(request, 'per_page', { min: 1, max: 100, otherwise: 10 });
      const limit = queryCount(request, 'limit', { min: 1, max: 100, otherwise: per_page });
      const reverse = isTrue(queryText(request, 'reverse_order'));
      const marker = queryText(request, 'pagination_token') ?? queryText(request, 'marker');
      return ok(await host.log(name(request), caller, id(request), { limit, reverse, marker }));
    },
  );
  for (const verb of ['cancel', 'resume', 'release'] as const) {
    on(
      [
        ['post', `/:name/actions/:id/${verb}`],
        ['post', `/:name/:id/${verb}`],
      ],
      async (request, caller) => ok(await host[verb](name(request), caller, id(request))),
    );
  }
  on([['delete', '/:name/actions/:id']], async (request, caller) =>
    ok(await host.release(name(request), caller, id(request))),
  );
  return routes.finish();
}
