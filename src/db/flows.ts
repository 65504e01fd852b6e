// Flows and the versions of their definitions.
import type { Sql } from './connect.ts';
import { keysetPage, likePattern, type OrderColumn, type Page, type PageQuery } from './pages.ts';

type Document = Readonly<Record<string, unknown>>;

/** A flow without its definition. Lists hold principal names. */
export interface FlowHead {
  readonly id: string;
  readonly version_id: number;
  readonly owner: string;
  readonly creator: string;
  readonly title: string;
  readonly subtitle: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly viewers: readonly string[];
  readonly starters: readonly string[];
  readonly administrators: readonly string[];
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
  readonly subscription_id: string | null;
  readonly authentication_policy_id: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
}

export interface FlowRow extends FlowHead {
  readonly definition: Document;
  readonly input_schema: Document;
}

/** What a flow's author gives. */
export type FlowFields = Omit<FlowRow, 'version_id' | 'created_at' | 'updated_at'>;

const HEAD = `f.id, f.version_id, f.owner, f.creator, f.title, f.subtitle, f.description, f.keywords, f.viewers,
  f.starters, f.administrators, f.run_managers, f.run_monitors, f.subscription_id, f.authentication_policy_id,
  f.created_at, f.updated_at`;
const FULL = `${HEAD}, v.definition, v.input_schema`;
const LISTS = ['keywords', 'viewers', 'starters', 'administrators', 'run_managers', 'run_monitors'] as const;

function columnsOf(fields: FlowFields): unknown[] {
  const lists = LISTS.map((name) => JSON.stringify(fields[name]));
  const { id, owner, creator, title, subtitle, description } = fields;
  return [
    id,
    owner,
    creator,
    title,
    subtitle,
    description,
    ...lists,
    fields.subscription_id,
    fields.authentication_policy_id,
  ];
}

export async function insertFlow(sql: Sql, fields: FlowFields): Promise<FlowRow> {
  const [row] = await sql.query<FlowRow>(
    `WITH v AS (INSERT INTO flow_versions (flow_id, definition, input_schema) VALUES ($1, $15, $16)
                RETURNING id, definition, input_schema),
     f AS (INSERT INTO flows (id, owner, creator, title, subtitle, description, keywords, viewers, starters,
             administrators, run_managers, run_monitors, subscription_id, authentication_policy_id, version_id)
           SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, v.id FROM v RETURNING *)
     SELECT ${FULL} FROM f, v`,
    [...columnsOf(fields), JSON.stringify(fields.definition), JSON.stringify(fields.input_schema)],
  );
  if (row === undefined) throw new Error('a flow was stored and not found');
  return row;
}

/**
 * Stores a changed flow over the version it was made from; null when another change came first.
 * A new version is made only where the definition or the schema has changed.
 */
export async function updateFlow(
  sql: Sql,
  fields: FlowFields,
  before: Pick<FlowRow, 'version_id' | 'updated_at'>,
  newVersion: boolean,
): Promise<FlowRow | null> {
  const [row] = await sql.query<FlowRow>(
    `WITH made AS (INSERT INTO flow_versions (flow_id, definition, input_schema)
                   SELECT $1::uuid, $15::json, $16::json WHERE $17::boolean RETURNING id),
     f AS (UPDATE flows SET owner = $2, creator = $3, title = $4, subtitle = $5, description = $6, keywords = $7,
             viewers = $8, starters = $9, administrators = $10, run_managers = $11, run_monitors = $12,
             subscription_id = $13, authentication_policy_id = $14,
             version_id = coalesce((SELECT id FROM made), version_id),
             updated_at = greatest(now(), updated_at + interval '1 millisecond')
           WHERE id = $1 AND deleted_at IS NULL AND version_id = $18
             AND date_trunc('milliseconds', updated_at) = $19 RETURNING *)
     SELECT ${HEAD}, $15::json AS definition, $16::json AS input_schema FROM f`,
    [
      ...columnsOf(fields),
      JSON.stringify(fields.definition),
      JSON.stringify(fields.input_schema),
      newVersion,
      before.version_id,
      before.updated_at,
    ],
  );
  return row ?? null;
}

export async function findFlow(sql: Sql, id: string): Promise<FlowRow | undefined> {
  const rows = await sql.named<FlowRow>(
    'flow_find',
    `SELECT ${FULL} FROM flows f JOIN flow_versions v ON v.id = f.version_id WHERE f.id = $1 AND f.deleted_at IS NULL`,
    [id],
  );
  return rows[0];
}

