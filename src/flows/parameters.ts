// `Parameters`: an object of constants, references (`k.$`) and expressions (`k.=`), nested at will, some of it
// private. Parsed once with the flow; built at each visit of its state.
import type { FaultItem } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';
import { evaluateExpression } from './expressions/evaluate.ts';
import { parseExpressionText } from './expressions/parser.ts';
import { ExpressionError, type Expr } from './expressions/syntax.ts';
import { StateFailure } from './failures.ts';
import {
  isObject,
  parsePath,
  PathError,
  resolve,
  setMember,
  type Keys,
  type ReferencePath,
} from './paths.ts';

export const PRIVATE_LIST = '__Private_Parameters';
const DEEPEST = 50;

export type Template =
  | { readonly kind: 'constant'; readonly value: Json }
  | { readonly kind: 'reference'; readonly path: ReferencePath }
  | { readonly kind: 'expression'; readonly expr: Expr; readonly text: string }
  | { readonly kind: 'list'; readonly items: readonly Template[] }
  | {
      readonly kind: 'object';
      readonly members: readonly (readonly [string, Template])[];
      readonly hidden: readonly string[];
    };

/** Built parameters, and the places in them that nobody may be shown. */
export interface Built {
  readonly value: Json;
  readonly hidden: readonly Keys[];
}

type Loc = readonly (string | number)[];

interface Problems {
  readonly add: (item: FaultItem) => void;
}

/** `k.$` → k and what kind of value it has. */
export function splitKey(key: string): { name: string; kind: 'constant' | 'reference' | 'expression' } {
  if (key.endsWith('.$')) return { name: key.slice(0, -2), kind: 'reference' };
  return key.endsWith('.=')
    ? { name: key.slice(0, -2), kind: 'expression' }
    : { name: key, kind: 'constant' };
}

function parseComputed(
  kind: 'reference' | 'expression',
  value: Json,
  loc: Loc,
  problems: Problems,
): Template {
  const wrong = (msg: string): Template => {
    problems.add({ loc, msg, type: 'value_error' });
    return { kind: 'constant', value: null };
  };
  if (typeof value !== 'string') {
    return wrong(
      kind === 'reference'
        ? 'a ".$" parameter must be a reference such as "$.name"'
        : 'a ".=" parameter must be an expression in a string',
    );
  }
  try {
    return kind === 'reference'
      ? { kind, path: parsePath(value) }
      : { kind, expr: parseExpressionText(value), text: value };
  } catch (error) {
    if (error instanceof PathError || error instanceof ExpressionError) return wrong(error.message);
    throw error;
  }
}

function privateNames(
  value: Json | undefined,
  names: ReadonlySet<string>,
  loc: Loc,
  problems: Problems,
): string[] {
  if (value === undefined) return [];
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const found = list.map((name) => (typeof name === 'string' ? splitKey(name).name : ''));
  for (const [index, name] of found.entries()) {
    if (names.has(name)) continue;
    problems.add({
      loc: [...loc, PRIVATE_LIST, index],
      msg: 'names no parameter beside it',
      type: 'value_error',
    });
  }
  return found;
}

function parseMembers(raw: JsonObject, loc: Loc, problems: Problems, depth: number): Template {
  const members: (readonly [string, Template])[] = [];
  const names = new Set<string>();
  for (const [key, value] of Object.entries(raw)) {
    if (key === PRIVATE_LIST) continue;
    const { name, kind } = splitKey(key);
    const here = [...loc, key];
    if (names.has(name)) problems.add({ loc: here, msg: `"${name}" is given twice`, type: 'value_error' });
    names.add(name);
    const template =
      kind === 'constant'
        ? parseAny(value, here, problems, depth + 1)
        : parseComputed(kind, value, here, problems);
    members.push([name, template]);
  }
  const hidden = privateNames(raw[PRIVATE_LIST], names, loc, problems);
  const named = members.map(
    ([name, member]) => [name, hidden.includes(name) ? unquoted(member) : member] as const,
  );
  const constant = hidden.length === 0 && members.every(([, member]) => member.kind === 'constant');
  return constant ? { kind: 'constant', value: raw } : { kind: 'object', members: named, hidden };
}

/** A private parameter, whose expression no message may quote. */
function unquoted(template: Template): Template {
  return template.kind === 'expression' ? { ...template, text: '(private)' } : template;
}

function parseAny(raw: Json, loc: Loc, problems: Problems, depth: number): Template {
  if (depth > DEEPEST) {
    problems.add({ loc, msg: `nested deeper than ${DEEPEST} levels`, type: 'value_error' });
    return { kind: 'constant', value: null };
  }
  if (Array.isArray(raw)) {
    const items = (raw as readonly Json[]).map((item, index) =>
      parseAny(item, [...loc, index], problems, depth + 1),
    );
    return items.every((item) => item.kind === 'constant')
      ? { kind: 'constant', value: raw }
      : { kind: 'list', items };
  }
  return isObject(raw) ? parseMembers(raw, loc, problems, depth) : { kind: 'constant', value: raw };
}

/** Parses a Parameters object; what is wrong goes to `problems`. */
export function parseParameters(raw: JsonObject, loc: Loc, problems: Problems): Template {
  return parseMembers(raw, loc, problems, 0);
}

function computed(template: Template, root: JsonObject, place: string): Json {
  try {
    if (template.kind === 'reference') return resolve(root, template.path);
    return template.kind === 'expression' ? evaluateExpression(template.expr, root) : null;
  } catch (error) {
    if (error instanceof PathError) {
      throw new StateFailure('States.ParameterPathFailure', `Parameter "${place}": ${error.message}`);
    }
    if (error instanceof ExpressionError) {
      const text = template.kind === 'expression' ? template.text : '';
      throw new StateFailure('States.IntrinsicFailure', `Parameter "${place}" = ${text}: ${error.message}`);
    }
    throw error;
  }
}

function buildInto(template: Template, root: JsonObject, at: Keys, hidden: Keys[]): Json {
  switch (template.kind) {
    case 'constant':
      return template.value;
    case 'reference':
    case 'expression':
      return computed(template, root, at.join('.'));
    case 'list':
      return template.items.map((item, index) => buildInto(item, root, [...at, index], hidden));
    case 'object': {
      const object: Record<string, Json> = {};
      for (const [name, member] of template.members) {
        setMember(object, name, buildInto(member, root, [...at, name], hidden));
      }
      hidden.push(...template.hidden.map((name) => [...at, name]));
      return object;
    }
  }
}

/** Builds parameters over the state. Throws StateFailure naming the parameter that cannot be built. */
export function buildParameters(template: Template, root: JsonObject): Built {
  const hidden: Keys[] = [];
  return { value: buildInto(template, root, [], hidden), hidden };
}
