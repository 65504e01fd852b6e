// The checks of `pilotwave doctor`: each looks at one thing and says what is wrong with it and what to do.
import { execFile } from 'node:child_process';
import { access, constants, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from '../sdk/client.ts';
import type { Health } from '../sdk/documents.ts';
import { explain } from './explain.ts';
import { duration } from './render/time.ts';

export interface Check {
  readonly name: string;
  /** `skip`: could not be looked at, because of an earlier failure. */
  readonly state: 'ok' | 'warn' | 'fail' | 'skip';
  readonly detail: string;
  readonly remedy?: string;
}

const GIB = 2 ** 30;
const DISK_WARN_BYTES = 2 * GIB;
const DISK_FAIL_BYTES = GIB / 4;
const OLDEST_PYTHON = [3, 8] as const;
const PYTHON_TIMEOUT_MS = 10_000;
/** The Date header counts whole seconds; less than this is no skew. */
const SKEW_WARN_S = 5;
/** Beyond it tokens can seem expired or not yet valid. */
const SKEW_FAIL_S = 120;

function parts(version: string): number[] {
  return version.replace(/^v/, '').split('.').map(Number);
}

/** Is `version` at least `floor`? Both dotted numbers. */
export function atLeast(version: string, floor: readonly number[]): boolean {
  const have = parts(version);
  for (const [place, need] of floor.entries()) {
    const one = have[place] ?? 0;
    if (one !== need) return one > need;
  }
  return true;
}

/** `engine` is package.json's range, such as `>=20.19`. */
export function checkNode(version: string, engine: string): Check {
  const floor = engine.replace(/^>=\s*/, '');
  if (atLeast(version, parts(floor))) return { name: 'node', state: 'ok', detail: `Node ${version}` };
  return {
    name: 'node',
    state: 'fail',
    detail: `Node ${version} is too old`,
    remedy: `install Node ${floor} or later`,
  };
}

const PROBE = `import sys, json
found = {"version": "%d.%d.%d" % sys.version_info[:3]}
for name in ("dill", "numpy"):
    try: found[name] = __import__(name).__version__
    except Exception: found[name] = None
print(json.dumps(found))`;

interface PythonFacts {
  readonly version: string;
  readonly dill: string | null;
  readonly numpy: string | null;
}

/** Judges what the Python that workers use said of itself. */
export function judgePython(facts: PythonFacts): Check {
  if (!atLeast(facts.version, OLDEST_PYTHON)) {
    return {
      name: 'python',
      state: 'fail',
      detail: `Python ${facts.version} is too old`,
      remedy: `install Python ${OLDEST_PYTHON.join('.')} or later as python3`,
    };
  }
  const has = (name: 'dill' | 'numpy'): string =>
    facts[name] === null ? `no ${name}` : `${name} ${facts[name]}`;
  // Neither is needed: dill lets functions of the official SDK run, numpy makes some faster.
  return { name: 'python', state: 'ok', detail: `Python ${facts.version}, ${has('dill')}, ${has('numpy')}` };
}

export async function checkPython(): Promise<Check> {
  try {
    const { stdout } = await promisify(execFile)('python3', ['-c', PROBE], { timeout: PYTHON_TIMEOUT_MS });
    return judgePython(JSON.parse(stdout) as PythonFacts);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return {
      name: 'python',
      state: 'fail',
      detail: missing ? 'there is no python3' : 'python3 does not run',
      remedy: `install Python ${OLDEST_PYTHON.join('.')} or later: workers need it`,
    };
  }
}

/** The folder itself, or the nearest one above it that is there. */
async function existing(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).then(
      () => true,
      () => false,
    );
    if (found || dirname(at) === at) return at;
  }
}

export async function checkHome(home: string): Promise<Check> {
  const place = await existing(home);
  const remedy = 'choose another folder: --home DIR or PILOTWAVE_HOME';
  if (!(await stat(place)).isDirectory()) {
    return { name: 'home', state: 'fail', detail: `${place} is not a folder`, remedy };
  }
  try {
    await access(place, constants.W_OK | constants.X_OK);
  } catch {
    return { name: 'home', state: 'fail', detail: `${place} is not writable`, remedy };
  }
  return { name: 'home', state: 'ok', detail: place === home ? home : `${home} (will be made)` };
}

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

export function judgeDisk(free_bytes: number): Check {
  const detail = `${gib(free_bytes)} free`;
  if (free_bytes >= DISK_WARN_BYTES) return { name: 'disk', state: 'ok', detail };
  const remedy = `free some: less than ${gib(DISK_WARN_BYTES)} fills up with results`;
  return { name: 'disk', state: free_bytes < DISK_FAIL_BYTES ? 'fail' : 'warn', detail, remedy };
}

export async function checkDisk(home: string): Promise<Check> {
  const system = await statfs(await existing(home));
  return judgeDisk(system.bavail * system.bsize);
}

/** Any thrown value as a failed check. */
export function failed(name: string, error: unknown): Check {
  const told = explain(error);
  return {
    name,
    state: 'fail',
    detail: told.what,
    ...(told.remedy === undefined ? {} : { remedy: told.remedy }),
  };
}

export function judgeService(url: string, health: Health, own_version: string): Check {
  const detail = `${url}, version ${health.version}`;
  if (health.version === own_version) return { name: 'service', state: 'ok', detail };
  return {
    name: 'service',
    state: 'warn',
    detail: `${detail}; this program is ${own_version}`,
    remedy: 'most commands work across versions; use the same one where a command fails oddly',
  };
}

/** `asked_at` and `answered_at` are this machine's clock round the request, in milliseconds since 1970. */
export function judgeClock(health: Health, asked_at: number, answered_at: number): Check {
  if (health.server_time === null)
    return { name: 'clock', state: 'skip', detail: 'the service tells no time' };
  // The header is cut to the second: the middle of it is the best guess.
  const skew_s = (health.server_time + 500 - (asked_at + answered_at) / 2) / 1000;
  const off = Math.abs(skew_s);
  if (off < SKEW_WARN_S) return { name: 'clock', state: 'ok', detail: "agrees with the service's" };
  return {
    name: 'clock',
    state: off < SKEW_FAIL_S ? 'warn' : 'fail',
    detail: `${duration(off)} ${skew_s > 0 ? 'behind' : 'ahead of'} the service's`,
    remedy: 'set the clocks of both machines by NTP',
  };
}

export async function checkToken(client: Client): Promise<Check> {
  const me = await client.whoami();
  return { name: 'token', state: 'ok', detail: `valid, for ${me.username}` };
}

export async function checkEndpoints(client: Client): Promise<Check> {
  const all = await client.endpoints.list();
  const online = all.filter((endpoint) => endpoint.status === 'online');
  if (online.length > 0) {
    const workers = online.reduce((sum, endpoint) => sum + endpoint.workers, 0);
    return {
      name: 'endpoint',
      state: 'ok',
      detail: `${online.length} of ${all.length} online, ${workers} workers`,
    };
  }
  const [first] = all;
  return {
    name: 'endpoint',
    state: 'fail',
    detail: first === undefined ? 'none is registered' : `none of ${all.length} is online`,
    remedy:
      first === undefined ? 'pilotwave endpoint configure NAME' : `pilotwave endpoint start ${first.name}`,
  };
}
