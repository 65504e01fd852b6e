// References into the run state: `$.a.b[0]['k']`, as the flow language writes them in `.$` parameters, InputPath,
// ResultPath and Choice rules, and without the `$` in is_present() and getattr(). Wildcards, filters and `..` have
// no agreed meaning in the language and are refused.
import type { Json, JsonObject } from '../providers/contract.ts';

export type Segment =
  | { readonly kind: 'key'; readonly key: string }
  | { readonly kind: 'index'; readonly index: number }
  | {
      readonly kind: 'slice';
      readonly start: number | null;
      readonly stop: number | null;
      readonly step: number;
    };

/** A parsed reference; no segments: the whole state. */
export interface ReferencePath {
  readonly text: string;
  readonly segments: readonly Segment[];
}

/** A place reached by keys and indexes only. */
export type Keys = readonly (string | number)[];

/** What is wrong with a reference, or with following it. */
export class PathError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'PathError';
  }
}

const LONGEST_PATH = 2_048;
const SLICE = /^\s*(-?\d{1,9})?\s*:\s*(-?\d{1,9})?\s*(?::\s*(-?\d{1,9})?\s*)?$/;
const INDEX = /^\s*(-?\d{1,9})\s*$/;
const PLAIN_NAME = /[^.[\]]+/y;

/** The key inside `['…']` or `["…"]` that begins at `at` (the bracket), and where the bracket ends. */
function readQuotedKey(text: string, at: number): { key: string; end: number } {
  const quote = text[at + 1] ?? '';
  let key = '';
  let here = at + 2;
  while (here < text.length && text[here] !== quote) {
    if (text[here] === '\\' && here + 1 < text.length) here += 1;
    key += text[here];
    here += 1;
  }
  if (text[here + 1] !== ']') throw new PathError(`in "${text}": ${quote}${key} has no closing ${quote}]`);
  return { key, end: here + 2 };
}

function readBracket(text: string, at: number): { segment: Segment; end: number } {
  const next = text[at + 1];
  if (next === "'" || next === '"') {
    const { key, end } = readQuotedKey(text, at);
    return { segment: { kind: 'key', key }, end };
  }
  const close = text.indexOf(']', at);
  if (close < 0) throw new PathError(`in "${text}": a [ has no closing ]`);
  const inside = text.slice(at + 1, close);
  const index = INDEX.exec(inside);
  if (index !== null) return { segment: { kind: 'index', index: Number(index[1]) }, end: close + 1 };
  const slice = SLICE.exec(inside);
  if (slice === null) {
    throw new PathError(
      `in "${text}": [${inside}] is not an index, a slice or a quoted name (wildcards and filters are not part of the language)`,
    );
  }
  const step = slice[3] === undefined ? 1 : Number(slice[3]);
  if (step === 0) throw new PathError(`in "${text}": the step of a slice may not be 0`);
  const bound = (digits: string | undefined): number | null => (digits === undefined ? null : Number(digits));
  return { segment: { kind: 'slice', start: bound(slice[1]), stop: bound(slice[2]), step }, end: close + 1 };
}

function readSegments(text: string, from: number, bareStart: boolean): Segment[] {
  const segments: Segment[] = [];
  let here = from;
  while (here < text.length) {
    if (segments.at(-1)?.kind === 'slice') throw new PathError(`in "${text}": nothing may follow a slice`);
    if (text[here] === '[') {
      const { segment, end } = readBracket(text, here);
      segments.push(segment);
      here = end;
      continue;
    }
    const bare = bareStart && here === from;
    if (!bare && text[here] !== '.')
      throw new PathError(`in "${text}": a . or [ is expected before "${text.slice(here)}"`);
    PLAIN_NAME.lastIndex = bare ? here : here + 1;
    const name = PLAIN_NAME.exec(text)?.[0];
    if (name === undefined || name === '*')
      throw new PathError(`in "${text}": a name is expected after the dot`);
    segments.push({ kind: 'key', key: name });
    here = PLAIN_NAME.lastIndex;
  }
  return segments;
}

/** Parses `$`, `$.` or `$.a.b[0]`. Throws PathError. */
export function parsePath(text: string): ReferencePath {
  if (text.length > LONGEST_PATH) throw new PathError(`a reference may have ${LONGEST_PATH} characters`);
  if (!text.startsWith('$')) throw new PathError(`"${text}" is not a reference: it must begin with $.`);
  if (text === '$' || text === '$.') return { text: '$', segments: [] };
  return { text, segments: readSegments(text, 1, false) };
}

/** Parses the `$`-less form `a.b[0]` that is_present() and getattr() take. Throws PathError. */
export function parseDottedPath(text: string): ReferencePath {
  if (text === '' || text.length > LONGEST_PATH)
    throw new PathError(`${JSON.stringify(text.slice(0, 80))} is not a dotted path`);
  return text.startsWith('$') ? parsePath(text) : { text, segments: readSegments(text, 0, true) };
}

