// Pages of a list by key: each page begins after the last row of the one before, so that rows that come or go in
// between neither repeat nor hide others.
import { Fault } from '../errors.ts';
import { sqlState, type Sql } from './connect.ts';

export interface Order<F extends string> {
  readonly field: F;
  readonly descending: boolean;
}

export interface PageQuery<F extends string> {
  readonly order: readonly Order<F>[];
  readonly limit: number;
  /** Where the page before ended: the `last` of its answer. */
  readonly after?: readonly string[];
}

export interface Page<R> {
  readonly rows: readonly R[];
  /** For the next page's `after`; absent on the last page. */
  readonly last?: readonly string[];
}

/** An expression that is never null, and its SQL type. */
export type OrderColumn = readonly [expression: string, type: string];

interface Listing<F extends string> {
  /** SELECT list and FROM, without the words. */
  readonly select: string;
  readonly from: string;
  readonly where: readonly string[];
  readonly values: readonly unknown[];
  readonly columns: Readonly<Record<F, OrderColumn>>;
  /** The unique column that ends every order. */
  readonly id: OrderColumn;
  readonly page: PageQuery<F>;
}

interface Key {
  readonly column: OrderColumn;
  readonly descending: boolean;
}

/** A text as a pattern for ILIKE that is found anywhere. */
export function likePattern(text: string): string {
  return `%${text.replace(/[\\%_]/g, '\\$&')}%`;
}

/** Rows after a key: a > x, or a = x and b > y, … with the key's values from parameter `from` on. */
function afterKey(keys: readonly Key[], from: number): string {
  const value = (place: number): string => `$${from + place}::${keys[place]?.column[1] ?? 'text'}`;
  const branches = keys.map(({ column, descending }, place) => {
    const equal = keys.slice(0, place).map((key, before) => `${key.column[0]} = ${value(before)}`);
    return [...equal, `${column[0]} ${descending ? '<' : '>'} ${value(place)}`].join(' AND ');
  });
  return `(${branches.map((branch) => `(${branch})`).join(' OR ')})`;
}

/** A key that is no value of its column comes from a marker that was tampered with. */
function markerFault(error: unknown, usable: boolean): unknown {
  if (!usable || sqlState(error)?.startsWith('22') !== true) return error;
  return new Fault('invalid_request', 'The marker is not one that this list has given out.', {
    cause: error,
  });
}

/** One page of a list. Throws Fault invalid_request for a key that is none of its rows'. */
export async function keysetPage<R extends object, F extends string>(
  sql: Sql,
  listing: Listing<F>,
): Promise<Page<R>> {
  const { page, columns, id } = listing;
  const keys: Key[] = page.order.map(({ field, descending }) => ({ column: columns[field], descending }));
  keys.push({ column: id, descending: keys[0]?.descending ?? false });
  const { after } = page;
  const usable = after !== undefined && after.length === keys.length;
  const where = usable ? [...listing.where, afterKey(keys, listing.values.length + 1)] : listing.where;
  const values = usable ? [...listing.values, ...after] : listing.values;
  const rows = await sql
    .query<R & { page_key: string[] }>(
      `SELECT ${listing.select}, ARRAY[${keys.map(({ column }) => `(${column[0]})::text`).join(', ')}] AS page_key
     FROM ${listing.from} WHERE ${where.join(' AND ')}
     ORDER BY ${keys.map(({ column, descending }) => `${column[0]}${descending ? ' DESC' : ''}`).join(', ')}
     LIMIT ${page.limit + 1}`,
      values,
    )
    .catch((error: unknown) => {
      throw markerFault(error, usable);
    });
  const shown = rows.slice(0, page.limit);
  const last = rows.length > page.limit ? shown.at(-1)?.page_key : undefined;
  return last === undefined ? { rows: shown } : { rows: shown, last };
}
