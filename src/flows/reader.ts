// Reads the fields of one state of a definition and collects what is wrong, so that an author sees every problem
// at once, each with the state and field it is in.
import type { FaultItem } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';
import { parseParameters, type Template } from './parameters.ts';
import { describe, isObject, parsePath, parseResultPath, PathError, type ReferencePath } from './paths.ts';

export type Loc = readonly (string | number)[];

/** Problems found in a definition, up to a number that a person can read. */
export interface Problems {
  readonly items: readonly FaultItem[];
  readonly add: (item: FaultItem) => void;
}

const MOST_PROBLEMS = 100;

export function makeProblems(): Problems {
  const items: FaultItem[] = [];
  return {
    items,
    add(item) {
      if (items.length < MOST_PROBLEMS) items.push(item);
    },
  };
}

/** The fields of one object of the definition. Every getter answers undefined for what is absent or wrong. */
export interface Reader {
  readonly loc: Loc;
  readonly raw: JsonObject;
  has(name: string): boolean;
  /** Refuses every field that is not listed. */
  only(what: string, fields: readonly string[]): void;
  /** Exactly one of the fields (or, when optional, at most one). */
  oneOf(fields: readonly string[], optional?: 'optional'): string | undefined;
  text(name: string, need?: 'required'): string | undefined;
  flag(name: string): boolean | undefined;
  whole(name: string, bounds: { readonly min: number; readonly max: number }): number | undefined;
  object(name: string, need?: 'required'): JsonObject | undefined;
  list(name: string, need?: 'required'): readonly Json[] | undefined;
  path(name: string): ReferencePath | undefined;
  resultPath(): ReferencePath | undefined;
  parameters(need?: 'required'): Template | undefined;
  problem(field: string | null, msg: string, type?: string): void;
  /** A reader of an object inside this one, at `path` below it. */
  inside(path: string | readonly (string | number)[], raw: JsonObject): Reader;
}

function nearest(word: string, words: readonly string[]): string {
  const found = words.find((known) => known.toLowerCase() === word.toLowerCase());
  return found === undefined ? '' : `; did you mean "${found}"?`;
}

export function makeReader(raw: JsonObject, loc: Loc, problems: Problems): Reader {
  const problem = (field: string | null, msg: string, type = 'value_error'): void =>
    problems.add({ loc: field === null ? loc : [...loc, field], msg, type });
  const get = (name: string): Json | undefined => (Object.hasOwn(raw, name) ? raw[name] : undefined);

  /** A field of one JSON type. */
  function typed<T extends Json>(
    name: string,
    need: 'required' | undefined,
    what: string,
    fits: (value: Json) => value is T,
  ): T | undefined {
    const value = get(name);
    if (value === undefined) {
      if (need === 'required') problem(name, 'field required', 'value_error.missing');
      return undefined;
    }
    if (fits(value)) return value;
    problem(name, `must be ${what}, not ${describe(value)}`, 'type_error');
    return undefined;
  }

  function parsed(name: string, parse: (text: string) => ReferencePath): ReferencePath | undefined {
    const text = typed(name, undefined, 'a reference in a string', (value) => typeof value === 'string');
    if (text === undefined) return undefined;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof PathError)) throw error;
      problem(name, error.message, 'InvalidAccessPath');
      return undefined;
    }
  }

  return {
    loc,
    raw,
    problem,
    inside: (path, inner) =>
      makeReader(inner, [...loc, ...(typeof path === 'string' ? [path] : path)], problems),
    has: (name) => Object.hasOwn(raw, name),
    only(what, fields) {
      for (const name of Object.keys(raw)) {
        if (fields.includes(name)) continue;
        const known = nearest(name, fields) || ` (its fields are ${fields.join(', ')})`;
        problem(name, `${what} has no field "${name}"${known}`, 'value_error.extra');
      }
    },
    oneOf(fields, optional) {
      const given = fields.filter((name) => Object.hasOwn(raw, name));
      if (given.length > 1) problem(null, `only one of ${given.join(' and ')} may be given`);
      if (given.length === 0 && optional === undefined)
        problem(null, `one of ${fields.join(', ')} is required`, 'value_error.missing');
      return given[0];
    },
    text: (name, need) => typed(name, need, 'a string', (value) => typeof value === 'string'),
    flag: (name) => typed(name, undefined, 'true or false', (value) => typeof value === 'boolean'),
    whole(name, { min, max }) {
      const value = typed(name, undefined, 'a whole number', (number) => typeof number === 'number');
      if (value === undefined) return undefined;
      if (Number.isInteger(value) && value >= min && value <= max) return value;
      problem(name, `must be a whole number from ${min} to ${max}`);
      return undefined;
    },
    object: (name, need) => typed(name, need, 'an object', isObject),
    list: (name, need) => typed(name, need, 'an array', (value) => Array.isArray(value)),
    path: (name) => parsed(name, parsePath),
    resultPath: () => parsed('ResultPath', parseResultPath),
    parameters(need) {
      const value = typed('Parameters', need, 'an object', isObject);
      return value === undefined ? undefined : parseParameters(value, [...loc, 'Parameters'], problems);
    },
  };
}
