// What an expression computes with: JSON values, plus whole-valued floats, which JSON cannot tell from integers but
// Python's str() and division can. A JavaScript number with a fraction is a Python float, one without is an int.
import type { Json } from '../../providers/contract.ts';
import { isObject, setMember } from '../paths.ts';
import { ExpressionError, LIMITS } from './syntax.ts';

/** A Python float without a fraction, such as 2.0. */
export class WholeFloat {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export type Value = null | boolean | number | string | WholeFloat | readonly Value[] | Dict;
export type Dict = { readonly [key: string]: Value };

/** Counts the work of one evaluation; throws ExpressionError when there is too much of it. */
export interface Meter {
  spend(units: number): void;
}

export function makeMeter(limit: number = LIMITS.work): Meter {
  let left = limit;
  return {
    spend(units) {
      left -= units;
      if (left < 0)
        throw new ExpressionError('the expression does too much work; split it, or compute it in a function');
    },
  };
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

export function isDict(value: Value): value is Dict {
  return isObject(value) && !(value instanceof WholeFloat);
}

/** The number behind an int, float or bool (bools are ints in Python); null for anything else. */
export function numberOf(value: Value): number | null {
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  return value instanceof WholeFloat ? value.value : null;
}

export function isFloat(value: Value): boolean {
  return value instanceof WholeFloat || (typeof value === 'number' && !Number.isInteger(value));
}

export function makeFloat(value: number): Value {
  if (!Number.isFinite(value)) throw new ExpressionError('the result is too large for a number');
  return Number.isInteger(value) ? new WholeFloat(value) : value;
}

export function makeInt(value: number): Value {
  if (!Number.isSafeInteger(value)) throw new ExpressionError('the result is larger than 2**53 - 1');
  return value === 0 ? 0 : value;
}

/** Python's name of a value's type, for messages. */
export function typeName(value: Value): string {
  if (value === null) return 'None';
  if (typeof value === 'string') return 'a string';
  if (typeof value === 'boolean') return 'a boolean';
  if (isList(value)) return 'a list';
  if (isDict(value)) return 'an object';
  return isFloat(value) ? 'a float' : 'an integer';
}

export function isTrue(value: Value): boolean {
  if (value === null || typeof value === 'boolean') return value === true;
  if (typeof value === 'string' || isList(value)) return value.length > 0;
  const number = numberOf(value);
  return number === null ? Object.keys(value as Dict).length > 0 : number !== 0;
}

/** Python's `==`. */
export function equals(left: Value, right: Value, meter: Meter): boolean {
  meter.spend(1);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== null && b !== null) return a === b;
  if (isList(left) && isList(right)) {
    return (
      left.length === right.length && left.every((item, index) => equals(item, right[index] as Value, meter))
    );
  }
  if (isDict(left) && isDict(right)) {
    const keys = Object.keys(left);
    return (
      keys.length === Object.keys(right).length &&
      keys.every((key) => Object.hasOwn(right, key) && equals(left[key] as Value, right[key] as Value, meter))
    );
  }
  return left === right;
}

/** The characters of a string as Python counts them: code points. */
export function characters(text: string): readonly string[] {
  return /[\ud800-\udfff]/.test(text) ? Array.from(text) : text.split('');
}

export function compareText(left: string, right: string): number {
  const [a, b] = [characters(left), characters(right)];
  for (let index = 0; index < Math.min(a.length, b.length); index += 1) {
    const difference = (a[index]?.codePointAt(0) ?? 0) - (b[index]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Python's `<`: negative, zero or positive. Throws ExpressionError for values that have no order. */
export function compare(left: Value, right: Value, meter: Meter): number {
  meter.spend(1);
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== null && b !== null) return a - b;
  if (typeof left === 'string' && typeof right === 'string') {
    meter.spend(Math.min(left.length, right.length) >> 3);
    return compareText(left, right);
  }
  if (isList(left) && isList(right)) {
    for (let index = 0; index < Math.min(left.length, right.length); index += 1) {
      if (equals(left[index] as Value, right[index] as Value, meter)) continue;
      return compare(left[index] as Value, right[index] as Value, meter);
    }
    return left.length - right.length;
  }
  throw new ExpressionError(`${typeName(left)} and ${typeName(right)} have no order`);
}

/** The elements a `for` walks: list items, characters of a string, keys of an object. */
export function elementsOf(value: Value, meter: Meter): readonly Value[] {
  const elements = isList(value)
    ? value
    : typeof value === 'string'
      ? characters(value)
      : isDict(value)
        ? Object.keys(value)
        : null;
  if (elements === null) throw new ExpressionError(`${typeName(value)} cannot be iterated over`);
  meter.spend(elements.length);
  return elements;
}

/** A result as JSON. Bounded: a small value may hold one list many times over. */
export function toJson(value: Value, meter: Meter): Json {
  meter.spend(1);
  if (value instanceof WholeFloat) return value.value;
  if (typeof value === 'string') {
    meter.spend(value.length >> 3);
    return value;
  }
  if (isList(value)) return value.map((item) => toJson(item, meter));
  if (!isDict(value)) return value;
  const object: Record<string, Json> = {};
  for (const key of Object.keys(value)) setMember(object, key, toJson(value[key] as Value, meter));
  return object;
}
