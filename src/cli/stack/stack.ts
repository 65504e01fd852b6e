// Everything on one machine: PostgreSQL, the service and a local endpoint, started in order, kept running and
// ended in order. `up` runs it for use, `demo` in a throw-away home.
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { identityUrn } from '../../ids.ts';
import { SCOPES, USER_SCOPES } from '../../auth/scopes.ts';
import { startEmbedded } from '../../db/embedded.ts';
import { takeLock, type Lock } from '../../lock.ts';
import type { Logger } from '../../log.ts';
import { CliError, EXIT } from '../exit.ts';
import {
  makeHome,
  readPorts,
  readToken,
  secretKey,
  writeConnection,
  writePorts,
  writeToken,
} from './home.ts';
import { ensureLocalEndpoint, startLocalManager } from './local-endpoint.ts';
import { openService, type Service } from './service.ts';
import type { Settings } from './settings.ts';
import { supervise, type Supervised } from './supervise.ts';

export interface StackOptions {
  readonly home: string;
  /** 0 picks a free port; undefined takes the one of the last start, or the default. */
  readonly port: number | undefined;
  readonly settings: Settings;
  /** Data that is thrown away afterwards: the database does not wait for the disk. */
  readonly disposable?: boolean;
  readonly log: Logger;
  /** Told of each step, for people. */
  readonly onProgress: (what: string) => void;
}

export interface Stack {
  readonly service: Service;
  readonly token: string;
  readonly endpoint_id: string;
  stop(): Promise<void>;
}

const DEFAULT_PORT = 5000;
/** How often and how many times the local endpoint is looked for at the start: fifteen seconds. */
const ONLINE_LOOK_MS = 50;
const ONLINE_TRIES = 300;
/** The token `up` makes for its owner lasts a year; `token create` makes others. */
const OWNER_TOKEN_S = 365 * 86_400;

/** Opened on the ports of the last start where they are free: endpoints and scripts remember them. */
async function openOnPorts(options: StackOptions, database_url: string, secret: Buffer): Promise<Service> {
  const { settings, log } = options;
  const last = await readPorts(options.home);
  const open = (port: number, link_bind: string): Promise<Service> =>
    openService({
      database_url,
      redis_url: settings.redis_url === '' ? undefined : settings.redis_url,
      host: settings.host,
      port,
      public_url: settings.public_url === '' ? undefined : settings.public_url,
      link_bind,
      direct: settings.direct === 'on',
      watch_roots: settings.watch_roots === '' ? null : settings.watch_roots.split(':'),
      secret_key: secret,
      log,
    });
  const port = options.port ?? last.http ?? DEFAULT_PORT;
  const bind =
    settings.link_bind.endsWith(':*') && last.link !== undefined
      ? settings.link_bind.replace(/\*$/, String(last.link))
      : settings.link_bind;
  const service = await open(port, bind).catch((error: unknown) => {
    if (isTaken(error) && bind !== settings.link_bind && !isHttpTaken(error))
      return open(port, settings.link_bind);
    throw error;
  });
  const link = Number(/:(\d+)$/.exec(service.dispatcher.link.address)?.[1]);
  await writePorts(options.home, { http: service.port, link });
  return service;
}

function isTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
}

function isHttpTaken(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'listen';
}

function portTaken(port: number | undefined, cause: unknown): CliError {
  return new CliError(
    EXIT.unavailable,
    `Port ${port ?? DEFAULT_PORT} is taken by another program.`,
    { remedy: 'choose another with --port N, or let one be picked with --port 0' },
    cause,
  );
}

/** The owner's token: the one of the last start while it is good, a new one otherwise. */
async function ownerToken(home: string, service: Service): Promise<string> {
  const known = await readToken(home);
  if (known !== null) {
    const good = await service.tokens.verifyHeader(`Bearer ${known}`).then(
      () => true,
      () => false,
    );
    if (good) return known;
  }
  const issued = await service.tokens.issue({
    username: `${userInfo().username}@${hostname()}`,
    name: 'owner of this home',
    scopes: [...USER_SCOPES, SCOPES.admin],
    lifetime_s: OWNER_TOKEN_S,
  });
  await writeToken(home, issued.token);
  return issued.token;
}

/** Starts everything; if a part fails, what was started is ended again. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { home, log, settings, onProgress } = options;
  await makeHome(home);
  const ending: (() => Promise<void> | void)[] = [];
  const stop = async (): Promise<void> => {
    for (const end of ending.splice(0).reverse()) await end();
  };
  try {
    const lock: Lock = takeLock(join(home, 'up.lock'), `The home ${home}`, () => Date.now());
    ending.push(() => lock.release());
    const database_url =
      settings.database_url === '' ? await ownDatabase(options, ending) : settings.database_url;
    onProgress('starting the service');
    const service = await openOnPorts(options, database_url, await secretKey(home)).catch(
      (error: unknown) => {
        throw isTaken(error) ? portTaken(options.port, error) : error;
      },
    );
    ending.push(() => service.close());
    const token = await ownerToken(home, service);
    const { identity } = await service.tokens.verifyHeader(`Bearer ${token}`);
    await writeConnection(home, service.url);
    onProgress('starting the local endpoint');
    const owner = { identity, urn: identityUrn(identity), groups: [] };
    const endpoint = await ensureLocalEndpoint({ home, service, owner, settings });
    const manager = await startLocalManager(home, log);
    const kept: Supervised = supervise({
      first: manager,
      start: () => startLocalManager(home, log),
      now: () => performance.now(),
      onEnd: (why) => log.warn({ why }, 'the local endpoint ended and is started again'),
      onRestart: () => log.info('the local endpoint runs again'),
    });
    ending.push(() => kept.stop());
    if (!(await isOnline(service, endpoint.endpoint_id))) {
      onProgress('the local endpoint is not online yet; its log says why');
    }
    return { service, token, endpoint_id: endpoint.endpoint_id, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits a while for an endpoint with workers: who is told that all is ready wants to run something. */
async function isOnline(service: Service, endpointId: string): Promise<boolean> {
  for (let tries = 0; tries < ONLINE_TRIES; tries++) {
    if ((service.dispatcher.sessionOf(endpointId)?.status?.total_workers ?? 0) > 0) return true;
    await new Promise((resolve) => setTimeout(resolve, ONLINE_LOOK_MS));
  }
  return false;
}

/** A PostgreSQL of our own, started again on the same port whenever it ends. */
async function ownDatabase(options: StackOptions, ending: (() => Promise<void> | void)[]): Promise<string> {
  const { home, log, onProgress } = options;
  onProgress('starting PostgreSQL');
  const start = (port?: number): ReturnType<typeof startEmbedded> =>
    startEmbedded({
      home,
      log,
      disposable: options.disposable ?? false,
      ...(port === undefined ? {} : { port }),
    });
  const first = await start();
  const kept = supervise({
    first,
    start: () => start(first.port),
    now: () => performance.now(),
    onEnd: (why) => log.warn({ why }, 'PostgreSQL ended and is started again'),
    onRestart: () => log.info('PostgreSQL runs again'),
  });
  ending.push(() => kept.stop());
  return first.url;
}