/** The flows among these ids that are there. */
export function findFlows(sql: Sql, ids: readonly string[]): Promise<FlowRow[]> {
  return sql.named<FlowRow>(
    'flows_find',
    `SELECT ${FULL} FROM flows f JOIN flow_versions v ON v.id = f.version_id
     WHERE f.id = ANY($1::uuid[]) AND f.deleted_at IS NULL`,
    [ids],
  );
}

/** A deleted flow cannot be seen or started; its runs go on and stay readable. */
export async function deleteFlow(sql: Sql, id: string): Promise<boolean> {
  const rows = await sql.query(
    'UPDATE flows SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL RETURNING id',
    [id],
  );
  return rows.length > 0;
}

export interface VersionRow {
  readonly id: number;
  readonly definition: Document;
  readonly input_schema: Document;
}

export function findVersions(sql: Sql, ids: readonly number[]): Promise<VersionRow[]> {
  return sql.named<VersionRow>(
    'flow_versions_find',
    'SELECT id, definition, input_schema FROM flow_versions WHERE id = ANY($1::bigint[])',
    [ids],
  );
}

export type FlowRoleFilter =
  'flow_owner' | 'flow_administrator' | 'flow_starter' | 'flow_viewer' | 'run_manager' | 'run_monitor';

export interface FlowFilter {
  readonly identity: string;
  /** Names under which lists may hold the caller. */
  readonly names: readonly string[];
  /** Flows in which the caller has one of these roles. */
  readonly roles: readonly FlowRoleFilter[];
  readonly title?: string;
  readonly subtitle?: string;
  readonly description?: string;
  /** One of these is part of a keyword. */
  readonly keywords?: readonly string[];
  readonly fulltext?: string;
}

/** Columns that lists can be ordered by, as the API names them. */
export const FLOW_ORDER = {
  id: ['f.id', 'uuid'],
  scope_string: ['f.id', 'uuid'],
  flow_owner: ['f.owner', 'uuid'],
  flow_administrators: ['f.administrators::text', 'text'],
  title: ['f.title', 'text'],
  created_at: ['f.created_at', 'timestamptz'],
  updated_at: ['f.updated_at', 'timestamptz'],
} as const satisfies Record<string, OrderColumn>;

const ROLE_SQL: Record<FlowRoleFilter, string> = {
  flow_owner: 'f.owner = $1',
  flow_administrator: 'f.administrators ?| $2',
  flow_starter: 'f.starters ?| $2',
  flow_viewer: 'f.viewers ?| $2',
  run_manager: 'f.run_managers ?| $2',
  run_monitor: 'f.run_monitors ?| $2',
};

export function listFlows(
  sql: Sql,
  filter: FlowFilter,
  page: PageQuery<keyof typeof FLOW_ORDER>,
): Promise<Page<FlowRow>> {
  const values: unknown[] = [filter.identity, filter.names];
  const contains = (column: string, text: string | undefined): string[] => {
    if (text === undefined) return [];
    values.push(likePattern(text));
    return [`${column} ILIKE $${values.length}`];
  };
  // Both parameters are named although a filter may use one of them only: their types must be known.
  const where = [
    'f.deleted_at IS NULL AND $1::uuid IS NOT NULL AND $2::text[] IS NOT NULL',
    `(${filter.roles.map((role) => ROLE_SQL[role]).join(' OR ')})`,
    ...contains('f.title', filter.title),
    ...contains('f.subtitle', filter.subtitle),
    ...contains('f.description', filter.description),
    ...contains(
      `(f.id || ' ' || f.title || ' ' || f.subtitle || ' ' || f.description || ' ' || f.owner || ' ' || f.administrators)`,
      filter.fulltext,
    ),
  ];
  if (filter.keywords !== undefined) {
    values.push(filter.keywords.map(likePattern));
    where.push(
      `EXISTS (SELECT 1 FROM jsonb_array_elements_text(f.keywords) k WHERE k ILIKE ANY($${values.length}))`,
    );
  }
  return keysetPage<FlowRow, keyof typeof FLOW_ORDER>(sql, {
    select: FULL,
    from: 'flows f JOIN flow_versions v ON v.id = f.version_id',
    where,
    values,
    columns: FLOW_ORDER,
    id: ['f.id', 'uuid'],
    page,
  });
}
