// Runs and their logs as the API reads and makes them. How engines work on them is in run-steps.ts.
import type { ActionStatusName } from '../lifecycle.ts';
import type { Sql } from './connect.ts';
import { keysetPage, likePattern, type OrderColumn, type Page, type PageQuery } from './pages.ts';

type Document = Readonly<Record<string, unknown>>;

/** A run as the API shows it, with what of its flow is shown with it. */
export interface RunRow {
  readonly id: string;
  readonly flow_id: string;
  readonly version_id: number;
  readonly owner: string;
  readonly label: string;
  readonly tags: readonly string[];
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
  readonly status: ActionStatusName;
  readonly details: Document;
  readonly start_time: Date;
  readonly completion_time: Date | null;
  readonly flow_title: string;
  readonly flow_updated_at: Date;
  readonly flow_owner: string;
  readonly flow_administrators: readonly string[];
  readonly flow_run_managers: readonly string[];
  readonly flow_run_monitors: readonly string[];
}

export interface NewRun {
  readonly id: string;
  readonly flow_id: string;
  readonly version_id: number;
  readonly owner: string;
  readonly caller: Document;
  readonly request_id: string | null;
  readonly label: string;
  readonly tags: readonly string[];
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
  readonly input: Document;
  readonly details: Document;
  readonly place: Document;
  readonly start_time: Date;
  /** The engine that will step it at once; null leaves it to whoever comes first. */
  readonly lease: string | null;
}

const ROW = `r.id, r.flow_id, r.version_id, r.owner, r.label, r.tags, r.run_managers, r.run_monitors, r.status,
  r.details, r.start_time, r.completion_time, f.title AS flow_title, f.updated_at AS flow_updated_at,
  f.owner AS flow_owner, f.administrators AS flow_administrators, f.run_managers AS flow_run_managers,
  f.run_monitors AS flow_run_monitors`;
const FROM = 'runs r JOIN flows f ON f.id = r.flow_id';
/**
 * Stores new runs and answers the ids of those stored. Left out: those whose owner has used the request id with
 * this flow already.
 */
export async function insertRuns(sql: Sql, runs: readonly NewRun[]): Promise<Set<string>> {
  // One order for everybody, so that two batches with the same requests never wait for each other.
  const ordered = runs.toSorted((a, b) => ((a.request_id ?? a.id) < (b.request_id ?? b.id) ? -1 : 1));
  const column = <T>(read: (run: NewRun) => T): T[] => ordered.map(read);
  const json = (read: (run: NewRun) => unknown): string[] => ordered.map((run) => JSON.stringify(read(run)));
  const rows = await sql.named<{ id: string }>(
    'runs_insert',
    `INSERT INTO runs (id, flow_id, version_id, owner, caller, request_id, label, tags, run_managers, run_monitors,
       input, status, details, place, wake_at, lease, start_time)
     SELECT n.id, n.flow_id, n.version_id, n.owner, n.caller, n.request_id, n.label, n.tags, n.managers, n.monitors,
       n.input, 'ACTIVE', n.details, n.place, n.start_time, n.lease, n.start_time
     FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::json[], $6::text[], $7::text[], $8::jsonb[],
       $9::jsonb[], $10::jsonb[], $11::json[], $12::json[], $13::json[], $14::uuid[], $15::timestamptz[])
       AS n(id, flow_id, version_id, owner, caller, request_id, label, tags, managers, monitors, input, details,
            place, lease, start_time)
     ON CONFLICT (flow_id, owner, request_id) WHERE request_id IS NOT NULL DO NOTHING
     RETURNING id`,
    [
      column((run) => run.id),
      column((run) => run.flow_id),
      column((run) => run.version_id),
      column((run) => run.owner),
      json((run) => run.caller),
      column((run) => run.request_id),
      column((run) => run.label),
      json((run) => run.tags),
      json((run) => run.run_managers),
      json((run) => run.run_monitors),
      json((run) => run.input),
      json((run) => run.details),
      json((run) => run.place),
      column((run) => run.lease),
      column((run) => run.start_time),
    ],
  );
  return new Set(rows.map((row) => row.id));
}

