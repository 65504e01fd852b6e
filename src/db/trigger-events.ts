// Events of triggers and what was decided about each, in SQL. What must hold together is one statement.
import type { Sql } from './connect.ts';

type Doc = Readonly<Record<string, unknown>>;

export type Decision = 'fired' | 'filtered' | 'paused' | 'failed';

export interface NewEvent {
  readonly event_id: string;
  readonly source: string;
  /** The envelope as JSON text. */
  readonly event: string;
}

export interface StoredEvent {
  readonly seq: number;
  readonly event_id: string;
  readonly source: string;
  readonly while_paused: boolean;
}

/**
 * Stores events, and the source's new cursor with them; those that are stored already are left as they are.
 * With `host`, only while the trigger is active and that host leads it. Answers the new ones in order of storage;
 * null when the trigger is gone, or not the host's to write for.
 */
export async function storeEvents(
  db: Sql,
  request: {
    readonly trigger_id: string;
    readonly events: readonly NewEvent[];
    readonly host: string | null;
    readonly by_hand: boolean;
    readonly cursor: Doc | null;
  },
): Promise<StoredEvent[] | null> {
  const rows = await db.named<StoredEvent | { readonly seq: null }>(
    'trigger_events_store',
    `WITH t AS (
       SELECT id, state FROM triggers WHERE id = $1 AND deleted_at IS NULL
         AND ($5::uuid IS NULL OR (lease_holder = $5 AND state = 'active')) FOR SHARE
     ), new AS (
       INSERT INTO trigger_events (trigger_id, event_id, source, event, bytes, by_hand, while_paused)
       SELECT t.id, e.event_id, e.source, e.event, length(e.event::text), $6, t.state = 'paused' AND NOT $6
       FROM t, unnest($2::text[], $3::text[], $4::json[]) WITH ORDINALITY AS e(event_id, source, event, n)
       ORDER BY e.n
       ON CONFLICT (trigger_id, event_id, source) DO NOTHING
       RETURNING seq, event_id, source, while_paused
     ), moved AS (
       UPDATE triggers SET cursor = $7 WHERE $7::jsonb IS NOT NULL AND id IN (SELECT id FROM t)
     )
     SELECT new.* FROM t LEFT JOIN new ON true ORDER BY new.seq`,
    [
      request.trigger_id,
      request.events.map((event) => event.event_id),
      request.events.map((event) => event.source),
      request.events.map((event) => event.event),
      request.host,
      request.by_hand,
      request.cursor,
    ],
  );
  if (rows.length === 0) return null;
  return rows.filter((row): row is StoredEvent => row.seq !== null);
}

/** Which of these ids are stored events of the trigger, whatever their source. */
export async function storedIds(db: Sql, triggerId: string, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db.named<{ event_id: string }>(
    'trigger_events_known',
    'SELECT event_id FROM trigger_events WHERE trigger_id = $1 AND event_id = ANY($2::text[])',
    [triggerId, ids],
  );
  return new Set(rows.map((row) => row.event_id));
}

export interface WaitingEvent {
  readonly trigger_id: string;
  readonly seq: number;
  readonly event: Doc;
  readonly by_hand: boolean;
  readonly while_paused: boolean;
  readonly attempts: number;
}

/**
 * Undecided events of the triggers that a host leads; of paused ones only what was fired by hand or is to be
 * noted as paused. Those of each trigger in order of storage, the triggers by
 * turns. At most `limits.each` per trigger, less where `rooms` says so, and `limits.events` and about
 * `limits.bytes` in all, but always one.
 */
