// The HTTP face: one Express application for every protocol, made from services handed in. Their paths do not
// collide: Compute /v2 /v3, Flows /flows /runs, providers /providers, ours /api and /hooks.
import express, { type Express, type Request, type Router } from 'express';
import { Fault } from '../errors.ts';
import type { Logger } from '../log.ts';
import { failWith, sendFault, type Dialect } from './steps/fail.ts';

/** Largest request body: Globus Compute's limit for one submission. */
export const BODY_BYTES = 10 * 1024 * 1024;
/** Without a token nothing large is even read. */
const OPEN_BODY_BYTES = 1024 * 1024;

export interface Mount {
  readonly at: string;
  readonly router: Router;
  /** The router reads bodies itself, as bytes say: webhooks carry any type and signatures cover bytes. */
  readonly readsBodies?: boolean;
}

/** The dialect in which errors before any route are answered. */
function dialectOf(path: string): Dialect {
  if (path.startsWith('/providers')) return 'provider';
  if (path.startsWith('/flows') || path.startsWith('/runs') || path.startsWith('/batch')) return 'flows';
  return /^\/v[23]\//.test(path) ? 'compute' : 'api';
}

/** A proxy's client sends the whole URL as its target: only the path is ours to route. */
function stripAuthority(request: Request): void {
  const found = /^https?:\/\/[^/]+(\/.*)?$/i.exec(request.url);
  if (found !== null) request.url = found[1] ?? '/';
}

export function makeApp(mounts: readonly Mount[], log: Logger): Express {
  const app = express();
  app.disable('x-powered-by');
  app.set('etag', false);
  app.set('query parser', 'simple');
  // Clients of these protocols send JSON under every Content-Type, or none.
  const large = express.json({ limit: BODY_BYTES, type: () => true });
  const small = express.json({ limit: OPEN_BODY_BYTES, type: () => true });
  app.use((request, _response, next) => {
    stripAuthority(request);
    next();
  });
  for (const mount of mounts) if (mount.readsBodies === true) app.use(mount.at, mount.router);
  app.use((request, response, next) => {
    const parse = request.headers.authorization === undefined ? small : large;
    parse(request, response, next);
  });
  for (const mount of mounts) if (mount.readsBodies !== true) app.use(mount.at, mount.router);
  app.use((request, response) => {
    const fault = new Fault(
      'route_not_found',
      `There is nothing at ${request.method} ${request.path.slice(0, 200)}.`,
    );
    sendFault(response, fault, dialectOf(request.path));
  });
  app.use((error: unknown, request: Request, response: express.Response, next: express.NextFunction) => {
    failWith(dialectOf(request.path), log)(error, request, response, next);
  });
  return app;
}
