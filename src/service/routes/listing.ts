// Query parameters that the lists of the Flows API share: comma lists, orders, time ranges, markers.
import type { Request } from 'express';
import type { Order } from '../../db/pages.ts';
import type { TimeRange } from '../../db/runs.ts';
import { Fault } from '../../errors.ts';

/** Query parameters by name: a request's, or those that a marker has kept. */
export type Query = Readonly<Record<string, unknown>>;

/** One or more of a parameter's values, from repeats and commas; empty ones count as absent. */
export function queryList(query: Query, name: string): readonly string[] {
  const given = query[name];
  const texts: readonly unknown[] = Array.isArray(given) ? given : [given];
  return texts
    .flatMap((text) => (typeof text === 'string' ? text.split(',') : []))
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

/** A parameter as text: the last one when repeated, undefined when absent or empty. */
export function queryText(query: Query, name: string): string | undefined {
  const given = query[name];
  const last: unknown = Array.isArray(given) ? given.at(-1) : given;
  return typeof last === 'string' && last !== '' ? last : undefined;
}

function refuse(name: string, msg: string): never {
  throw new Fault('invalid_request', `1 validation error in query. ${name}: ${msg}`, {
    items: [{ loc: ['query', name], msg, type: 'value_error' }],
  });
}

/** A whole number within bounds; above them it is the highest, absent it is `otherwise`. */
export function queryCount(
  query: Query,
  name: string,
  bounds: { min: number; max: number; otherwise: number },
): number {
  const text = queryText(query, name);
  if (text === undefined) return bounds.otherwise;
  const value = Number(text);
  if (!Number.isInteger(value) || value < bounds.min)
    refuse(name, `must be a whole number from ${bounds.min} to ${bounds.max}`);
  return Math.min(value, bounds.max);
}

/** Values that must be among known words; a word's plural is the word. */
export function queryWords<W extends string>(query: Query, name: string, known: readonly W[]): readonly W[] {
  return queryList(query, name).map((text) => {
    const found = known.find((word) => word === text || `${word}s` === text);
    return found ?? refuse(name, `"${text}" is not one of ${known.join(', ')}`);
  });
}

/** `FIELD ASC|DESC`, several with commas or repeats. */
export function queryOrder<F extends string>(
  query: Query,
  known: readonly F[],
  otherwise: Order<F>,
): readonly Order<F>[] {
  const orders = queryList(query, 'orderby').map((text): Order<F> => {
    const [field, direction = 'ASC', ...rest] = text.split(/\s+/);
    const found = known.find((one) => one === field);
    if (found === undefined || rest.length > 0 || !/^(asc|desc)$/i.test(direction)) {
      refuse('orderby', `"${text}" is not "FIELD ASC" or "FIELD DESC" with FIELD one of ${known.join(', ')}`);
    }
    return { field: found, descending: /^desc$/i.test(direction) };
  });
  const [first, second, third] = orders;
  if (first === undefined) return [otherwise];
  return [first, second, third].filter((order) => order !== undefined);
}

function queryTime(name: string, text: string): Date | null {
  const given = text.trim();
  if (given === '') return null;
  const full = /^\d{4}-\d\d-\d\d$/.test(given) ? `${given}T00:00:00` : given;
  const time = new Date(/(?:[zZ]|[+-]\d{2}:?\d{2})$/.test(full) ? full : `${full}Z`);
  return Number.isNaN(time.getTime())
    ? refuse(name, `"${text}" is not a date and time such as 2026-01-31T08:00:00`)
    : time;
}

/** `FROM,TO`, half-open; either side may be empty; without a comma `FROM,`. No zone means UTC. */
export function queryRange(query: Query, name: string): TimeRange | undefined {
  const given = query[name];
  if (typeof given !== 'string' || given === '') return undefined;
  const [from = '', to = ''] = given.split(',');
  return { from: queryTime(name, from), to: queryTime(name, to) };
}

/** What a list is asked for, and where its page begins: after the row with this key. */
export interface Asked {
  readonly query: Query;
  readonly after?: readonly string[];
}

/**
 * A marker holds the parameters of its list, so that they need not be sent again. It is a convenience, not a secret:
 * what it brings is checked like any other request.
 */
export function makeMarker(kind: string, query: Query, after: readonly string[]): string {
  const { marker: _marker, pagination_token: _token, ...kept } = query;
  return Buffer.from(JSON.stringify({ kind, query: kept, after })).toString('base64url');
}

/** What a request asks for: by its marker when it brings one, else by its parameters. */
export function readAsked(request: Request, kind: string): Asked {
  const text: unknown = request.query['marker'] ?? request.query['pagination_token'];
  if (typeof text !== 'string' || text === '') return { query: request.query };
  try {
    const content = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown> | null;
    const { query, after } = content ?? {};
    const keys: readonly unknown[] = Array.isArray(after) ? after : [];
    const known = keys.length > 0 && keys.every((key) => typeof key === 'string');
    if (content?.['kind'] === kind && typeof query === 'object' && query !== null && known) {
      return { query: query as Query, after: keys };
    }
  } catch {
    // Refused below, like a marker of another list.
  }
  return refuse('marker', 'is not one that this list has given out');
}

/** A boolean in any of the spellings clients use. */
export function queryFlag(query: Query, name: string): boolean {
  return queryList(query, name).some((text) => /^(true|1|yes)$/i.test(text));
}
