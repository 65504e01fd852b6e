// Registered endpoints: who owns them, how their agent proves itself, and which service holds their link.
import type { EndpointStatus } from '../protocol/messages.ts';
import type { Sql } from './connect.ts';

export interface EndpointRow {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly display_name: string | null;
  readonly public: boolean;
  readonly allowed_functions: string[] | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly curve_key: string | null;
  readonly secret_hash: Buffer | null;
  readonly link_service: string | null;
  readonly link_epoch: number;
  readonly linked_at: Date | null;
  readonly unlinked_at: Date | null;
  readonly last_seen_at: Date | null;
  readonly status: EndpointStatus | null;
  readonly created_at: Date;
  /** A link is up and was heard of lately, by the database's clock. */
  readonly online: boolean;
}

const COLUMNS = `id, owner, name, display_name, public, allowed_functions, metadata, curve_key, secret_hash,
  link_service, link_epoch, linked_at, unlinked_at, last_seen_at, status, created_at,
  (link_service IS NOT NULL AND last_seen_at > now() - interval '20 seconds') AS online`;

export async function insertEndpoint(
  sql: Sql,
  row: {
    id: string;
    owner: string;
    name: string;
    display_name: string | null;
    public: boolean;
    allowed_functions: readonly string[] | null;
    metadata: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  await sql.query(
    `INSERT INTO endpoints (id, owner, name, display_name, public, allowed_functions, metadata)
     VALUES ($1, $2, $3, $4, $5, $6, $7)`,
    [row.id, row.owner, row.name, row.display_name, row.public, row.allowed_functions, row.metadata],
  );
}

/** Changes what the owner may change; false when the endpoint is not theirs. */
export async function updateEndpoint(
  sql: Sql,
  id: string,
  owner: string,
  change: {
    name: string;
    display_name: string | null;
    public: boolean;
    allowed_functions: readonly string[] | null;
    metadata: Readonly<Record<string, unknown>>;
  },
): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE endpoints SET name = $3, display_name = $4, public = $5, allowed_functions = $6, metadata = $7
     WHERE id = $1 AND owner = $2 AND deleted_at IS NULL RETURNING id`,
    [id, owner, change.name, change.display_name, change.public, change.allowed_functions, change.metadata],
  );
  return rows.length > 0;
}

export async function findEndpoint(sql: Sql, id: string): Promise<EndpointRow | undefined> {
  const rows = await sql.named<EndpointRow>(
    'endpoint_find',
    `SELECT ${COLUMNS} FROM endpoints WHERE id = $1 AND deleted_at IS NULL`,
    [id],
  );
  return rows[0];
}

/** Endpoints the identity owns and, with `any`, the public ones too. */
export function listEndpoints(sql: Sql, owner: string, any: boolean): Promise<EndpointRow[]> {
  return sql.query<EndpointRow>(
    `SELECT ${COLUMNS} FROM endpoints WHERE deleted_at IS NULL AND (owner = $1 OR ($2 AND public))
     ORDER BY created_at LIMIT 1000`,
    [owner, any],
  );
}

export async function deleteEndpoint(sql: Sql, id: string, owner: string): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE endpoints SET deleted_at = now(), curve_key = NULL, secret_hash = NULL, code_hash = NULL
     WHERE id = $1 AND owner = $2 AND deleted_at IS NULL RETURNING id`,
    [id, owner],
  );
  return rows.length > 0;
}

/** Gives an endpoint a one-time registration code (its hash), in place of any earlier one. */
export async function setRegistrationCode(
  sql: Sql,
  id: string,
  codeHash: Buffer,
  expires_at: Date,
): Promise<void> {
  await sql.query('UPDATE endpoints SET code_hash = $2, code_expires_at = $3 WHERE id = $1', [
    id,
    codeHash,
    expires_at,
  ]);
}

/** Uses up a code: the agent's key and secret replace any earlier ones. Undefined when the code is not valid. */
export async function redeemCode(
  sql: Sql,
  codeHash: Buffer,
  now: Date,
  agent: { curve_key: string; secret_hash: Buffer },
): Promise<string | undefined> {
  const rows = await sql.query<{ id: string }>(
    `UPDATE endpoints SET code_hash = NULL, code_expires_at = NULL, curve_key = $3, secret_hash = $4
     WHERE code_hash = $1 AND code_expires_at > $2 AND deleted_at IS NULL RETURNING id`,
    [codeHash, now, agent.curve_key, agent.secret_hash],
  );
  return rows[0]?.id;
}

/** Every agent key that may connect. */
export async function allCurveKeys(sql: Sql): Promise<string[]> {
  const rows = await sql.query<{ curve_key: string }>(
    'SELECT curve_key FROM endpoints WHERE curve_key IS NOT NULL AND deleted_at IS NULL',
  );
  return rows.map((row) => row.curve_key);
}

/** The link of this endpoint is with this service from now on; answers the link's number. */
export async function linkEndpoint(sql: Sql, id: string, serviceId: string): Promise<number> {
  const rows = await sql.query<{ link_epoch: number }>(
    `UPDATE endpoints SET link_service = $2, link_epoch = link_epoch + 1, linked_at = now(), unlinked_at = NULL,
       last_seen_at = now() WHERE id = $1 RETURNING link_epoch`,
    [id, serviceId],
  );
  return rows[0]?.link_epoch ?? 0;
}

/** The link under this number is down; a newer one is left alone. */
export async function unlinkEndpoint(sql: Sql, id: string, epoch: number): Promise<void> {
  await sql.query(
    'UPDATE endpoints SET link_service = NULL, unlinked_at = now() WHERE id = $1 AND link_epoch = $2 AND link_service IS NOT NULL',
    [id, epoch],
  );
}

/** Notes what the endpoint reported. */
export async function noteStatus(sql: Sql, id: string, epoch: number, status: EndpointStatus): Promise<void> {
  await sql.query(
    'UPDATE endpoints SET status = $3, last_seen_at = now() WHERE id = $1 AND link_epoch = $2',
    [id, epoch, status],
  );
}