/** Parses a place to write a result: keys and indexes, not inside `_context`. Throws PathError. */
export function parseResultPath(text: string): ReferencePath {
  const path = parsePath(text);
  if (path.segments.some((segment) => segment.kind === 'slice')) {
    throw new PathError(`"${text}" is not one place: a slice cannot be written to`);
  }
  const first = path.segments[0];
  if (first !== undefined && first.kind !== 'key')
    throw new PathError(`"${text}": the run state is an object, not an array`);
  if (first?.kind === 'key' && first.key === '_context') throw new PathError('$._context is read-only');
  return path;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Python's slice bounds for a sequence of `length`: the indexes it selects, in order. */
export function sliceIndexes(
  length: number,
  start: number | null,
  stop: number | null,
  step: number,
): number[] {
  const clamp = (value: number, low: number, high: number): number =>
    Math.min(Math.max(value < 0 ? value + length : value, low), high);
  const up = step > 0;
  const first = start === null ? (up ? 0 : length - 1) : clamp(start, up ? 0 : -1, up ? length : length - 1);
  const last = stop === null ? (up ? length : -1) : clamp(stop, up ? 0 : -1, up ? length : length - 1);
  const indexes: number[] = [];
  for (let index = first; up ? index < last : index > last; index += step) indexes.push(index);
  return indexes;
}

function follow(value: Json, segment: Segment): Json | undefined {
  if (segment.kind === 'key') {
    return isObject(value) && Object.hasOwn(value, segment.key) ? value[segment.key] : undefined;
  }
  if (!Array.isArray(value)) return undefined;
  const list = value as readonly Json[];
  if (segment.kind === 'index') return list.at(segment.index);
  return sliceIndexes(list.length, segment.start, segment.stop, segment.step).map(
    (index) => list[index] as Json,
  );
}

/** The value at a reference, or undefined when there is nothing. */
export function lookUp(root: JsonObject, path: ReferencePath): Json | undefined {
  let value: Json | undefined = root;
  for (const segment of path.segments) {
    if (value === undefined) return undefined;
    value = follow(value, segment);
  }
  return value;
}

/** The value at a reference; a PathError that says how far the state goes when there is nothing. */
export function resolve(root: JsonObject, path: ReferencePath): Json {
  let value: Json = root;
  let walked = '$';
  for (const segment of path.segments) {
    const next = follow(value, segment);
    if (next === undefined)
      throw new PathError(`nothing at ${path.text}: ${missing(value, segment, walked)}`);
    value = next;
    walked +=
      segment.kind === 'key' ? `.${segment.key}` : segment.kind === 'index' ? `[${segment.index}]` : '[:]';
  }
  return value;
}

function missing(value: Json, segment: Segment, walked: string): string {
  if (segment.kind === 'key') {
    return isObject(value)
      ? `${walked} has ${membersOf(value)}`
      : `${walked} is ${describe(value)}, not an object`;
  }
  return Array.isArray(value)
    ? `${walked} has ${value.length} elements`
    : `${walked} is ${describe(value)}, not an array`;
}

/** The names in an object, for a message. */
export function membersOf(value: object): string {
  const names = Object.keys(value);
  if (names.length === 0) return 'no members';
  const shown = names.slice(0, 12).join(', ');
  return `the members ${shown}${names.length > 12 ? `, … (${names.length} in all)` : ''}`;
}

/** What kind of JSON a value is, for a message. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** A copy of `object` with one member set. `__proto__` is a name like any other. */
export function withMember(object: JsonObject, key: string, value: Json): JsonObject {
  const copy: Record<string, Json> = { ...object };
  setMember(copy, key, value);
  return copy;
}

/** Sets a member; safe for `__proto__`, which plain assignment is not. */
export function setMember<T>(object: Record<string, T>, key: string, value: T): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else object[key] = value;
}

function writeAt(target: Json | undefined, path: ReferencePath, depth: number, value: Json): Json {
  const segment = path.segments[depth];
  if (segment === undefined) return value;
  if (segment.kind === 'key') {
    if (target !== undefined && !isObject(target)) {
      throw new PathError(
        `cannot write to ${path.text}: there is ${describe(target)} on the way where an object is needed`,
      );
    }
    const inner =
      target !== undefined && Object.hasOwn(target, segment.key) ? target[segment.key] : undefined;
    return withMember(target ?? {}, segment.key, writeAt(inner, path, depth + 1, value));
  }
  if (!Array.isArray(target) || segment.kind === 'slice') {
    throw new PathError(`cannot write to ${path.text}: there is no array where an index is used`);
  }
  const list = [...(target as readonly Json[])];
  const index = segment.index < 0 ? segment.index + list.length : segment.index;
  if (index < 0 || index >= list.length)
    throw new PathError(`cannot write to ${path.text}: the array has ${list.length} elements`);
  list[index] = writeAt(list[index], path, depth + 1, value);
  return list;
}

/** The state with `value` at `path`; missing objects on the way are made. Throws PathError. */
export function write(root: JsonObject, path: ReferencePath, value: Json): JsonObject {
  const written = writeAt(root, path, 0, value);
  if (!isObject(written))
    throw new PathError(`the run state must stay an object; it cannot be replaced by ${describe(written)}`);
  return written;
}

/** The keys of a place to write, for marking what lies there as private. */
export function keysOf(path: ReferencePath): Keys {
  const keys: (string | number)[] = [];
  for (const segment of path.segments) {
    if (segment.kind === 'key') keys.push(segment.key);
    else if (segment.kind === 'index') keys.push(segment.index);
  }
  return keys;
}

/** The state with the virtual, read-only `_context` in it: readable by name, but in no listing of members. */
export function withContext(data: JsonObject, context: JsonObject): JsonObject {
  return Object.defineProperty({ ...data }, '_context', { value: context, enumerable: false });
}
