// How flow engines work on runs: they lease them, and store each step over the one before it, many runs in one
// statement.
import type { ActionStatusName } from '../lifecycle.ts';
import type { Sql } from './connect.ts';
import type { RunLogRow } from './runs.ts';

type Document = Readonly<Record<string, unknown>>;

/** A run as an engine steps it. */
export interface LeasedRun {
  readonly id: string;
  readonly flow_id: string;
  readonly version_id: number;
  readonly caller: Document;
  readonly label: string;
  readonly status: ActionStatusName;
  readonly details: Document;
  readonly place: Document;
  readonly cancel_by: string | null;
  readonly revision: number;
  readonly start_time: Date;
}

const LEASED = `r.id, r.flow_id, r.version_id, r.caller, r.label, r.status, r.details, r.place, r.cancel_by,
  r.revision, r.start_time`;

/** Says that an engine lives for `lease_ms` from now; false when it had been taken for dead. */
export async function touchEngine(sql: Sql, id: string, lease_ms: number): Promise<boolean> {
  const rows = await sql.named<{ alive: boolean }>(
    'flow_engine_touch',
    `WITH before AS (SELECT alive_until FROM flow_engines WHERE id = $1)
     INSERT INTO flow_engines (id, alive_until) VALUES ($1, now() + $2 * interval '1 millisecond')
     ON CONFLICT (id) DO UPDATE SET alive_until = excluded.alive_until
     RETURNING coalesce((SELECT alive_until > now() FROM before), false) AS alive`,
    [id, lease_ms],
  );
  return rows[0]?.alive ?? false;
}

/** Removes engines that have been silent for too long; true when there were any. Their runs are free. */
export async function buryEngines(sql: Sql): Promise<boolean> {
  const rows = await sql.named(
    'flow_engines_bury',
    'DELETE FROM flow_engines WHERE alive_until < now() RETURNING id',
    [],
  );
  return rows.length > 0;
}

/**
 * Has every run that waits for an action look at it now: what told of ended actions may have been lost with the
 * process that knew.
 */
export async function wakeWaitingRuns(sql: Sql, now: Date): Promise<void> {
  await sql.named(
    'runs_wake_waiting',
    'UPDATE runs SET wake_at = $1 WHERE action_id IS NOT NULL AND wake_at > $1 AND lease IS NULL',
    [now],
  );
}

/** Gives back everything an engine holds, and its name. */
export async function removeEngine(sql: Sql, id: string): Promise<void> {
  await sql.query('UPDATE runs SET lease = NULL WHERE lease = $1', [id]);
  await sql.query('DELETE FROM flow_engines WHERE id = $1', [id]);
}

/**
 * Leases due runs that nobody alive works on. `held`: what this engine works on already; what else carries its
 * name was dropped on the way and is taken up again.
 */
export function claimRuns(
  sql: Sql,
  claim: {
    readonly engine: string;
    readonly held: readonly string[];
    readonly now: Date;
    readonly limit: number;
  },
): Promise<LeasedRun[]> {
  return sql.named<LeasedRun>(
    'runs_claim',
    `WITH due AS (
       SELECT id FROM runs WHERE wake_at <= $3 AND (
         lease IS NULL OR (lease = $1 AND id <> ALL($2::uuid[])) OR
         (lease <> $1 AND NOT EXISTS (SELECT 1 FROM flow_engines e WHERE e.id = lease AND e.alive_until > now())))
       ORDER BY wake_at LIMIT $4 FOR UPDATE SKIP LOCKED)
     UPDATE runs r SET lease = $1 FROM due WHERE r.id = due.id RETURNING ${LEASED}`,
    [claim.engine, claim.held, claim.now, claim.limit],
  );
}

/** One step of one run, as it is to be stored. */
export interface StoredStep {
  readonly id: string;
  /** The revision the step was made from. */
  readonly revision: number;
  readonly status: ActionStatusName;
  readonly details: Document;
  readonly place: Document;
  readonly at_state: string | null;
  readonly action_id: string | null;
  /** Null exactly when the run has ended. */
  readonly wake_at: Date | null;
  readonly completion_time: Date | null;
  /** Has the machine taken in that the run is to be cancelled? */
  readonly cancel_taken: boolean;
  /** Does the engine go on with it at once? */
  readonly hold: boolean;
  readonly entries: readonly RunLogRow[];
}

/**
 * Stores steps, each only over the revision it was made from and while the engine holds the lease. Answers those
 * stored; with who asks to cancel, where that has come in meanwhile: then the engine still holds the run.
 */
export async function storeSteps(
  sql: Sql,
  engine: string,
  now: Date,
  steps: readonly StoredStep[],
): Promise<Map<string, { readonly cancel_by: string | null }>> {
  const column = <T>(read: (step: StoredStep) => T): T[] => steps.map(read);
  const entries = steps.flatMap((step) => step.entries.map((entry) => ({ run_id: step.id, ...entry })));
  const rows = await sql.named<{ id: string; cancel_by: string | null }>(
    'runs_store_steps',
    `WITH s AS (
       SELECT * FROM unnest($3::uuid[], $4::int[], $5::text[], $6::json[], $7::json[], $8::text[], $9::text[],
         $10::timestamptz[], $11::timestamptz[], $12::boolean[], $13::boolean[])
         AS s(id, revision, status, details, place, at_state, action_id, wake_at, completion_time, taken, hold)),
     u AS (
       UPDATE runs r SET status = s.status, details = s.details, place = s.place, at_state = s.at_state,
         action_id = s.action_id, completion_time = s.completion_time, revision = r.revision + 1,
         cancel_by = CASE WHEN s.taken OR s.wake_at IS NULL THEN NULL ELSE r.cancel_by END,
         wake_at = CASE WHEN r.cancel_by IS NULL OR s.taken OR s.wake_at IS NULL THEN s.wake_at ELSE least(s.wake_at, $2) END,
         lease = CASE WHEN s.wake_at IS NOT NULL AND (s.hold OR (r.cancel_by IS NOT NULL AND NOT s.taken)) THEN r.lease END
       FROM s WHERE r.id = s.id AND r.revision = s.revision AND r.lease = $1
       RETURNING r.id, r.cancel_by),
     l AS (
       INSERT INTO run_log (run_id, seq, time, code, description, details)
       SELECT e.* FROM unnest($14::uuid[], $15::int[], $16::timestamptz[], $17::text[], $18::text[], $19::json[])
         AS e(run_id, seq, time, code, description, details)
       JOIN u ON u.id = e.run_id)
     SELECT id, cancel_by FROM u`,
    [
      engine,
      now,
      column((step) => step.id),
      column((step) => step.revision),
      column((step) => step.status),
      column((step) => JSON.stringify(step.details)),
      column((step) => JSON.stringify(step.place)),
      column((step) => step.at_state),
      column((step) => step.action_id),
      column((step) => step.wake_at),
      column((step) => step.completion_time),
      column((step) => step.cancel_taken),
      column((step) => step.hold),
      entries.map((entry) => entry.run_id),
      entries.map((entry) => entry.seq),
      entries.map((entry) => entry.time),
      entries.map((entry) => entry.code),
      entries.map((entry) => entry.description),
      entries.map((entry) => JSON.stringify(entry.details)),
    ],
  );
  return new Map(rows.map((row) => [row.id, { cancel_by: row.cancel_by }]));
}
