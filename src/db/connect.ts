// The door to PostgreSQL: a pool, prepared statements by name, transactions, and notifications. Everything that
// is true is behind it. knex is used for migrations only (migrate.ts); the rest speaks SQL.
import pg from 'pg';
import type { Logger } from '../log.ts';

/** What can run SQL: the pool, or one transaction. Rows come back typed as the caller says. */
export interface Sql {
  query<R extends object>(text: string, values?: readonly unknown[]): Promise<R[]>;
  /** A prepared statement: parsed once per connection. The name must be unique to the text. */
  named<R extends object>(name: string, text: string, values: readonly unknown[]): Promise<R[]>;
}

export interface Db extends Sql {
  /** Runs the work in one transaction; any throw rolls it back. */
  tx<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  /** Calls the listener for each NOTIFY on a channel. Hints only: one may be lost while reconnecting. */
  listen(channel: string, listener: (payload: string) => void): Promise<void>;
  notify(channel: string, payload: string): Promise<void>;
  close(): Promise<void>;
}

// int8 columns hold counts and milliseconds here, all below 2^53.
pg.types.setTypeParser(20, Number);

function sqlOf(client: pg.Pool | pg.PoolClient): Sql {
  return {
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      return (await client.query<R>(text, values as unknown[])).rows;
    },
    async named<R extends object>(name: string, text: string, values: readonly unknown[]) {
      return (await client.query<R>({ name, text, values: values as unknown[] })).rows;
    },
  };
}

/** Opens a pool on `url` (postgres://…). Connections are made when first needed. */
export function connect(url: string, log: Logger, connections = 12): Db {
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: 'pilotwave',
  });
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on('error', (error) => log.warn({ err: error }, 'an idle database connection broke'));
  const listeners = new Map<string, (payload: string) => void>();
  const ear = makeEar(url, listeners, log);
  return {
    ...sqlOf(pool),
    async tx(work) {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        const answer = await work(sqlOf(client));
        await client.query('COMMIT');
        client.release();
        return answer;
      } catch (error) {
        await client.query('ROLLBACK').then(
          () => client.release(),
          (broken: Error) => client.release(broken),
        );
        throw error;
      }
    },
    async listen(channel, listener) {
      listeners.set(channel, listener);
      await ear.subscribe(channel);
    },
    async notify(channel, payload) {
      await pool.query('SELECT pg_notify($1, $2)', [channel, payload]);
    },
    async close() {
      await ear.close();
      await pool.end();
    },
  };
}

interface Ear {
  subscribe(channel: string): Promise<void>;
  close(): Promise<void>;
}

/** One connection kept for LISTEN, opened at the first subscription and reopened whenever it breaks. */
function makeEar(url: string, listeners: ReadonlyMap<string, (payload: string) => void>, log: Logger): Ear {
  let client: pg.Client | null = null;
  let closed = false;
  let retry: NodeJS.Timeout | null = null;

  const open = async (): Promise<pg.Client> => {
    const fresh = new pg.Client({
      connectionString: url,
      keepAlive: true,
      application_name: 'pilotwave-listen',
    });
    const lost = (): void => {
      if (client !== fresh) return;
      client = null;
      if (!closed) retry = setTimeout(() => void reopen(), 1_000);
    };
    fresh.on('error', lost);
    fresh.on('end', lost);
    fresh.on('notification', (note) => listeners.get(note.channel)?.(note.payload ?? ''));
    await fresh.connect();
    for (const channel of listeners.keys()) await fresh.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    client = fresh;
    return fresh;
  };
  const reopen = async (): Promise<void> => {
    if (closed) return;
    try {
      await open();
    } catch (error) {
      log.debug({ err: error }, 'the listening connection is not back yet');
      retry = setTimeout(() => void reopen(), 1_000);
    }
  };
  return {
    async subscribe(channel) {
      if (client === null) await open();
      else await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
    },
    async close() {
      closed = true;
      if (retry !== null) clearTimeout(retry);
      await client?.end();
    },
  };
}

/** The SQLSTATE of a database error, or undefined. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

const STORAGE_FULL = new Set(['53100', '53200', '54000']);
const CONNECTION_LOST = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  '57P01',
  '57P02',
  '57P03',
  '08000',
  '08003',
  '08006',
  '53300',
]);

/** Two transactions were in each other's way: the statement did nothing and may be sent again at once. */
const COLLISIONS = new Set(['40001', '40P01']);

/** What a database error means to a caller: out of space, away for a moment, a collision, or none of these. */
export function databaseTrouble(error: unknown): 'full' | 'away' | 'collision' | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
  if (STORAGE_FULL.has(code)) return 'full';
  if (CONNECTION_LOST.has(code)) return 'away';
  if (COLLISIONS.has(code)) return 'collision';
  return error instanceof Error &&
    /Connection terminated|timeout exceeded when trying to connect/.test(error.message)
    ? 'away'
    : null;
}
