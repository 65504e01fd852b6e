// Actions of our own providers. Statements take batches, because many actions start and end at once; a state is
// only ever written over one that has not ended.
import type { ActionStatusName } from '../lifecycle.ts';
import type { Sql } from './connect.ts';

/** A JSON object; what pg makes of a json column. */
type Document = Readonly<Record<string, unknown>>;

export interface ActionRow {
  readonly action_id: string;
  readonly provider: string;
  /** The creator's identity. */
  readonly creator: string;
  readonly request_id: string;
  readonly request_hash: Buffer;
  readonly label: string | null;
  readonly monitor_by: readonly string[];
  readonly manage_by: readonly string[];
  readonly deadline: Date | null;
  /** As on the wire, and in milliseconds. */
  readonly release_after: string;
  readonly release_after_ms: number;
  readonly body: Document;
  /** Null until the provider has answered the start. */
  readonly memo: Document | null;
  readonly failed_starts: number;
  readonly status: ActionStatusName;
  readonly display_status: string;
  readonly details: Document;
  readonly started_at: Date;
  readonly ended_at: Date | null;
  readonly due_at: Date;
}

/** An action to be stored, its documents as JSON text. */
export interface NewAction extends Omit<ActionRow, 'body' | 'memo' | 'details'> {
  readonly body: string;
  readonly memo: string | null;
  readonly details: string;
}

const COLUMNS = `action_id, provider, creator, request_id, request_hash, label, monitor_by, manage_by, deadline,
  release_after, release_after_ms, body, memo, failed_starts, status, display_status, details, started_at, ended_at,
  due_at`;

/**
 * Stores new actions and answers the ids of those stored. Left out: those whose creator has used the request id
 * at this provider already.
 */
export async function insertActions(sql: Sql, rows: readonly NewAction[]): Promise<Set<string>> {
  // One order for everybody, so that two batches with the same requests never wait for each other.
  const ordered = rows.toSorted((a, b) => (a.request_id < b.request_id ? -1 : 1));
  const column = <K extends keyof NewAction>(key: K): NewAction[K][] => ordered.map((row) => row[key]);
  const inserted = await sql.named<{ action_id: string }>(
    'actions_insert',
    `INSERT INTO actions (${COLUMNS})
     SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::bytea[], $6::text[], $7::jsonb[],
       $8::jsonb[], $9::timestamptz[], $10::text[], $11::bigint[], $12::json[], $13::json[], $14::int[], $15::text[],
       $16::text[], $17::json[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[])
     ON CONFLICT (provider, creator, request_id) DO NOTHING RETURNING action_id`,
    [
      column('action_id'),
      column('provider'),
      column('creator'),
      column('request_id'),
      column('request_hash'),
      column('label'),
      ordered.map((row) => JSON.stringify(row.monitor_by)),
      ordered.map((row) => JSON.stringify(row.manage_by)),
      column('deadline'),
      column('release_after'),
      column('release_after_ms'),
      column('body'),
      column('memo'),
      column('failed_starts'),
      column('status'),
      column('display_status'),
      column('details'),
      column('started_at'),
      column('ended_at'),
      column('due_at'),
    ],
  );
  return new Set(inserted.map((row) => row.action_id));
}

/** Actions by id; unknown ones are left out. */
export function loadActions(sql: Sql, ids: readonly string[]): Promise<ActionRow[]> {
  return sql.named<ActionRow>(
    'actions_load',
    `SELECT ${COLUMNS} FROM actions WHERE action_id = ANY($1::text[])`,
    [ids],
  );
}

/** The action that a creator's request id stands for at a provider. */
export async function findAction(
  sql: Sql,
  provider: string,
  creator: string,
  requestId: string,
): Promise<ActionRow | undefined> {
  const rows = await sql.named<ActionRow>(
    'actions_find',
    `SELECT ${COLUMNS} FROM actions WHERE provider = $1 AND creator = $2 AND request_id = $3`,
    [provider, creator, requestId],
  );
  return rows[0];
}

export interface StateChange {
  readonly action_id: string;
  readonly status: ActionStatusName;
  readonly display_status: string;
  /** JSON text. */
  readonly details: string;
  /** JSON text; null leaves what is there. */
  readonly memo: string | null;
  readonly failed_starts: number;
  readonly ended_at: Date | null;
  readonly due_at: Date;
}

/** Writes states; answers for each whether it was written. One that has ended, or is gone, is left as it is. */
export async function saveStates(sql: Sql, changes: readonly StateChange[]): Promise<boolean[]> {
  const answers = changes.map(() => false);
  // A statement writes a row once only: a second change of the same action waits for the next round.
  let open = changes.map((_, index) => index);
  while (open.length > 0) {
    const seen = new Set<string>();
    const turn = open.filter((index) => {
      const id = changes[index]?.action_id ?? '';
      return seen.has(id) ? false : seen.add(id);
    });
    const batch = turn.flatMap((index) => changes[index] ?? []);
    const written = await saveDistinct(sql, batch);
    for (const index of turn) answers[index] = written.has(changes[index]?.action_id ?? '');
    open = open.filter((index) => !turn.includes(index));
  }
  return answers;
}

