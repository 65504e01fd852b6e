// Which service to talk to and with which token: options first, then the environment, then what `pilotwave up`
// has written into its home.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { CliError, EXIT, usageError } from './exit.ts';

export interface ConnectionOptions {
  readonly home?: string | undefined;
  readonly url?: string | undefined;
  readonly token?: string | undefined;
}

export interface Connection {
  readonly url: string;
  readonly token: string | null;
}

/** Where `pilotwave up` listens unless told otherwise, and where the official SDK's `local` environment looks. */
const DEFAULT_URL = 'http://127.0.0.1:5000';

type Env = Readonly<Record<string, string | undefined>>;

/** A variable's value; one that is set to nothing counts as not set. */
function given(env: Env, name: string): string | undefined {
  const value = env[name];
  return value === '' ? undefined : value;
}

/** The folder of the local installation's data, as an absolute path. */
export function homeOf(options: ConnectionOptions, env: Env): string {
  return resolve(options.home ?? given(env, 'PILOTWAVE_HOME') ?? join(homedir(), '.pilotwave'));
}

/** The file in a home that says where its service is: {"url","token_file"}. */
export function connectionFile(home: string): string {
  return join(home, 'connection.json');
}

interface Stored {
  readonly url: string;
  readonly token_file: string | null;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function readStored(home: string): Promise<Stored | null> {
  const path = connectionFile(home);
  const text = await readIfThere(path);
  if (text === null) return null;
  const bad = (why: string): CliError =>
    new CliError(EXIT.bad_config, `${path} is not valid.`, { why, remedy: 'start again with: pilotwave up' });
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw bad('it is not JSON');
  }
  if (typeof document !== 'object' || document === null || !('url' in document)) throw bad('it has no url');
  const { url } = document;
  if (typeof url !== 'string' || !isWebAddress(url)) throw bad('its url is not an http address');
  const file = 'token_file' in document ? document.token_file : null;
  return { url, token_file: typeof file === 'string' ? resolve(home, file) : null };
}

function isWebAddress(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
}

function checkedUrl(options: ConnectionOptions, env: Env): string | undefined {
  if (options.url !== undefined) {
    if (!isWebAddress(options.url)) throw usageError(`--url is not an http address: ${options.url}`);
    return options.url;
  }
  const url = given(env, 'PILOTWAVE_URL');
  if (url === undefined || isWebAddress(url)) return url;
  throw new CliError(EXIT.bad_config, `PILOTWAVE_URL is not an http address: ${url}`);
}

/**
 * Finds the service and the token. A stored token goes only to the service it was stored for. Throws CliError
 * bad_config when what is stored is broken.
 */
export async function findConnection(options: ConnectionOptions, env: Env): Promise<Connection> {
  const home = homeOf(options, env);
  const said = checkedUrl(options, env);
  const token = options.token ?? given(env, 'PILOTWAVE_TOKEN');
  if (said !== undefined && token !== undefined) return { url: said, token };
  const stored = await readStored(home);
  const url = said ?? stored?.url ?? DEFAULT_URL;
  if (token !== undefined) return { url, token };
  const own = stored !== null && new URL(stored.url).origin === new URL(url).origin;
  const kept = own && stored.token_file !== null ? await readIfThere(stored.token_file) : null;
  const text = kept?.trim() ?? '';
  return { url, token: text === '' ? null : text };
}
