// Starts the real program for the benchmark and talks to it over HTTP.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAIN_PROGRAM } from '../src/paths.ts';

export interface Program {
  readonly url: string;
  readonly endpoint_id: string;
  readonly pid: number;
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
  stop(): Promise<void>;
}

const START_MS = 60_000;

export async function startProgram(home: string, env: Readonly<Record<string, string>>): Promise<Program> {
  const ready = join(home, 'ready.json');
  const child = spawn(
    process.execPath,
    [MAIN_PROGRAM, '--home', home, '-q', 'up', '--port', '0', '--ready-file', ready],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DATABASE_URL: '', ...env },
    },
  );
  const deadline = Date.now() + START_MS;
  while (!existsSync(ready)) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error('pilotwave up did not start');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const facts = JSON.parse(readFileSync(ready, 'utf8')) as {
    url: string;
    token: string;
    endpoint_id: string;
    pid: number;
  };
  return {
    url: facts.url,
    endpoint_id: facts.endpoint_id,
    pid: facts.pid,
    async call<T>(method: string, path: string, body?: unknown): Promise<T> {
      const response = await fetch(facts.url + path, {
        method,
        headers: { authorization: `Bearer ${facts.token}`, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = (await response.json()) as T;
      if (!response.ok)
        throw new Error(`${method} ${path} answered ${response.status}: ${JSON.stringify(answer)}`);
      return answer;
    },
    async stop() {
      child.kill('SIGTERM');
      if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve));
    },
  };
}

/** The value below which `share` of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** Does `count` calls with so many at a time. */
export async function inParallel(
  count: number,
  at_once: number,
  work: (n: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: at_once }, lane));
}
