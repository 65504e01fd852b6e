// The folder of a local installation: what `up` keeps between its starts.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectionFile } from '../connection.ts';

/** Ports of the last start, so that addresses stay the same across restarts. */
export interface Ports {
  readonly http: number;
  readonly link: number;
}

/** Writes a file in one step, so that a reader never sees half of it. */
export async function writeWhole(path: string, text: string, mode = 0o600): Promise<void> {
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, text, { mode });
  await rename(draft, path);
}

export async function makeHome(home: string): Promise<void> {
  // Others may pass through: as root, PostgreSQL runs as another user below it. Secrets are 0600 each.
  await mkdir(home, { recursive: true, mode: 0o711 });
  await mkdir(join(home, 'log'), { recursive: true, mode: 0o700 });
}

const portsFile = (home: string): string => join(home, 'ports.json');

export async function readPorts(home: string): Promise<Partial<Ports>> {
  const text = await readFile(portsFile(home), 'utf8').catch(() => null);
  if (text === null) return {};
  try {
    const { http, link } = JSON.parse(text) as Partial<Ports>;
    return {
      ...(Number.isInteger(http) ? { http } : {}),
      ...(Number.isInteger(link) ? { link } : {}),
    };
  } catch {
    // Ports are a convenience: a broken note of them is written anew.
    return {};
  }
}

export async function writePorts(home: string, ports: Ports): Promise<void> {
  await writeWhole(portsFile(home), `${JSON.stringify(ports)}\n`);
}

/** The home's secret key, made at the first start. */
export async function secretKey(home: string): Promise<Buffer> {
  const path = join(home, 'secret-key');
  const known = await readFile(path, 'utf8').catch(() => null);
  if (known !== null && /^[0-9a-f]{64}\s*$/.test(known)) return Buffer.from(known.trim(), 'hex');
  const key = randomBytes(32);
  await writeWhole(path, `${key.toString('hex')}\n`);
  return key;
}

export const tokenFile = (home: string): string => join(home, 'token');

export async function readToken(home: string): Promise<string | null> {
  return (await readFile(tokenFile(home), 'utf8').catch(() => null))?.trim() ?? null;
}

export async function writeToken(home: string, token: string): Promise<void> {
  await writeWhole(tokenFile(home), `${token}\n`);
}

/** Tells the other commands where the service is. */
export async function writeConnection(home: string, url: string): Promise<void> {
  await writeWhole(connectionFile(home), `${JSON.stringify({ url, token_file: 'token' })}\n`);
}