/** The runs that these requests have started, with their inputs. */
export function findRequested(
  sql: Sql,
  requests: readonly { readonly flow_id: string; readonly owner: string; readonly request_id: string }[],
): Promise<(RunRow & { readonly request_id: string; readonly input: Document })[]> {
  return sql.named(
    'runs_requested',
    `SELECT ${ROW}, r.request_id, r.input FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS q(flow_id, owner, request_id)
     JOIN runs r ON (r.flow_id, r.owner, r.request_id) = (q.flow_id, q.owner, q.request_id)
     JOIN flows f ON f.id = r.flow_id`,
    [
      requests.map((one) => one.flow_id),
      requests.map((one) => one.owner),
      requests.map((one) => one.request_id),
    ],
  );
}

export async function findRun(sql: Sql, id: string): Promise<RunRow | undefined> {
  return (await sql.named<RunRow>('run_find', `SELECT ${ROW} FROM ${FROM} WHERE r.id = $1`, [id]))[0];
}

export async function findRunStatus(sql: Sql, id: string): Promise<ActionStatusName | undefined> {
  const rows = await sql.named<{ status: ActionStatusName }>(
    'run_status',
    'SELECT status FROM runs WHERE id = $1',
    [id],
  );
  return rows[0]?.status;
}

/** Which of these runs have not ended. */
export async function findActiveRuns(sql: Sql, ids: readonly string[]): Promise<string[]> {
  const rows = await sql.query<{ id: string }>(
    'SELECT id FROM runs WHERE id = ANY($1::uuid[]) AND wake_at IS NOT NULL',
    [ids],
  );
  return rows.map((row) => row.id);
}

/** Changes what people may change of a run. */
export async function updateRun(
  sql: Sql,
  id: string,
  fields: Pick<RunRow, 'label' | 'tags' | 'run_managers' | 'run_monitors'>,
): Promise<void> {
  await sql.query(
    'UPDATE runs SET label = $2, tags = $3, run_managers = $4, run_monitors = $5 WHERE id = $1',
    [
      id,
      fields.label,
      JSON.stringify(fields.tags),
      JSON.stringify(fields.run_managers),
      JSON.stringify(fields.run_monitors),
    ],
  );
}

/** Asks for the end of a run that has not ended. */
export async function requestCancel(sql: Sql, id: string, by: string, now: Date): Promise<void> {
  await sql.query(
    `UPDATE runs SET cancel_by = coalesce(cancel_by, $2), wake_at = least(wake_at, $3)
     WHERE id = $1 AND wake_at IS NOT NULL`,
    [id, by, now],
  );
}

/** Has a run that has not ended looked at now. */
export async function wakeRun(sql: Sql, id: string, now: Date): Promise<void> {
  await sql.query('UPDATE runs SET wake_at = least(wake_at, $2) WHERE id = $1 AND wake_at IS NOT NULL', [
    id,
    now,
  ]);
}

/** Has the runs that wait for these actions looked at now; answers the actions that a run waits for. */
export async function wakeByActions(sql: Sql, actionIds: readonly string[], now: Date): Promise<string[]> {
  const rows = await sql.named<{ action_id: string }>(
    'runs_wake_by_actions',
    `UPDATE runs SET wake_at = least(wake_at, $2) WHERE action_id = ANY($1::text[]) AND wake_at IS NOT NULL
     RETURNING action_id`,
    [actionIds, now],
  );
  return rows.map((row) => row.action_id);
}

/** Removes an ended run and its log; false when it is not there or has not ended. */
export async function deleteEndedRun(sql: Sql, id: string): Promise<boolean> {
  return (
    (await sql.query('DELETE FROM runs WHERE id = $1 AND wake_at IS NULL RETURNING id', [id])).length > 0
  );
}

