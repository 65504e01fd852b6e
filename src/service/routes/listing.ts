// Query parameters that the lists of the Flows API share: comma lists, orders, time ranges, markers.
import type { Request } from 'express';
import type { Order } from '../../db/pages.ts';
import type { TimeRange } from '../../db/runs.ts';
import { Fault } from '../../errors.ts';

/** One or more of a parameter's values, from repeats and commas; empty ones count as absent. */
export function queryList(request: Request, name: string): readonly string[] {
  const given: unknown = request.query[name];
  const texts: readonly unknown[] = Array.isArray(given) ? given : [given];
  return texts
    .flatMap((text) => (typeof text === 'string' ? text.split(',') : []))
    .map((text) => text.trim())
    .filter((text) => text !== '');
}

function refuse(name: string, msg: string): never {
  throw new Fault('invalid_request', `1 validation error in query. ${name}: ${msg}`, {
    items: [{ loc: ['query', name], msg, type: 'value_error' }],
  });
}

/** Values that must be among known words; a word's plural is the word. */
export function queryWords<W extends string>(
  request: Request,
  name: string,
  known: readonly W[],
): readonly W[] {
  return queryList(request, name).map((text) => {
    const found = known.find((word) => word === text || `${word}s` === text);
    return found ?? refuse(name, `"${text}" is not one of ${known.join(', ')}`);
  });
}

/** `FIELD ASC|DESC`, several with commas or repeats. */
export function queryOrder<F extends string>(
  request: Request,
  known: readonly F[],
  otherwise: Order<F>,
): readonly Order<F>[] {
  const orders = queryList(request, 'orderby').map((text): Order<F> => {
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
  if (text.trim() === '') return null;
  const zoned = /(?:[zZ]|[+-]\d{2}:?\d{2})$/.test(text.trim()) ? text.trim() : `${text.trim()}Z`;
  const time = new Date(zoned);
  return Number.isNaN(time.getTime())
    ? refuse(name, `"${text}" is not a date and time such as 2026-01-31T08:00:00`)
    : time;
}

/** `FROM,TO`, half-open; either side may be empty; without a comma `FROM,`. No zone means UTC. */
export function queryRange(request: Request, name: string): TimeRange | undefined {
  const given: unknown = request.query[name];
  if (typeof given !== 'string' || given === '') return undefined;
  const [from = '', to = ''] = given.split(',');
  return { from: queryTime(name, from), to: queryTime(name, to) };
}

/** A marker holds everything about its list, so that the other parameters need not be sent again. */
export function makeMarker(content: object): string {
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/** The content of the marker a request brings; undefined when it brings none. Throws Fault invalid_request. */
export function readMarker<T extends object>(request: Request, kind: string): T | undefined {
  const text: unknown = request.query['marker'] ?? request.query['pagination_token'];
  if (typeof text !== 'string' || text === '') return undefined;
  try {
    const content: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (typeof content === 'object' && content !== null && 'kind' in content && content.kind === kind)
      return content as T;
  } catch {
    // Refused below, like a marker of another list.
  }
  return refuse('marker', 'is not one that this list has given out');
}

/** A boolean in any of the spellings clients use. */
export function queryFlag(request: Request, name: string): boolean {
  return queryList(request, name).some((text) => /^(true|1|yes)$/i.test(text));
}
