// Rows of users, signing keys and tokens.
import type { Sql } from './connect.ts';

export interface UserRow {
  readonly id: string;
  readonly username: string;
  readonly groups: string[];
}

export interface TokenRow {
  readonly id: string;
  readonly user_id: string;
  readonly username: string;
  readonly name: string;
  readonly scopes: string[];
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
}

export interface SigningKeyRow {
  readonly kid: string;
  readonly private_jwk: Record<string, unknown>;
  readonly public_jwk: Record<string, unknown>;
}

/** The user of this name, made if there is none. */
export async function ensureUser(sql: Sql, id: string, username: string): Promise<UserRow> {
  const rows = await sql.query<UserRow>(
    `INSERT INTO users (id, username) VALUES ($1, $2)
     ON CONFLICT (username) DO UPDATE SET username = excluded.username
     RETURNING id, username, groups`,
    [id, username],
  );
  return rows[0] as UserRow;
}

/** The oldest key pair; several services starting at once agree on the one that came first. */
export async function firstSigningKey(sql: Sql): Promise<SigningKeyRow | undefined> {
  const rows = await sql.query<SigningKeyRow>(
    'SELECT kid, private_jwk, public_jwk FROM signing_keys ORDER BY created_at, kid LIMIT 1',
  );
  return rows[0];
}

export async function insertSigningKey(sql: Sql, key: SigningKeyRow): Promise<void> {
  await sql.query('INSERT INTO signing_keys (kid, private_jwk, public_jwk) VALUES ($1, $2, $3)', [
    key.kid,
    key.private_jwk,
    key.public_jwk,
  ]);
}

export async function insertToken(
  sql: Sql,
  token: { id: string; user_id: string; name: string; scopes: readonly string[]; expires_at: Date },
): Promise<void> {
  await sql.query('INSERT INTO tokens (id, user_id, name, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)', [
    token.id,
    token.user_id,
    token.name,
    token.scopes,
    token.expires_at,
  ]);
}

const TOKEN_COLUMNS = `t.id, t.user_id, u.username, t.name, t.scopes, t.created_at, t.expires_at, t.revoked_at`;

/** A token with its user's names and groups, whatever its state. */
export async function findToken(
  sql: Sql,
  id: string,
): Promise<(TokenRow & { groups: string[] }) | undefined> {
  const rows = await sql.named<TokenRow & { groups: string[] }>(
    'token_find',
    `SELECT ${TOKEN_COLUMNS}, u.groups FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = $1`,
    [id],
  );
  return rows[0];
}

/** Tokens of one user, or of everybody when `userId` is null; newest first. */
export function listTokens(sql: Sql, userId: string | null): Promise<TokenRow[]> {
  return sql.query<TokenRow>(
    `SELECT ${TOKEN_COLUMNS} FROM tokens t JOIN users u ON u.id = t.user_id
     WHERE $1::uuid IS NULL OR t.user_id = $1 ORDER BY t.created_at DESC LIMIT 500`,
    [userId],
  );
}

/** Revokes a token (of this user, or any when `userId` is null). False when there is no such token. */
export async function revokeToken(sql: Sql, id: string, userId: string | null): Promise<boolean> {
  const rows = await sql.query(
    `UPDATE tokens SET revoked_at = coalesce(revoked_at, now())
     WHERE id = $1 AND ($2::uuid IS NULL OR user_id = $2) RETURNING id`,
    [id, userId],
  );
  return rows.length > 0;
}

/** A user by id. */
export async function findUser(sql: Sql, id: string): Promise<UserRow | undefined> {
  const rows = await sql.named<UserRow>('user_find', 'SELECT id, username, groups FROM users WHERE id = $1', [
    id,
  ]);
  return rows[0];
}
