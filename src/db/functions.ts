// Registered functions: immutable by id; a deleted one keeps its row so that its tasks stay readable.
import type { Sql } from './connect.ts';

export interface FunctionRow {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  /** Packed buffers as registered, opaque. */
  readonly code: string;
  readonly description: string | null;
  readonly meta: Readonly<Record<string, string>>;
  readonly public: boolean;
  readonly group_id: string | null;
  readonly created_at: Date;
  readonly deleted_at: Date | null;
}

const COLUMNS = 'id, owner, name, code, description, meta, public, group_id, created_at, deleted_at';

export async function insertFunction(
  sql: Sql,
  row: Omit<FunctionRow, 'created_at' | 'deleted_at'>,
): Promise<void> {
  await sql.query(
    `INSERT INTO functions (id, owner, name, code, description, meta, public, group_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [row.id, row.owner, row.name, row.code, row.description, row.meta, row.public, row.group_id],
  );
}

export async function findFunction(sql: Sql, id: string): Promise<FunctionRow | undefined> {
  const rows = await sql.named<FunctionRow>(
    'function_find',
    `SELECT ${COLUMNS} FROM functions WHERE id = $1`,
    [id],
  );
  return rows[0];
}

/** One owner's functions, newest first; with a name, only those of that name. */
export function listFunctions(
  sql: Sql,
  owner: string,
  name: string | undefined,
  limit: number,
): Promise<FunctionRow[]> {
  return sql.query<FunctionRow>(
    `SELECT ${COLUMNS} FROM functions WHERE owner = $1 AND deleted_at IS NULL AND ($2::text IS NULL OR name = $2)
     ORDER BY created_at DESC LIMIT $3`,
    [owner, name ?? null, limit],
  );
}

/** Deletes a function of this owner; false when there is none. */
export async function deleteFunction(sql: Sql, id: string, owner: string): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE functions SET deleted_at = now() WHERE id = $1 AND owner = $2 AND deleted_at IS NULL RETURNING id',
    [id, owner],
  );
  return rows.length > 0;
}
