// The endpoint that `up` runs beside the service: registered like any other, its manager a process of its own.
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import type { Caller } from '../../compute/access.ts';
import {
  CONFIG_DEFAULTS,
  endpointDir,
  loadEndpointConfig,
  saveEndpointConfig,
  type EndpointConfig,
} from '../../endpoint/config.ts';
import { Fault } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { MAIN_PROGRAM } from '../../paths.ts';
import { makeKeys } from '../../transport/zmq.ts';
import type { Service } from './service.ts';
import type { Settings } from './settings.ts';
import type { Child } from './supervise.ts';

export const LOCAL_ENDPOINT = 'local';
/** A manager takes its time to end its workers; then it is killed. */
const STOP_MS = 12_000;

interface EnsureRequest {
  readonly home: string;
  readonly service: Service;
  readonly owner: Caller;
  readonly settings: Settings;
}

function known(dir: string): EndpointConfig | null {
  try {
    return loadEndpointConfig(dir);
  } catch (error) {
    if (error instanceof Fault && error.code === 'endpoint_not_found') return null;
    throw error;
  }
}

async function isRegistered(request: EnsureRequest, config: EndpointConfig): Promise<boolean> {
  return request.service.endpoints.get(request.owner, config.endpoint_id).then(
    (row) => row.curve_key === config.keys.publicKey,
    () => false,
  );
}

/** The local endpoint's configuration, registered at this service and pointing to where it is now. */
export async function ensureLocalEndpoint(request: EnsureRequest): Promise<EndpointConfig> {
  const { service, settings } = request;
  const dir = endpointDir(request.home, LOCAL_ENDPOINT);
  const before = known(dir);
  const place = {
    service_url: service.url,
    link: service.dispatcher.link,
    workers: Number(settings.workers),
    python: settings.python,
  };
  if (before !== null && (await isRegistered(request, before))) {
    const config = { ...before, ...place };
    saveEndpointConfig(dir, config);
    return config;
  }
  const facts = {
    name: LOCAL_ENDPOINT,
    display_name: null,
    public: false,
    allowed_functions: null,
    metadata: {},
  };
  const endpoint_id = await service.endpoints.create(request.owner, facts);
  const { registration_code } = await service.endpoints.makeCode(request.owner, endpoint_id);
  const keys = makeKeys();
  const { secret } = await service.endpoints.register(registration_code, keys.publicKey);
  const config: EndpointConfig = {
    ...CONFIG_DEFAULTS,
    endpoint_id,
    name: LOCAL_ENDPOINT,
    keys,
    secret,
    ...place,
  };
  saveEndpointConfig(dir, config);
  return config;
}

/** Starts the manager. It ends itself when this process does: its standard input is a pipe from here. */
export async function startLocalManager(home: string, log: Logger): Promise<Child> {
  const logDir = join(home, 'log');
  mkdirSync(logDir, { recursive: true });
  const output = openSync(join(logDir, 'endpoint.log'), 'a', 0o600);
  const child = spawn(
    process.execPath,
    [MAIN_PROGRAM, '--home', home, 'endpoint', 'start', LOCAL_ENDPOINT, '--parent-pipe'],
    {
      stdio: ['pipe', output, output],
      // Its own group: a Ctrl-C in the terminal reaches us, and we end it in order.
      detached: true,
    },
  );
  closeSync(output);
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
  // A pipe to a manager that was killed breaks; its end is told by `ended`.
  child.stdin?.on('error', (error) => log.debug({ err: error }, 'the pipe to the local endpoint broke'));
  return {
    ended,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      const hurry = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(hurry);
    },
  };
}
