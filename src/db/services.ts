// Services that share the database: each says every few seconds that it lives.
import type { Sql } from './connect.ts';

export interface LinkKeyRow {
  readonly public_key: string;
  readonly secret_key: string;
}

/** The CURVE key pair of this database's services; `fresh` is stored when there is none yet. */
export async function ensureLinkKeys(sql: Sql, fresh: () => LinkKeyRow): Promise<LinkKeyRow> {
  const first = async (): Promise<LinkKeyRow | undefined> =>
    (
      await sql.query<LinkKeyRow>(
        'SELECT public_key, secret_key FROM link_keys ORDER BY created_at, public_key LIMIT 1',
      )
    )[0];
  const known = await first();
  if (known !== undefined) return known;
  const made = fresh();
  await sql.query('INSERT INTO link_keys (public_key, secret_key) VALUES ($1, $2)', [
    made.public_key,
    made.secret_key,
  ]);
  return (await first()) ?? made;
}

export async function insertService(
  sql: Sql,
  service: { id: string; host: string; pid: number; link_address: string },
): Promise<void> {
  await sql.query('INSERT INTO services (id, host, pid, link_address) VALUES ($1, $2, $3, $4)', [
    service.id,
    service.host,
    service.pid,
    service.link_address,
  ]);
}

/** Says that a service lives; answers how many do. */
export async function touchService(sql: Sql, id: string): Promise<number> {
  const rows = await sql.query<{ living: number }>(
    `WITH touched AS (UPDATE services SET seen_at = now() WHERE id = $1)
     SELECT count(*)::int AS living FROM services WHERE seen_at > now() - interval '30 seconds'`,
    [id],
  );
  return rows[0]?.living ?? 1;
}

/**
 * Removes services that have been silent for a minute and frees the links they held. Answers their ids, so that
 * their queues can be swept.
 */
export function buryServices(sql: Sql): Promise<{ id: string }[]> {
  return sql.query<{ id: string }>(
    `WITH dead AS (DELETE FROM services WHERE seen_at < now() - interval '60 seconds' RETURNING id),
     freed AS (UPDATE endpoints SET link_service = NULL, unlinked_at = now()
               WHERE link_service IN (SELECT id FROM dead) RETURNING id)
     SELECT id FROM dead`,
  );
}

/** A service that ends in order takes its row with it and frees its links. */
export async function removeService(sql: Sql, id: string): Promise<void> {
  await sql.query('UPDATE endpoints SET link_service = NULL, unlinked_at = now() WHERE link_service = $1', [
    id,
  ]);
  await sql.query('DELETE FROM services WHERE id = $1', [id]);
}
