// A real PostgreSQL for tests: one server a test process, one fresh migrated database a suite.
import { rmSync } from 'node:fs';
import { chmod, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Db } from '../../src/db/connect.ts';
import { startEmbedded, type EmbeddedPostgres } from '../../src/db/embedded.ts';
import { migrate } from '../../src/db/migrate.ts';
import { silentLogger } from '../../src/log.ts';

interface Server {
  readonly home: string;
  readonly postgres: EmbeddedPostgres;
}

// Several bundles of test files share one mocha process: the server is kept on globalThis, not per bundle.
const shared = globalThis as { pilotwaveTestServer?: Promise<Server>; pilotwaveRunning?: Server | undefined };

async function startServer(): Promise<Server> {
  const home = await mkdtemp(join(tmpdir(), 'pilotwave-test-'));
  await chmod(home, 0o755);
  const server = { home, postgres: await startEmbedded({ home, log: silentLogger, disposable: true }) };
  shared.pilotwaveRunning = server;
  return server;
}

function urlOf(server: Server, database: string): string {
  return server.postgres.url.replace(/\/postgres$/, `/${database}`);
}

export interface TestDatabase {
  readonly db: Db;
  readonly url: string;
}

/** Registers mocha hooks; the answer gives the suite's database once the hooks have run. */
export function withDatabase(): () => TestDatabase {
  let current: TestDatabase | null = null;
  const name = `test_${Math.random().toString(36).slice(2)}`;
  before(async function () {
    this.timeout(60_000);
    shared.pilotwaveTestServer ??= startServer();
    const server = await shared.pilotwaveTestServer;
    const admin = connect(server.postgres.url, silentLogger, 1);
    await admin.query(`CREATE DATABASE ${name}`);
    await admin.close();
    const url = urlOf(server, name);
    await migrate(url);
    const { db } = (current = { db: connect(url, silentLogger, 10), url });
    // Added now, so that it runs after every other hook of the suite: those may still need the database.
    this.test?.parent?.afterAll(() => db.close());
  });
  return () => {
    if (current === null) throw new Error('the database is there only inside tests and hooks');
    return current;
  };
}

// The server outlives the suites of one process and ends with it. mocha leaves through process.exit, so what
// runs here must be synchronous.
process.once('exit', () => {
  const server = shared.pilotwaveRunning;
  if (server === undefined) return;
  shared.pilotwaveRunning = undefined;
  try {
    process.kill(server.postgres.pid, 'SIGQUIT');
  } catch {
    // It has ended already.
  }
  rmSync(server.home, { recursive: true, force: true, maxRetries: 5 });
});