export interface RunLogRow {
  readonly seq: number;
  readonly time: Date;
  readonly code: string;
  readonly description: string;
  readonly details: Document;
}

/** Entries of a log after (or, in reverse, before) a sequence number. */
export function readRunLog(
  sql: Sql,
  id: string,
  page: { readonly after: number | null; readonly limit: number; readonly reverse: boolean },
): Promise<RunLogRow[]> {
  const [beyond, order] = page.reverse ? ['<', 'DESC'] : ['>', 'ASC'];
  return sql.query<RunLogRow>(
    `SELECT seq, time, code, description, details FROM run_log
     WHERE run_id = $1 AND ($2::int IS NULL OR seq ${beyond} $2) ORDER BY seq ${order} LIMIT $3`,
    [id, page.after, page.limit],
  );
}

export type RunRoleFilter =
  'run_owner' | 'run_manager' | 'run_monitor' | 'flow_run_manager' | 'flow_run_monitor';

/** Half-open: from ≤ time < to. */
export interface TimeRange {
  readonly from: Date | null;
  readonly to: Date | null;
}

export interface RunFilter {
  readonly identity: string;
  readonly names: readonly string[];
  readonly roles: readonly RunRoleFilter[];
  readonly statuses?: readonly string[];
  readonly flow_ids?: readonly string[];
  readonly label?: string;
  readonly flow_title?: string;
  readonly start_time?: TimeRange;
  readonly completion_time?: TimeRange;
}

export const RUN_ORDER = {
  id: ['r.id', 'uuid'],
  start_time: ['r.start_time', 'timestamptz'],
  completion_time: [`coalesce(r.completion_time, 'infinity')`, 'timestamptz'],
  status: ['r.status', 'text'],
  label: ['r.label', 'text'],
} as const satisfies Record<string, OrderColumn>;

const ROLE_SQL: Record<RunRoleFilter, string> = {
  run_owner: 'r.owner = $1',
  run_manager: 'r.run_managers ?| $2',
  run_monitor: 'r.run_monitors ?| $2',
  flow_run_manager: '(f.run_managers ?| $2 OR f.administrators ?| $2 OR f.owner = $1)',
  flow_run_monitor: 'f.run_monitors ?| $2',
};

export function listRuns(
  sql: Sql,
  filter: RunFilter,
  page: PageQuery<keyof typeof RUN_ORDER>,
): Promise<Page<RunRow>> {
  const values: unknown[] = [filter.identity, filter.names];
  // Both parameters are named although a filter may use one of them only: their types must be known.
  const where = [
    '$1::uuid IS NOT NULL AND $2::text[] IS NOT NULL',
    `(${filter.roles.map((role) => ROLE_SQL[role]).join(' OR ')})`,
  ];
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    if (value === undefined || value === null) return;
    values.push(value);
    where.push(condition(`$${values.length}`));
  };
  add((list) => `r.status = ANY(${list}::text[])`, filter.statuses);
  add((list) => `r.flow_id = ANY(${list}::uuid[])`, filter.flow_ids);
  add((text) => `r.label ILIKE ${text}`, filter.label === undefined ? undefined : likePattern(filter.label));
  add(
    (text) => `f.title ILIKE ${text}`,
    filter.flow_title === undefined ? undefined : likePattern(filter.flow_title),
  );
  for (const field of ['start_time', 'completion_time'] as const) {
    add((time) => `r.${field} >= ${time}`, filter[field]?.from);
    add((time) => `r.${field} < ${time}`, filter[field]?.to);
  }
  return keysetPage<RunRow, keyof typeof RUN_ORDER>(sql, {
    select: ROW,
    from: FROM,
    where,
    values,
    columns: RUN_ORDER,
    id: ['r.id', 'uuid'],
    page,
  });
}
