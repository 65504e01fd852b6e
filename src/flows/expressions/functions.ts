// Functions an expression can call: those of the flow language, and Python's own that lists are worked with.
import { lookUp, parseDottedPath, PathError, type ReferencePath } from '../paths.ts';
import type { JsonObject } from '../../providers/contract.ts';
import { placed } from './methods.ts';
import { binary } from './operators.ts';
import { ExpressionError } from './syntax.ts';
import { floatOf, intOf, str } from './text.ts';
import {
  characters,
  compare,
  elementsOf,
  isDict,
  isFloat,
  isList,
  isTrue,
  makeFloat,
  makeInt,
  numberOf,
  typeName,
  type Meter,
  type Value,
} from './values.ts';

/** What functions may look at: the run state (with `_context`) and the meter. */
export interface FunctionContext {
  readonly root: JsonObject;
  readonly meter: Meter;
}

interface LanguageFunction {
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  readonly call: (args: readonly Value[], context: FunctionContext) => Value;
}

function text(value: Value | undefined, what: string): string {
  if (typeof value === 'string') return value;
  throw new ExpressionError(`${what} must be a string, not ${typeName(value ?? null)}`);
}

function whole(value: Value | undefined, what: string): number {
  const number = value === undefined ? null : numberOf(value);
  if (number === null || isFloat(value ?? null)) throw new ExpressionError(`${what} must be an integer`);
  return number;
}

function dotted(value: Value | undefined, what: string): ReferencePath {
  try {
    return parseDottedPath(text(value, `the path given to ${what}()`));
  } catch (error) {
    if (error instanceof PathError) throw new ExpressionError(`${what}(): ${error.message}`);
    throw error;
  }
}

/** [head, tail] at the last slash. The collection root `/~/` is never split. */
export function pathsplit(path: string): readonly [string, string] {
  const at = path.lastIndexOf('/') + 1;
  const [head, tail] = [path.slice(0, at), path.slice(at)];
  if (head === '/~/') return [head, tail];
  const trimmed = trimSlashes(head);
  return [trimmed === '' ? head : trimmed, tail];
}

function trimSlashes(head: string): string {
  let end = head.length;
  while (end > 0 && head[end - 1] === '/') end -= 1;
  return head.slice(0, end);
}

function length(value: Value): number {
  if (typeof value === 'string') return characters(value).length;
  if (isList(value)) return value.length;
  if (isDict(value)) return Object.keys(value).length;
  throw new ExpressionError(`len() does not work on ${typeName(value)}`);
}

function toInt(value: Value): Value {
  if (typeof value === 'string') return makeInt(intOf(value));
  const number = numberOf(value);
  if (number === null) throw new ExpressionError(`int() does not work on ${typeName(value)}`);
  return makeInt(Math.trunc(number));
}

function toFloat(value: Value): Value {
  if (typeof value === 'string') return makeFloat(floatOf(value));
  const number = numberOf(value);
  if (number === null) throw new ExpressionError(`float() does not work on ${typeName(value)}`);
  return makeFloat(number);
}

function extreme(name: string, args: readonly Value[], meter: Meter, sign: 1 | -1): Value {
  const items = args.length === 1 ? elementsOf(args[0] as Value, meter) : args;
  const [first, ...rest] = items;
  if (first === undefined) throw new ExpressionError(`${name}() of nothing`);
  return rest.reduce((best, item) => (compare(item, best, meter) * sign > 0 ? item : best), first);
}

function range(args: readonly Value[], meter: Meter): Value {
  const numbers = args.map((arg) => whole(arg, 'each argument of range()'));
  const [start = 0, stop = 0, step = 1] = numbers.length === 1 ? [0, numbers[0] as number, 1] : numbers;
  if (step === 0) throw new ExpressionError('the step of range() may not be 0');
  const size = Math.max(0, Math.ceil((stop - start) / step));
  meter.spend(size);
  return Array.from({ length: size }, (_, index) => start + index * step);
}

function zipped(lists: readonly Value[], meter: Meter): Value {
  const all = lists.map((list) => elementsOf(list, meter));
  const size = all.length === 0 ? 0 : Math.min(...all.map((list) => list.length));
  return Array.from({ length: size }, (_, index): Value => all.map((list) => list[index] as Value));
}

const one = { min: 1, max: 1 } as const;

const FUNCTIONS: Readonly<Record<string, LanguageFunction>> = {
  pathsplit: { ...one, call: ([path]) => pathsplit(text(path, 'the path given to pathsplit()')) },
  is_present: { ...one, call: ([path], { root }) => lookUp(root, dotted(path, 'is_present')) !== undefined },
  getattr: {
    min: 1,
    max: 2,
    names: ['path', 'default'],
    call: ([path, otherwise], { root }) => {
      const found = lookUp(root, dotted(path, 'getattr'));
      return found === undefined ? (otherwise ?? null) : found;
    },
  },
  len: { ...one, call: ([value]) => length(value as Value) },
  str: { ...one, call: ([value], { meter }) => str(value as Value, meter) },
  int: { ...one, call: ([value]) => toInt(value as Value) },
  float: { ...one, call: ([value]) => toFloat(value as Value) },
  bool: { ...one, call: ([value]) => isTrue(value as Value) },
  abs: {
    ...one,
    call: ([value]) => {
      const number = numberOf(value as Value);
      if (number === null) throw new ExpressionError(`abs() does not work on ${typeName(value as Value)}`);
      return isFloat(value as Value) ? makeFloat(Math.abs(number)) : makeInt(Math.abs(number));
    },
  },
  min: { min: 1, max: 100, call: (args, { meter }) => extreme('min', args, meter, -1) },
  max: { min: 1, max: 100, call: (args, { meter }) => extreme('max', args, meter, 1) },
  sum: {
    min: 1,
    max: 2,
    call: ([list, start], { meter }) =>
      elementsOf(list as Value, meter).reduce((total, item) => {
        if (typeof total === 'string')
          throw new ExpressionError("sum() does not join strings; use ''.join()");
        return binary('+', total, item, meter);
      }, start ?? 0),
  },
  any: { ...one, call: ([list], { meter }) => elementsOf(list as Value, meter).some(isTrue) },
  all: { ...one, call: ([list], { meter }) => elementsOf(list as Value, meter).every(isTrue) },
  sorted: {
    ...one,
    call: ([list], { meter }) => [...elementsOf(list as Value, meter)].sort((a, b) => compare(a, b, meter)),
  },
  list: { ...one, call: ([list], { meter }) => [...elementsOf(list as Value, meter)] },
  range: { min: 1, max: 3, call: (args, { meter }) => range(args, meter) },
  enumerate: {
    ...one,
    call: ([list], { meter }) => elementsOf(list as Value, meter).map((item, index): Value => [index, item]),
  },
  zip: { min: 0, max: 20, call: (args, { meter }) => zipped(args, meter) },
};

/** Calls a function of the language by name. */
export function callFunction(
  name: string,
  args: readonly Value[],
  named: readonly (readonly [string, Value])[],
  context: FunctionContext,
): Value {
  const found = isFunctionName(name) ? FUNCTIONS[name] : undefined;
  if (found === undefined) {
    throw new ExpressionError(
      `there is no function ${name}(); there are ${Object.keys(FUNCTIONS).join(', ')}`,
    );
  }
  return found.call(placed(name, found, args, named), context);
}

export function isFunctionName(name: string): boolean {
  return Object.hasOwn(FUNCTIONS, name);
}
