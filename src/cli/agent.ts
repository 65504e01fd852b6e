// Endpoints that are configured on this machine: which one is meant, and which process serves it.
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { endpointDir, endpointNames, loadEndpointConfig, type EndpointConfig } from '../endpoint/config.ts';
import { isAlive, type ProcessName } from '../processes.ts';
import { CliError, EXIT, usageError } from './exit.ts';
import { pick } from './resolve.ts';

export interface LocalEndpoint {
  readonly dir: string;
  readonly config: EndpointConfig;
}

/** Reads one endpoint's configuration. Throws CliError bad_config for a broken one. */
export function readLocal(home: string, name: string): LocalEndpoint {
  const dir = endpointDir(home, name);
  try {
    return { dir, config: loadEndpointConfig(dir) };
  } catch (error) {
    throw new CliError(
      EXIT.bad_config,
      error instanceof Error ? error.message : String(error),
      { remedy: `correct it, or make it anew: pilotwave endpoint configure ${name} --replace` },
      error,
    );
  }
}

/** The endpoint meant by a name, an id or the first part of one; the only one there is when nothing is said. */
export function findLocal(home: string, text: string | undefined): LocalEndpoint {
  const names = endpointNames(home);
  if (text !== undefined && names.includes(text)) return readLocal(home, text);
  const locals = names.map((name) => ({ name, local: readLocal(home, name) }));
  if (text === undefined) {
    const [only, ...others] = locals;
    if (only !== undefined && others.length === 0) return only.local;
    if (only !== undefined)
      throw usageError(`Several endpoints are configured here: ${names.join(', ')}.`, 'say which');
  } else {
    const picked = pick(
      text,
      locals.map(({ name, local }) => ({ id: local.config.endpoint_id, name, local })),
    );
    if (picked.kind === 'one') return picked.item.local;
    if (picked.kind === 'many')
      throw usageError(`"${text}" may be any of ${picked.items.length} endpoints.`, 'type more of the id');
  }
  throw new CliError(
    EXIT.not_found,
    text === undefined ? 'No endpoint is configured here.' : `No endpoint "${text}" is configured here.`,
    {
      where: home,
      remedy: `make one: pilotwave endpoint configure ${text ?? 'NAME'}`,
    },
  );
}

interface Holder extends ProcessName {
  readonly host: string;
}

/** Who holds the lock of an endpoint's manager (src/lock.ts); null when nobody does. */
export async function managerOf(dir: string): Promise<Holder | null> {
  let holder: Partial<Holder>;
  try {
    holder = JSON.parse(await readFile(join(dir, 'manager.lock'), 'utf8')) as Partial<Holder>;
  } catch {
    // No lock, or one that was never finished: either way nobody holds it.
    return null;
  }
  const { pid, start, host } = holder;
  if (typeof pid !== 'number' || typeof start !== 'string' || typeof host !== 'string') return null;
  if (host === hostname() && !isAlive({ pid, start })) return null;
  return { pid, start, host };
}

/** Throws CliError failed when a manager serves this endpoint. */
export async function mustBeStopped(dir: string, name: string): Promise<void> {
  const holder = await managerOf(dir);
  if (holder === null) return;
  throw new CliError(EXIT.failed, `Endpoint "${name}" is running: process ${holder.pid} on ${holder.host}.`, {
    remedy: `stop it first: pilotwave endpoint stop ${name}`,
  });
}
