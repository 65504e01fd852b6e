// From a request to an answer: who is calling, may they, and what is sent back. Routes are written as functions
// of (request, caller) that return an answer or throw a Fault.
import { type Request, type RequestHandler, Router } from 'express';
import type { Principal } from '../../auth/principal.ts';
import { Fault } from '../../errors.ts';
import { isUuid } from '../../ids.ts';
import { failWith, type Dialect } from './fail.ts';
import type { Logger } from '../../log.ts';

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Verifies the bearer token of a request; throws Fault unauthenticated or invalid_token. */
export type Authenticate = (request: Request) => Promise<Principal>;

export interface RouteDeps {
  readonly authenticate: Authenticate;
  readonly log: Logger;
}

export type Handler = (request: Request, caller: Principal) => Promise<Answer> | Answer;
export type OpenHandler = (request: Request) => Promise<Answer> | Answer;

export function ok(body: unknown, status = 200): Answer {
  return { status, body };
}

/** Does the token carry one of these scopes? Throws Fault missing_scope otherwise. */
export function needScope(caller: Principal, ...anyOf: readonly string[]): void {
  if (anyOf.some((scope) => caller.scopes.has(scope))) return;
  throw new Fault('missing_scope', `This action requires the following scope: ${anyOf[0]}`);
}

/** A path parameter that must be a UUID; anything else names nothing. */
export function uuidParam(
  request: Request,
  name: string,
  missing: ConstructorParameters<typeof Fault>[0],
): string {
  const value = textParam(request, name).toLowerCase();
  if (!isUuid(value))
    throw new Fault(missing, `No such id: ${value.slice(0, 80)}`, { args: [value.slice(0, 80)] });
  return value;
}

/** A path parameter as text. */
export function textParam(request: Request, name: string): string {
  const value = request.params[name];
  return typeof value === 'string' ? value : '';
}

/** The JSON object in the body; throws Fault bad_json for anything else. */
export function bodyObject(request: Request): Record<string, unknown> {
  const body: unknown = request.body;
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>;
  throw new Fault('bad_json', 'The request body must be a JSON object.');
}

/** A query parameter as text: the last one when repeated, undefined when absent or empty. */
export function queryText(request: Request, name: string): string | undefined {
  const value = request.query[name];
  const last: unknown = Array.isArray(value) ? value.at(-1) : value;
  return typeof last === 'string' && last !== '' ? last : undefined;
}

/** A whole number in the query, within bounds; the default when absent. Throws Fault invalid_request. */
export function queryCount(
  request: Request,
  name: string,
  bounds: { min: number; max: number; otherwise: number },
): number {
  const text = queryText(request, name);
  if (text === undefined) return bounds.otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < bounds.min) {
    throw new Fault('invalid_request', `${name} must be a whole number from ${bounds.min} to ${bounds.max}.`);
  }
  return Math.min(value, bounds.max);
}

function sendAnswer(answer: Answer, response: Parameters<RequestHandler>[1]): void {
  if (answer.headers !== undefined) response.set(answer.headers);
  response.status(answer.status);
  if (answer.body === undefined) response.end();
  else response.json(answer.body);
}

export interface Routes {
  readonly router: Router;
  /** A route that needs a token with one of the scopes (none: any valid token). */
  on(
    method: 'get' | 'post' | 'put' | 'patch' | 'delete',
    path: string,
    scopes: readonly string[],
    handler: Handler,
  ): void;
  /** A route anybody may call. */
  open(method: 'get' | 'post' | 'options' | 'head', path: string, handler: OpenHandler): void;
}

/** An empty set of routes that answers errors in one dialect. Call `finish()` on it after the last route. */
export function makeRoutes(dialect: Dialect, deps: RouteDeps): Routes & { finish(): Router } {
  const router = Router();
  return {
    router,
    on(method, path, scopes, handler) {
      router[method](path, async (request, response) => {
        const caller = await deps.authenticate(request);
        if (scopes.length > 0) needScope(caller, ...scopes);
        sendAnswer(await handler(request, caller), response);
      });
    },
    open(method, path, handler) {
      router[method](path, async (request, response) => sendAnswer(await handler(request), response));
    },
    finish() {
      router.use(failWith(dialect, deps.log));
      return router;
    },
  };
}
