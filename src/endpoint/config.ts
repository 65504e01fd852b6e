// One endpoint's configuration: `<home>/endpoints/<name>/config.json`, private to its owner since it holds the
// keys of the link. Everything a manager needs to run is in it.
import { Ajv, type ErrorObject } from 'ajv';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Fault, messageOf, type FaultItem } from '../errors.ts';
import type { KeyPair } from '../transport/link.ts';
import { readJsonFile, writePrivateFile } from './files.ts';
import type { ManagerRunOptions } from './manager/options.ts';
import { schedulers, type SchedulerName } from './schedulers/index.ts';

export interface EndpointConfig {
  readonly endpoint_id: string;
  readonly name: string;
  /** Where the service's HTTP face is. */
  readonly service_url: string;
  /** Where its link is, and its CURVE public key. */
  readonly link: { readonly address: string; readonly server_key: string };
  /** This endpoint's own CURVE keys. */
  readonly keys: KeyPair;
  /** Proof given out at registration. */
  readonly secret: string;
  /** Python workers of each executor; 0: one per core. */
  readonly workers: number;
  /** Python program that runs the workers. */
  readonly python: string;
  readonly scheduler: SchedulerName;
  readonly min_blocks: number;
  readonly max_blocks: number;
  /** Lines of shell run before an executor: modules, virtual environments. */
  readonly worker_init: string;
}

/** What is filled in when a configuration leaves it out. */
export const CONFIG_DEFAULTS = {
  workers: 0,
  python: 'python3',
  scheduler: 'local',
  min_blocks: 1,
  max_blocks: 1,
  worker_init: '',
} as const satisfies Partial<EndpointConfig>;

const NAME = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';
const KEY = { type: 'string', minLength: 40, maxLength: 40 } as const;

const check = new Ajv({ allErrors: true, useDefaults: true }).compile<EndpointConfig>({
  type: 'object',
  required: ['endpoint_id', 'name', 'service_url', 'link', 'keys', 'secret'],
  additionalProperties: false,
  properties: {
    endpoint_id: { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' },
    name: { type: 'string', pattern: NAME },
    service_url: { type: 'string', pattern: '^https?://' },
    link: {
      type: 'object',
      required: ['address', 'server_key'],
      additionalProperties: false,
      properties: { address: { type: 'string', pattern: '^tcp://.+:[0-9]+$' }, server_key: KEY },
    },
    keys: {
      type: 'object',
      required: ['publicKey', 'secretKey'],
      additionalProperties: false,
      properties: { publicKey: KEY, secretKey: KEY },
    },
    secret: { type: 'string', minLength: 1 },
    workers: { type: 'integer', minimum: 0, maximum: 1024, default: CONFIG_DEFAULTS.workers },
    python: { type: 'string', minLength: 1, default: CONFIG_DEFAULTS.python },
    scheduler: { enum: Object.keys(schedulers), default: CONFIG_DEFAULTS.scheduler },
    min_blocks: { type: 'integer', minimum: 0, maximum: 1000, default: CONFIG_DEFAULTS.min_blocks },
    max_blocks: { type: 'integer', minimum: 1, maximum: 1000, default: CONFIG_DEFAULTS.max_blocks },
    worker_init: { type: 'string', default: CONFIG_DEFAULTS.worker_init },
  },
});

/** The folder of an endpoint. Throws the Fault `invalid_request` for a name that cannot be one. */
export function endpointDir(home: string, name: string): string {
  if (!new RegExp(NAME).test(name)) {
    throw new Fault('invalid_request', `"${name}" cannot be the name of an endpoint.`, {
      remedy: 'Use letters, digits, dots, dashes and underscores; at most 63 of them.',
    });
  }
  return join(home, 'endpoints', name);
}

/** Names of the endpoints configured under a home. */
export function endpointNames(home: string): string[] {
  const root = join(home, 'endpoints');
  if (!existsSync(root)) return [];
  return readdirSync(root).filter((name) => existsSync(configFile(join(root, name))));
}

function configFile(dir: string): string {
  return join(dir, 'config.json');
}

/** Reads an endpoint's configuration. Throws Faults `endpoint_not_found` and `invalid_request`, which name the file. */
export function loadEndpointConfig(dir: string): EndpointConfig {
  const file = configFile(dir);
  let value: unknown;
  try {
    value = readJsonFile(file);
  } catch (error) {
    throw new Fault('invalid_request', `${file} cannot be read: ${messageOf(error)}.`, { cause: error });
  }
  if (value === undefined) {
    throw new Fault('endpoint_not_found', `There is no endpoint here: ${file} does not exist.`, {
      remedy: 'Make one with: pilotwave endpoint configure NAME',
    });
  }
  if (!check(value)) throw badConfig(file, check.errors ?? []);
  return value;
}

/** Writes an endpoint's configuration, readable by its owner only. Throws the Fault `invalid_request` for a bad one. */
export function saveEndpointConfig(dir: string, config: EndpointConfig): void {
  const copy: unknown = structuredClone(config);
  if (!check(copy)) throw badConfig(configFile(dir), check.errors ?? []);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writePrivateFile(configFile(dir), `${JSON.stringify(copy, null, 2)}\n`);
}

function badConfig(file: string, errors: readonly ErrorObject[]): Fault {
  const items = errors.map((error): FaultItem => {
    const extra: unknown = error.params.additionalProperty;
    const what = typeof extra === 'string' ? `${error.message}: ${extra}` : (error.message ?? 'is wrong');
    return { loc: error.instancePath.split('/').slice(1), msg: what, type: error.keyword };
  });
  const [first] = items;
  const where = first === undefined || first.loc.length === 0 ? '' : `${first.loc.join('.')} `;
  return new Fault('invalid_request', `${file} is not a valid configuration: ${where}${first?.msg ?? ''}.`, {
    items,
    remedy: 'Correct the file, or make it anew with: pilotwave endpoint configure NAME',
  });
}

/** A configuration as options of `runManager`. */
export function managerOptions(
  dir: string,
  config: EndpointConfig,
): Omit<ManagerRunOptions, 'log' | 'chance' | 'clock'> {
  return {
    dir,
    endpoint_id: config.endpoint_id,
    link: { ...config.link, keys: config.keys, secret: config.secret },
    ...(config.workers > 0 ? { workers_per_node: config.workers } : {}),
    python: config.python,
    scheduler: config.scheduler,
    min_blocks: config.min_blocks,
    max_blocks: config.max_blocks,
    worker_init: config.worker_init,
  };
}
