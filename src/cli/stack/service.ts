// One service process, put together: HTTP face, dispatcher, action providers, flow engine and trigger host on one
// database. `up` and `serve` run it; any number of them may share a database.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { openTokenAuthority, type TokenAuthority } from '../../auth/tokens.ts';
import { systemChance, systemClock } from '../../clock.ts';
import { makeEndpointService, type EndpointService } from '../../compute/endpoints.ts';
import { makeFunctionService, type FunctionService } from '../../compute/functions.ts';
import { makeTaskService, type TaskService } from '../../compute/tasks.ts';
import { connect, type Db } from '../../db/connect.ts';
import { migrate } from '../../db/migrate.ts';
import { openDispatcher, type Dispatcher } from '../../dispatcher/index.ts';
import { makeFlowEngine, type FlowEngine } from '../../flows/engine.ts';
import type { Logger } from '../../log.ts';
import { VERSION } from '../../paths.ts';
import { makeActionHost, type ActionHost } from '../../providers/host.ts';
import { PROVIDERS } from '../../providers/index.ts';
import { makeApp, type Mount } from '../../service/app.ts';
import { makeActionClient } from '../../service/remote-actions.ts';
import { apiRoutes } from '../../service/routes/api.ts';
import { computeRoutes } from '../../service/routes/compute.ts';
import { flowRoutes } from '../../service/routes/flows.ts';
import { providerRoutes } from '../../service/routes/providers.ts';
import { runRoutes } from '../../service/routes/runs.ts';
import type { RouteDeps } from '../../service/steps/handler.ts';
import { triggerRoutes, hookRoutes } from '../../service/routes/triggers.ts';
import { makeTriggerHost, type TriggerHost } from '../../triggers/host.ts';
import { makeProviderPorts } from './provider-ports.ts';
import { makeTriggerPorts } from './trigger-ports.ts';

export interface ServiceOptions {
  readonly database_url: string;
  readonly redis_url: string | undefined;
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  readonly public_url: string | undefined;
  readonly link_bind: string;
  readonly direct: boolean;
  readonly watch_roots: readonly string[] | null;
  /** 32 bytes that seal what users entrust to triggers; null: such triggers are refused. */
  readonly secret_key: Buffer | null;
  readonly log: Logger;
}

export interface Service {
  readonly url: string;
  readonly port: number;
  readonly db: Db;
  readonly dispatcher: Dispatcher;
  readonly tokens: TokenAuthority;
  readonly endpoints: EndpointService;
  close(): Promise<void>;
}

/** An idle connection is kept longer than clients and proxies keep theirs, so that they close first. */
const KEEP_ALIVE_MS = 75_000;

async function listen(server: Server, host: string, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

interface Parts {
  readonly db: Db;
  readonly tokens: TokenAuthority;
  readonly dispatcher: Dispatcher;
  readonly functions: FunctionService;
  readonly endpoints: EndpointService;
  readonly tasks: TaskService;
  readonly host: ActionHost;
  readonly engine: FlowEngine;
  readonly triggers: TriggerHost;
}

/** Every router and where it is mounted: the table of the HTTP face. */
function mountsOf(parts: Parts, deps: RouteDeps): readonly Mount[] {
  const { db, functions, endpoints, tasks, tokens } = parts;
  const api = {
    functions,
    endpoints,
    tasks,
    tokens,
    version: VERSION,
    link: parts.dispatcher.link,
    healthy: async () => void (await db.query('SELECT 1')),
  };
  const compute = { functions, endpoints, tasks, version: VERSION, chance: systemChance };
  return [
    { at: '/api', router: apiRoutes(api, deps) },
    { at: '/api', router: triggerRoutes(parts.triggers, deps), readsBodies: true },
    { at: '/hooks', router: hookRoutes(parts.triggers, deps), readsBodies: true },
    { at: '/providers', router: providerRoutes(parts.host, deps) },
    { at: '/', router: computeRoutes(compute, deps) },
    { at: '/', router: flowRoutes(parts.engine, deps) },
    { at: '/', router: runRoutes(parts.engine, deps) },
  ];
}

export async function openService(options: ServiceOptions): Promise<Service> {
  const { log } = options;
  const clock = systemClock;
  const chance = systemChance;
  await migrate(options.database_url);
  const db = connect(options.database_url, log, 20);
  const tokens = await openTokenAuthority({ db, clock, chance });
  const dispatcher = await openDispatcher({ db, clock, chance, ...options });
  const functions = makeFunctionService({ db, chance });
  const endpoints = makeEndpointService({ db, dispatcher, chance, clock });
  const tasks = makeTaskService({ db, dispatcher, chance, now: () => clock.now() });

  const server = createServer({ keepAlive: true });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  const port = await listen(server, options.host, options.port);
  const local = `http://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`;
  const url = options.public_url ?? local;

  const host: ActionHost = makeActionHost({
    db,
    providers: PROVIDERS,
    ports: makeProviderPorts({
      db,
      tasks,
      dispatcher,
      now: () => clock.now(),
      look: (actionId) => {
        host
          .look(actionId)
          .catch((error: unknown) =>
            log.warn({ err: error, action_id: actionId }, 'an action is looked at later'),
          );
      },
    }),
    baseUrl: () => url,
    clock,
    chance,
    log,
  });
  const actions = makeActionClient({ host, baseUrls: () => [url, local], log });
  const engine = makeFlowEngine({ db, actions, clock, chance, log, baseUrl: () => url });
  const triggers = makeTriggerHost({
    db,
    clock,
    chance,
    log,
    watch_roots: options.watch_roots,
    secret_key: options.secret_key,
    ports: makeTriggerPorts(db, engine, () => clock.now()),
  });
  engine.onRunChanged(() => triggers.wake());

  const deps: RouteDeps = {
    authenticate: (request) => tokens.verifyHeader(request.headers.authorization),
    log,
  };
  const app = makeApp(
    mountsOf({ db, tokens, dispatcher, functions, endpoints, tasks, host, engine, triggers }, deps),
    log,
  );
  server.on('request', app);
  await host.start();
  await engine.start();
  triggers.start();

  return {
    url,
    port,
    db,
    dispatcher,
    tokens,
    endpoints,
    async close() {
      server.close();
      server.closeIdleConnections();
      await triggers.stop();
      await engine.stop();
      await host.stop();
      await dispatcher.close();
      server.closeAllConnections();
      await db.close();
    },
  };
}
