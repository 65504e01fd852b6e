// The documents of the ActionProvider API, made from what is stored. Fields without a value are left out: the
// published schema knows no null. Pure.
import type { ActionNote, ActionRow } from '../../db/actions.ts';
import { wireTime } from '../../clock.ts';
import { identityUrn } from '../../ids.ts';
import { isFinal, type ActionStatusName } from '../../lifecycle.ts';
import { SCOPES } from '../../auth/scopes.ts';
import type { ActionProvider, ActionRecord, JsonObject, LogEntry } from '../contract.ts';

/** ActionStatus (reference: ActionProvider API section 3). */
export type ActionDocument = {
  readonly action_id: string;
  readonly status: ActionStatusName;
  readonly creator_id: string;
  readonly details: JsonObject;
  readonly label?: string;
  readonly monitor_by: readonly string[];
  readonly manage_by: readonly string[];
  readonly start_time: string;
  readonly completion_time?: string;
  readonly release_after: string;
  readonly display_status: string;
};

/** ProviderDescription (section 8). */
export type ProviderDocument = {
  readonly api_version: '1.0';
  readonly types: readonly ['Action'];
  readonly globus_auth_scope: string;
  readonly title: string;
  readonly subtitle?: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly admin_contact: string;
  readonly administered_by: readonly string[];
  readonly visible_to: readonly ['public'];
  readonly runnable_by: readonly ['all_authenticated_users'];
  readonly synchronous: boolean;
  readonly log_supported: true;
  readonly maximum_deadline: string;
  readonly input_schema: JsonObject;
};

/** The latest deadline a request may name, counted from now. */
export const MAXIMUM_DEADLINE = 'P30D';

/** The scope a caller of the provider needs. */
export function scopeOf(provider: ActionProvider): string {
  return provider.scope ?? SCOPES.providers;
}

export function describe(provider: ActionProvider, adminContact: string): ProviderDocument {
  return {
    api_version: '1.0',
    types: ['Action'],
    globus_auth_scope: scopeOf(provider),
    title: provider.title,
    ...(provider.subtitle === undefined ? {} : { subtitle: provider.subtitle }),
    description: provider.description,
    keywords: provider.keywords,
    admin_contact: adminContact,
    administered_by: [],
    visible_to: ['public'],
    runnable_by: ['all_authenticated_users'],
    synchronous: provider.synchronous,
    log_supported: true,
    maximum_deadline: MAXIMUM_DEADLINE,
    input_schema: provider.input_schema,
  };
}

export function documentOf(row: ActionRow): ActionDocument {
  return {
    action_id: row.action_id,
    status: row.status,
    display_status: row.display_status,
    creator_id: identityUrn(row.creator),
    ...(row.label === null ? {} : { label: row.label }),
    monitor_by: row.monitor_by,
    manage_by: row.manage_by,
    start_time: wireTime(row.started_at),
    ...(row.ended_at === null ? {} : { completion_time: wireTime(row.ended_at) }),
    release_after: row.release_after,
    details: row.details as JsonObject,
  };
}

/** An action as its provider sees it. */
export function recordOf(row: ActionRow): ActionRecord {
  return {
    action_id: row.action_id,
    creator: identityUrn(row.creator),
    body: row.body as JsonObject,
    status: row.status,
    memo: (row.memo ?? {}) as JsonObject,
    started_at: row.started_at.getTime(),
  };
}

/** A page of an action's log (section 9). */
export type LogPage = {
  readonly limit: number;
  readonly has_next_page: boolean;
  readonly marker?: string;
  readonly entries: readonly {
    readonly time: string;
    readonly code: string;
    readonly description: string;
    readonly details?: JsonObject;
  }[];
};

/** Everything the log of an action holds, oldest first: its start, the kit's notes, the provider's lines, its end. */
export function logEntries(
  row: ActionRow,
  notes: readonly ActionNote[],
  own: readonly LogEntry[],
): readonly LogEntry[] {
  const start: LogEntry = {
    time: row.started_at.getTime(),
    code: 'Started',
    description: `Started by ${identityUrn(row.creator)}`,
  };
  const middle = [
    ...notes.map((note) => ({
      time: note.noted_at.getTime(),
      code: note.code,
      description: note.description,
    })),
    ...own,
  ].sort((a, b) => a.time - b.time);
  if (row.ended_at === null || !isFinal(row.status)) return [start, ...middle];
  const why = row.details.description;
  const end: LogEntry = {
    time: row.ended_at.getTime(),
    code: row.status === 'SUCCEEDED' ? 'Succeeded' : 'Failed',
    description: typeof why === 'string' && row.status === 'FAILED' ? why : row.display_status,
  };
  return [start, ...middle, end];
}

export interface LogQuery {
  readonly limit: number;
  readonly reverse: boolean;
  /** Opaque to the caller; from the page before. */
  readonly marker?: string | undefined;
}

/** Cuts a page out of a log. A marker that is none starts at the beginning. */
export function logPage(entries: readonly LogEntry[], query: LogQuery): LogPage {
  const from = /^[0-9]{1,9}$/.test(query.marker ?? '') ? Number(query.marker) : 0;
  const ordered = query.reverse ? entries.toReversed() : entries;
  const shown = ordered.slice(from, from + query.limit);
  const next = from + shown.length;
  const more = next < ordered.length && shown.length > 0;
  return {
    limit: query.limit,
    has_next_page: more,
    ...(more ? { marker: String(next) } : {}),
    entries: shown.map(({ time, ...rest }) => ({ time: wireTime(time), ...rest })),
  };
}
