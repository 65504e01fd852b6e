// Triggers and who runs them, in SQL. Their events are in trigger-events.ts.
import type { Sql } from './connect.ts';

type Doc = Readonly<Record<string, unknown>>;

export type TriggerState = 'active' | 'paused';

/** What a trigger is made of; it never changes but for its state. */
export interface TriggerRow {
  readonly id: string;
  readonly owner: string;
  readonly name: string;
  readonly kind: string;
  readonly config: Doc;
  readonly flow_id: string;
  readonly input: Doc;
  readonly label: string;
  readonly filter: Doc | null;
  readonly max_in_flight: number | null;
  readonly state: TriggerState;
  readonly hook_hash: Buffer | null;
  readonly signing_secret: Buffer | null;
  readonly lease_holder: string | null;
  readonly created_at: Date;
}

/** What became of a trigger so far. */
export interface TriggerFigures {
  readonly id: string;
  readonly fired: number;
  readonly filtered: number;
  readonly paused: number;
  readonly failed: number;
  /** Undecided events, counted up to 100,000. */
  readonly waiting: number;
  readonly last_fired_at: Date | null;
  readonly last_event_at: Date | null;
  readonly oldest_waiting_at: Date | null;
  readonly health: Doc | null;
  readonly health_at: Date | null;
  /** Is the host that leads it alive? */
  readonly led: boolean;
}

const COLUMNS = `id, owner, name, kind, config, flow_id, input, label, filter, max_in_flight, state, hook_hash,
  signing_secret, lease_holder, created_at`;

export async function insertTrigger(
  db: Sql,
  row: Omit<TriggerRow, 'created_at' | 'state'>,
): Promise<TriggerRow> {
  const rows = await db.query<TriggerRow>(
    `INSERT INTO triggers (id, owner, name, kind, config, flow_id, input, label, filter, max_in_flight,
       hook_hash, signing_secret, lease_holder)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING ${COLUMNS}`,
    [
      row.id,
      row.owner,
      row.name,
      row.kind,
      row.config,
      row.flow_id,
      row.input,
      row.label,
      row.filter,
      row.max_in_flight,
      row.hook_hash,
      row.signing_secret,
      row.lease_holder,
    ],
  );
  return rows[0] as TriggerRow;
}

/** Triggers by id, deleted ones left out. */
export function triggersByIds(db: Sql, ids: readonly string[]): Promise<TriggerRow[]> {
  return db.named<TriggerRow>(
    'triggers_by_ids',
    `SELECT ${COLUMNS} FROM triggers WHERE id = ANY($1::uuid[]) AND deleted_at IS NULL`,
    [ids],
  );
}

/** A user's triggers, oldest first. */
export function triggersOf(db: Sql, owner: string, limit: number): Promise<TriggerRow[]> {
  return db.query<TriggerRow>(
    `SELECT ${COLUMNS} FROM triggers WHERE owner = $1 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $2`,
    [owner, limit],
  );
}

export function triggerFigures(db: Sql, ids: readonly string[]): Promise<TriggerFigures[]> {
  return db.query<TriggerFigures>(
    `SELECT t.id, t.fired, t.filtered, t.paused, t.failed, t.last_fired_at, t.health, t.health_at,
       EXISTS (SELECT 1 FROM trigger_hosts h WHERE h.id = t.lease_holder AND h.alive_until > now()) AS led,
       (SELECT count(*) FROM (SELECT 1 FROM trigger_events e
          WHERE e.trigger_id = t.id AND e.decision IS NULL LIMIT 100000) AS few) AS waiting,
       (SELECT e.stored_at FROM trigger_events e
          WHERE e.trigger_id = t.id AND e.decision IS NULL ORDER BY e.seq LIMIT 1) AS oldest_waiting_at,
       (SELECT e.stored_at FROM trigger_events e
          WHERE e.trigger_id = t.id ORDER BY e.seq DESC LIMIT 1) AS last_event_at
     FROM triggers t WHERE t.id = ANY($1::uuid[])`,
    [ids],
  );
}

/** Answers false when the owner has no such trigger. */
export async function setTriggerState(
  db: Sql,
  id: string,
  owner: string,
  state: TriggerState,
): Promise<boolean> {
  const rows = await db.query(
    'UPDATE triggers SET state = $3 WHERE id = $1 AND owner = $2 AND deleted_at IS NULL RETURNING id',
    [id, owner, state],
  );
  return rows.length > 0;
}

/** Hides a trigger at once; purgeTriggers takes its rows away in small steps. */
export async function deleteTrigger(db: Sql, id: string, owner: string): Promise<boolean> {
  const rows = await db.query(
    `UPDATE triggers SET deleted_at = now(), state = 'paused'
     WHERE id = $1 AND owner = $2 AND deleted_at IS NULL RETURNING id`,
    [id, owner],
  );
  return rows.length > 0;
}

/** Removes up to `limit` events of deleted triggers, and those triggers that have none left. */
export async function purgeTriggers(db: Sql, limit: number): Promise<void> {
  await db.query(
    `DELETE FROM trigger_events WHERE (trigger_id, seq) IN (
       SELECT e.trigger_id, e.seq FROM triggers t JOIN trigger_events e ON e.trigger_id = t.id
       WHERE t.deleted_at IS NOT NULL LIMIT $1)`,
    [limit],
  );
  await db.query(
    `DELETE FROM triggers t WHERE t.deleted_at IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM trigger_events e WHERE e.trigger_id = t.id)`,
  );
}

export interface Led {
  readonly id: string;
  readonly state: TriggerState;
}

/** Says that a host lives for so many seconds more, takes the triggers nobody leads, and answers all it leads. */
export async function renewLeases(db: Sql, host: string, alive_s: number): Promise<Led[]> {
  await db.query(
    `INSERT INTO trigger_hosts (id, alive_until) VALUES ($1, now() + $2 * interval '1 second')
     ON CONFLICT (id) DO UPDATE SET alive_until = EXCLUDED.alive_until`,
    [host, alive_s],
  );
  await db.query(
    `UPDATE triggers t SET lease_holder = $1
     WHERE t.deleted_at IS NULL AND t.lease_holder IS DISTINCT FROM $1
       AND NOT EXISTS (SELECT 1 FROM trigger_hosts h WHERE h.id = t.lease_holder AND h.alive_until > now())`,
    [host],
  );
  return db.query<Led>(
    'SELECT id, state FROM triggers WHERE lease_holder = $1 AND deleted_at IS NULL ORDER BY created_at, id',
    [host],
  );
}

/** Gives all triggers of a host back and forgets it, and hosts that died long ago. */
export async function releaseLeases(db: Sql, host: string): Promise<void> {
  await db.query('UPDATE triggers SET lease_holder = NULL WHERE lease_holder = $1', [host]);
  await db.query("DELETE FROM trigger_hosts WHERE id = $1 OR alive_until < now() - interval '1 day'", [host]);
}

export async function saveHealth(db: Sql, host: string, health: ReadonlyMap<string, Doc>): Promise<void> {
  await db.query(
    `UPDATE triggers t SET health = h.health, health_at = now()
     FROM unnest($2::uuid[], $3::jsonb[]) AS h(id, health) WHERE t.id = h.id AND t.lease_holder = $1`,
    [host, [...health.keys()], [...health.values()].map((one) => JSON.stringify(one))],
  );
}

export async function cursorOf(db: Sql, id: string): Promise<Doc | null> {
  const rows = await db.query<{ cursor: Doc | null }>('SELECT cursor FROM triggers WHERE id = $1', [id]);
  return rows[0]?.cursor ?? null;
}