export function waitingEvents(
  db: Sql,
  host: string,
  limits: { readonly each: number; readonly events: number; readonly bytes: number },
  rooms: ReadonlyMap<string, number>,
): Promise<WaitingEvent[]> {
  return db.named<WaitingEvent>(
    'trigger_events_waiting',
    `SELECT trigger_id, seq, event, by_hand, while_paused, attempts FROM (
       SELECT e.*, sum(e.bytes) OVER (ORDER BY e.place, e.seq) AS total FROM triggers t
         LEFT JOIN unnest($3::uuid[], $4::int[]) AS r(id, room) ON r.id = t.id
         CROSS JOIN LATERAL (
           (SELECT w.*, row_number() OVER (ORDER BY w.seq) AS place FROM trigger_events w
            WHERE t.state = 'active' AND w.trigger_id = t.id AND w.decision IS NULL
              AND (w.retry_at IS NULL OR w.retry_at <= now())
            ORDER BY w.seq LIMIT coalesce(r.room, $2))
           UNION ALL
           (SELECT w.*, row_number() OVER (ORDER BY w.seq) AS place FROM trigger_events w
            WHERE t.state = 'paused' AND w.trigger_id = t.id AND w.decision IS NULL
              AND (w.by_hand OR w.while_paused) AND (w.retry_at IS NULL OR w.retry_at <= now())
            ORDER BY w.seq LIMIT coalesce(r.room, $2))) AS e
       WHERE t.lease_holder = $1 AND t.deleted_at IS NULL) AS found
     WHERE total - bytes < $6 ORDER BY place, seq LIMIT $5`,
    [host, limits.each, [...rooms.keys()], [...rooms.values()], limits.events, limits.bytes],
  );
}

export interface Decided {
  readonly trigger_id: string;
  readonly seq: number;
  readonly decision: Decision;
  readonly reason: string | null;
  readonly run_id: string | null;
  /** The run counts against its trigger's limit until it is known to have ended. */
  readonly run_open: boolean;
}

/** Writes decisions down, each event's once; answers those that were written now. */
export function decideEvents(
  db: Sql,
  decided: readonly Decided[],
): Promise<{ trigger_id: string; seq: number }[]> {
  return db.named(
    'trigger_events_decide',
    `WITH done AS (
       UPDATE trigger_events e SET decision = d.decision, reason = d.reason, run_id = d.run_id,
         run_open = d.run_open, decided_at = clock_timestamp(), retry_at = NULL
       FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::uuid[], $6::boolean[])
         AS d(trigger_id, seq, decision, reason, run_id, run_open)
       WHERE e.trigger_id = d.trigger_id AND e.seq = d.seq AND e.decision IS NULL
       RETURNING e.trigger_id, e.seq, e.decision
     ), sums AS (
       SELECT trigger_id, count(*) FILTER (WHERE decision = 'fired') AS fired,
         count(*) FILTER (WHERE decision = 'filtered') AS filtered,
         count(*) FILTER (WHERE decision = 'paused') AS paused,
         count(*) FILTER (WHERE decision = 'failed') AS failed FROM done GROUP BY trigger_id
     ), counted AS (
       UPDATE triggers t SET fired = t.fired + s.fired, filtered = t.filtered + s.filtered,
         paused = t.paused + s.paused, failed = t.failed + s.failed,
         last_fired_at = CASE WHEN s.fired > 0 THEN clock_timestamp() ELSE t.last_fired_at END
       FROM sums s WHERE t.id = s.trigger_id
     )
     SELECT trigger_id, seq FROM done`,
    [
      decided.map((one) => one.trigger_id),
      decided.map((one) => one.seq),
      decided.map((one) => one.decision),
      decided.map((one) => one.reason),
      decided.map((one) => one.run_id),
      decided.map((one) => one.run_open),
    ],
  );
}

export interface Postponed {
  readonly trigger_id: string;
  readonly seq: number;
  readonly delay_s: number;
  readonly reason: string;
}

/** Puts undecided events off; the reason is shown until they are decided. */
export async function postponeEvents(db: Sql, postponed: readonly Postponed[]): Promise<void> {
  await db.query(
    `UPDATE trigger_events e SET attempts = e.attempts + 1, reason = p.reason,
       retry_at = now() + p.delay_s * interval '1 second'
     FROM unnest($1::uuid[], $2::bigint[], $3::float8[], $4::text[]) AS p(trigger_id, seq, delay_s, reason)
     WHERE e.trigger_id = p.trigger_id AND e.seq = p.seq AND e.decision IS NULL`,
    [
      postponed.map((one) => one.trigger_id),
      postponed.map((one) => one.seq),
      postponed.map((one) => one.delay_s),
      postponed.map((one) => one.reason),
    ],
  );
}