async function saveDistinct(sql: Sql, changes: readonly StateChange[]): Promise<Set<string>> {
  const column = <K extends keyof StateChange>(key: K): StateChange[K][] =>
    changes.map((change) => change[key]);
  const written = await sql.named<{ action_id: string }>(
    'actions_save',
    `UPDATE actions a SET status = t.status, display_status = t.display_status, details = t.details,
       memo = coalesce(t.memo, a.memo), failed_starts = t.failed_starts,
       ended_at = greatest(t.ended_at, CASE WHEN t.ended_at IS NOT NULL THEN a.started_at END), due_at = t.due_at
     FROM unnest($1::text[], $2::text[], $3::text[], $4::json[], $5::json[], $6::int[], $7::timestamptz[],
       $8::timestamptz[]) AS t(action_id, status, display_status, details, memo, failed_starts, ended_at, due_at)
     WHERE a.action_id = t.action_id AND a.ended_at IS NULL RETURNING a.action_id`,
    [
      column('action_id'),
      column('status'),
      column('display_status'),
      column('details'),
      column('memo'),
      column('failed_starts'),
      column('ended_at'),
      column('due_at'),
    ],
  );
  return new Set(written.map((row) => row.action_id));
}

/** Forgets an ended action and frees its request id; false when it has not ended or is gone. */
export async function deleteEnded(sql: Sql, actionId: string): Promise<boolean> {
  const rows = await sql.query<{ action_id: string }>(
    'DELETE FROM actions WHERE action_id = $1 AND ended_at IS NOT NULL RETURNING action_id',
    [actionId],
  );
  return rows.length > 0;
}

/** Forgets an action that its provider refused to start. */
export async function deleteUnstarted(sql: Sql, actionId: string): Promise<void> {
  await sql.query('DELETE FROM actions WHERE action_id = $1 AND memo IS NULL AND ended_at IS NULL', [
    actionId,
  ]);
}

/**
 * Claims actions of some providers that are due, earliest first, for `lease_ms`: who does not finish with one in
 * that time leaves it to the next sweep, of this service or another.
 */
export function claimDue(
  sql: Sql,
  providers: readonly string[],
  now: Date,
  lease_ms: number,
  limit: number,
): Promise<ActionRow[]> {
  return sql.named<ActionRow>(
    'actions_claim',
    `UPDATE actions SET due_at = $2 WHERE action_id IN (
       SELECT action_id FROM actions WHERE due_at <= $1 AND provider = ANY($4::text[]) ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
     RETURNING ${COLUMNS}`,
    [now, new Date(now.getTime() + lease_ms), limit, providers],
  );
}

/** When the next action of some providers is due; undefined when there is none. */
export async function earliestDue(sql: Sql, providers: readonly string[]): Promise<Date | undefined> {
  const rows = await sql.named<{ due_at: Date }>(
    'actions_earliest',
    'SELECT due_at FROM actions WHERE provider = ANY($1::text[]) ORDER BY due_at LIMIT 1',
    [providers],
  );
  return rows[0]?.due_at;
}

/** Makes every action that was started and has not ended due now: who watched their work is gone. */
export async function makeOpenDue(sql: Sql, now: Date): Promise<void> {
  await sql.query(
    'UPDATE actions SET due_at = $1 WHERE ended_at IS NULL AND memo IS NOT NULL AND due_at > $1',
    [now],
  );
}

export const ACTION_ROLES = ['creator_id', 'monitor_by', 'manage_by'] as const;
export type ActionRole = (typeof ACTION_ROLES)[number];

export interface ActionFilter {
  readonly provider: string;
  readonly identity: string;
  /** Names under which monitor_by and manage_by may hold the caller. */
  readonly names: readonly string[];
  readonly roles: readonly ActionRole[];
  readonly statuses: readonly ActionStatusName[];
  readonly limit: number;
}

/** Actions in which somebody has one of the roles, newest first. */
export function listActions(sql: Sql, filter: ActionFilter): Promise<ActionRow[]> {
  // Each role is its own search by its own index.
  const searches: Record<ActionRole, string> = {
    creator_id: 'creator = $2::uuid',
    monitor_by: `monitor_by <> '[]' AND monitor_by ?| $3::text[]`,
    manage_by: `manage_by <> '[]' AND manage_by ?| $3::text[]`,
  };
  const found = ACTION_ROLES.filter((role) => filter.roles.includes(role)).map(
    (role) => `(SELECT action_id FROM actions WHERE provider = $1 AND status = ANY($4::text[])
                AND ${searches[role]} ORDER BY started_at DESC LIMIT $5)`,
  );
  return sql.query<ActionRow>(
    `SELECT ${COLUMNS} FROM actions
     WHERE action_id IN (${found.join(' UNION ')}) AND $2::uuid IS NOT NULL AND $3::text[] IS NOT NULL
     ORDER BY started_at DESC, action_id LIMIT $5`,
    [filter.provider, filter.identity, filter.names, filter.statuses, filter.limit],
  );
}

export interface ActionNote {
  readonly noted_at: Date;
  readonly code: string;
  readonly description: string;
}

/** Adds a line to an action's log; one that is gone gets none. */
export async function addNote(sql: Sql, actionId: string, note: ActionNote): Promise<void> {
  await sql.query(
    `INSERT INTO action_notes (action_id, noted_at, code, description)
     SELECT action_id, $2, $3, $4 FROM actions WHERE action_id = $1`,
    [actionId, note.noted_at, note.code, note.description],
  );
}

/** The latest lines of an action's log, oldest of them first. */
export async function loadNotes(sql: Sql, actionId: string, limit: number): Promise<ActionNote[]> {
  const rows = await sql.query<ActionNote>(
    'SELECT noted_at, code, description FROM action_notes WHERE action_id = $1 ORDER BY seq DESC LIMIT $2',
    [actionId, limit],
  );
  return rows.reverse();
}
