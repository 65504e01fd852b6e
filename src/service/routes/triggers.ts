// The routes of triggers: /api/triggers for their owner, and /hooks for senders that have the secret URL only.
import { json, raw, type Request, type Router } from 'express';
import { SCOPES } from '../../auth/scopes.ts';
import type { Decision } from '../../db/trigger-events.ts';
import { Fault, asFault } from '../../errors.ts';
import type { Json } from '../../providers/contract.ts';
import { MAX_BODY, type HookRequest } from '../../triggers/cloud-event.ts';
import type { TriggerHost } from '../../triggers/host.ts';
import type { FireRequest } from '../../triggers/inbox.ts';
import { bodyObject, makeRoutes, ok, queryCount, queryText, textParam, uuidParam } from '../steps/handler.ts';
import type { Answer, RouteDeps } from '../steps/handler.ts';

const DECISIONS: readonly Decision[] = ['fired', 'filtered', 'paused', 'failed'];

function idOf(request: Request): string {
  return uuidParam(request, 'id', 'trigger_not_found');
}

function decisionOf(request: Request): { decision?: Decision } {
  const text = queryText(request, 'decision');
  if (text === undefined) return {};
  const decision = DECISIONS.find((known) => known === text);
  if (decision !== undefined) return { decision };
  throw new Fault('invalid_request', `decision must be one of ${DECISIONS.join(', ')}.`);
}

function hookRequest(request: Request): HookRequest {
  return { headers: request.headers, body: request.body as Uint8Array | Json | undefined };
}

function text(value: unknown, name: string, limit: number): string {
  if (typeof value === 'string' && value !== '' && value.length <= limit) return value;
  throw new Fault('invalid_request', `${name} must be text of 1 to ${limit} characters.`);
}

/** Reads {event_id?, event?: {type?, subject?, data?}, request_id?}. */
function fireRequest(request: Request): FireRequest {
  const body = request.body === undefined ? {} : bodyObject(request);
  const { event_id, request_id, event, ...rest } = body;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new Fault('invalid_request', `There is no field ${unknown.slice(0, 80)}.`);
  if (event !== undefined && (typeof event !== 'object' || event === null || Array.isArray(event)))
    throw new Fault('invalid_request', 'event must be an object with type, subject and data.');
  const given = (event ?? {}) as Record<string, unknown>;
  return {
    ...(event_id === undefined ? {} : { event_id: text(event_id, 'event_id', 256) }),
    ...(request_id === undefined ? {} : { request_id: text(request_id, 'request_id', 200) }),
    event: {
      ...(given.type === undefined ? {} : { type: text(given.type, 'event.type', 1024) }),
      ...(given.subject === undefined ? {} : { subject: text(given.subject, 'event.subject', 4096) }),
      ...(given.data === undefined ? {} : { data: given.data as Json }),
    },
  };
}

/** /api/triggers and below; mount at /api. */
export function triggerRoutes(host: TriggerHost, deps: RouteDeps): Router {
  const routes = makeRoutes('api', deps);
  const scopes = [SCOPES.triggers];
  // Events are taken as bytes of any type, everything else is JSON. Both leave alone what was parsed before.
  routes.router.post('/triggers/:id/events', raw({ type: () => true, limit: MAX_BODY }));
  routes.router.use('/triggers', json({ limit: MAX_BODY }));
  routes.on('post', '/triggers', scopes, async (request, caller) =>
    ok(await host.create(caller.identity, bodyObject(request)), 201),
  );
  routes.on('get', '/triggers', scopes, async (_, caller) =>
    ok({ triggers: await host.list(caller.identity) }),
  );
  routes.on('get', '/triggers/:id', scopes, async (request, caller) =>
    ok(await host.get(caller.identity, idOf(request))),
  );
  routes.on('delete', '/triggers/:id', scopes, async (request, caller) => {
    await host.delete(caller.identity, idOf(request));
    return { status: 204 };
  });
  routes.on('post', '/triggers/:id/pause', scopes, async (request, caller) =>
    ok(await host.pause(caller.identity, idOf(request))),
  );
  routes.on('post', '/triggers/:id/resume', scopes, async (request, caller) =>
    ok(await host.resume(caller.identity, idOf(request))),
  );
  routes.on('post', '/triggers/:id/fire', scopes, async (request, caller) =>
    ok(await host.fire(caller.identity, idOf(request), fireRequest(request)), 202),
  );
  routes.on('get', '/triggers/:id/events', scopes, async (request, caller) => {
    const marker = queryText(request, 'marker');
    const page = {
      limit: queryCount(request, 'limit', { min: 1, max: 500, otherwise: 50 }),
      ...(marker === undefined ? {} : { marker }),
      ...decisionOf(request),
    };
    return ok(await host.events(caller.identity, idOf(request), page));
  });
  routes.on('post', '/triggers/:id/events', scopes, async (request, caller) =>
    ok(await host.receive(caller.identity, idOf(request), hookRequest(request)), 202),
  );
  return routes.finish();
}

/**
 * POST /hooks/<trigger id>/<secret>; mount at /hooks, before any parser of bodies: a signature covers the bytes.
 * The secret is in the path, so nothing of the path is logged here, whatever fails.
 */
export function hookRoutes(host: TriggerHost, deps: RouteDeps): Router {
  const routes = makeRoutes('api', deps);
  routes.router.post('/:id/:secret', raw({ type: () => true, limit: MAX_BODY }));
  routes.open('post', '/:id/:secret', async (request): Promise<Answer> => {
    const id = textParam(request, 'id').toLowerCase();
    try {
      const receipt = await host.receiveHook(id, textParam(request, 'secret'), hookRequest(request));
      const { event_id, decision, duplicate } = receipt;
      return ok({ event_id, decision, duplicate }, 202);
    } catch (error) {
      const fault = asFault(error);
      if (fault.http < 500) throw fault;
      deps.log.error({ err: fault.extras.cause ?? fault }, 'a webhook failed');
      return ok({ code: fault.code, message: fault.message, whose: 'system', retry: true }, fault.http);
    }
  });
  return routes.finish();
}