export interface LimitedTrigger {
  readonly id: string;
  readonly max_in_flight: number;
  readonly open_runs: readonly string[];
}

/** Triggers of a host that limit their runs and have undecided events, with the runs not known to have ended. */
export function limitedTriggers(db: Sql, host: string): Promise<LimitedTrigger[]> {
  return db.named<LimitedTrigger>(
    'triggers_limited',
    `SELECT t.id, t.max_in_flight,
       ARRAY(SELECT e.run_id FROM trigger_events e WHERE e.trigger_id = t.id AND e.run_open) AS open_runs
     FROM triggers t WHERE t.lease_holder = $1 AND t.deleted_at IS NULL AND t.max_in_flight IS NOT NULL
       AND EXISTS (SELECT 1 FROM trigger_events e WHERE e.trigger_id = t.id AND e.decision IS NULL)`,
    [host],
  );
}

/** Notes that these runs of a trigger have ended. */
export async function closeRuns(db: Sql, triggerId: string, runIds: readonly string[]): Promise<void> {
  await db.query(
    'UPDATE trigger_events SET run_open = false WHERE trigger_id = $1 AND run_open AND run_id = ANY($2::uuid[])',
    [triggerId, runIds],
  );
}

/** Does the trigger have more undecided events than `limit`? */
export async function hasWaiting(db: Sql, triggerId: string, limit: number): Promise<boolean> {
  const rows = await db.query<{ more: boolean }>(
    `SELECT count(*) > $2 AS more FROM (SELECT 1 FROM trigger_events
       WHERE trigger_id = $1 AND decision IS NULL LIMIT $2 + 1) AS few`,
    [triggerId, limit],
  );
  return rows[0]?.more ?? false;
}

export interface EventRow {
  readonly seq: number;
  readonly event_id: string;
  readonly event: Doc;
  readonly bytes: number;
  readonly by_hand: boolean;
  readonly while_paused: boolean;
  readonly stored_at: Date;
  readonly decision: Decision | null;
  readonly decided_at: Date | null;
  readonly reason: string | null;
  readonly run_id: string | null;
  readonly attempts: number;
  readonly retry_at: Date | null;
}

const EVENT_COLUMNS = `seq, event_id, bytes, by_hand, while_paused, stored_at, decision, decided_at, reason,
  run_id, attempts, retry_at`;

/** Longer events are listed without their data. */
const LISTED_BYTES = 65_536;

/** A trigger's events, newest first, before `before` when given. */
export function eventsOf(
  db: Sql,
  triggerId: string,
  page: { readonly limit: number; readonly before: number | null; readonly decision: Decision | null },
): Promise<EventRow[]> {
  return db.query<EventRow>(
    `SELECT ${EVENT_COLUMNS}, CASE WHEN bytes <= ${LISTED_BYTES} THEN event ELSE json_build_object(
         'specversion', '1.0', 'id', event_id, 'source', source, 'type', event->'type',
         'subject', event->'subject', 'time', event->'time') END AS event
     FROM trigger_events
     WHERE trigger_id = $1 AND ($3::bigint IS NULL OR seq < $3) AND ($4::text IS NULL OR decision = $4)
     ORDER BY seq DESC LIMIT $2`,
    [triggerId, page.limit, page.before, page.decision],
  );
}

/** One event by its id; the newest when two sources used the same id. */
export async function eventById(db: Sql, triggerId: string, eventId: string): Promise<EventRow | null> {
  const rows = await db.query<EventRow>(
    `SELECT ${EVENT_COLUMNS}, event FROM trigger_events WHERE trigger_id = $1 AND event_id = $2
     ORDER BY seq DESC LIMIT 1`,
    [triggerId, eventId],
  );
  return rows[0] ?? null;
}
