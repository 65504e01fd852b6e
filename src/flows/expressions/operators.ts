// Python's operators on values: arithmetic, membership, subscripts. Nothing is coerced: 'a' + 1 is an error.
import { sliceIndexes, membersOf } from '../paths.ts';
import { ExpressionError, type BinaryOperator, type Comparison, type UnaryOperator } from './syntax.ts';
import {
  characters,
  compare,
  equals,
  isDict,
  isFloat,
  isList,
  makeFloat,
  makeInt,
  numberOf,
  typeName,
  type Meter,
  type Value,
} from './values.ts';

function unsupported(operator: string, left: Value, right: Value): ExpressionError {
  return new ExpressionError(`"${operator}" does not work on ${typeName(left)} and ${typeName(right)}`);
}

/** Whole powers by multiplication: Math.pow may be off in the last digit. */
function wholePower(base: number, exponent: number): number {
  if (Math.abs(base) < 2) return base === -1 && exponent % 2 === 0 ? 1 : exponent === 0 ? 1 : base;
  let result = 1;
  for (let times = 0; times < exponent && Number.isSafeInteger(result); times += 1) result *= base;
  return result;
}

function power(a: number, b: number, float: boolean): Value {
  if (a === 0 && b < 0) throw new ExpressionError('0 cannot be raised to a negative power');
  if (a < 0 && !Number.isInteger(b))
    throw new ExpressionError('a root of a negative number is not a real number');
  return float || b < 0 ? makeFloat(a ** b) : makeInt(wholePower(a, b));
}

/** Python's floored division: the remainder has the sign of the divisor, and a = quotient * b + rest. */
function divide(a: number, b: number): { quotient: number; rest: number } {
  let rest = a % b;
  let quotient = (a - rest) / b;
  if (rest === 0) rest = b < 0 ? -0 : 0;
  else if (rest < 0 !== b < 0) {
    rest += b;
    quotient -= 1;
  }
  if (quotient === 0) return { quotient: a / b < 0 || Object.is(a / b, -0) ? -0 : 0, rest };
  const whole = Math.floor(quotient);
  return { quotient: quotient - whole > 0.5 ? whole + 1 : whole, rest };
}

function arithmetic(operator: BinaryOperator, a: number, b: number, float: boolean): Value {
  if ((operator === '/' || operator === '//' || operator === '%') && b === 0) {
    throw new ExpressionError('division by zero');
  }
  switch (operator) {
    case '+':
      return float ? makeFloat(a + b) : makeInt(a + b);
    case '-':
      return float ? makeFloat(a - b) : makeInt(a - b);
    case '*':
      return float ? makeFloat(a * b) : makeInt(a * b);
    case '/':
      return makeFloat(a / b);
    case '//':
      return float ? makeFloat(divide(a, b).quotient) : makeInt(divide(a, b).quotient);
    case '%':
      return float ? makeFloat(divide(a, b).rest) : makeInt(divide(a, b).rest);
    case '**':
      return power(a, b, float);
  }
}

function repeat(sequence: string | readonly Value[], times: number, meter: Meter): Value {
  const count = Math.max(0, times);
  meter.spend(sequence.length * count);
  if (typeof sequence === 'string') return sequence.repeat(count);
  return Array.from(
    { length: sequence.length * count },
    (_, index) => sequence[index % sequence.length] as Value,
  );
}

function sequenceTimes(left: Value, right: Value, meter: Meter): Value | null {
  for (const [sequence, times] of [
    [left, right],
    [right, left],
  ] as const) {
    if (typeof sequence !== 'string' && !isList(sequence)) continue;
    const count = numberOf(times);
    if (count !== null && !isFloat(times)) return repeat(sequence, count, meter);
  }
  return null;
}

export function binary(operator: BinaryOperator, left: Value, right: Value, meter: Meter): Value {
  const [a, b] = [numberOf(left), numberOf(right)];
  if (a !== null && b !== null) return arithmetic(operator, a, b, isFloat(left) || isFloat(right));
  if (operator === '+') {
    if (typeof left === 'string' && typeof right === 'string') {
      meter.spend((left.length + right.length) >> 3);
      return left + right;
    }
    if (isList(left) && isList(right)) {
      meter.spend(left.length + right.length);
      return [...left, ...right];
    }
  }
  const repeated = operator === '*' ? sequenceTimes(left, right, meter) : null;
  if (repeated === null) throw unsupported(operator, left, right);
  return repeated;
}

export function unary(operator: UnaryOperator, value: Value): Value {
  const number = numberOf(value);
  if (number === null) throw new ExpressionError(`"${operator}" does not work on ${typeName(value)}`);
  const signed = operator === '-' ? -number : number;
  return isFloat(value) ? makeFloat(signed) : makeInt(signed);
}

/** Python's `item in container`. */
export function contains(container: Value, item: Value, meter: Meter): boolean {
  if (typeof container === 'string') {
    if (typeof item !== 'string')
      throw new ExpressionError(`"in" a string needs a string, not ${typeName(item)}`);
    meter.spend(container.length >> 3);
    return container.includes(item);
  }
  if (isList(container)) return container.some((element) => equals(element, item, meter));
  if (isDict(container)) {
    if (isList(item) || isDict(item)) throw new ExpressionError(`${typeName(item)} cannot be a key`);
    return typeof item === 'string' && Object.hasOwn(container, item);
  }
  throw new ExpressionError(`"in" does not work on ${typeName(container)}`);
}

function identical(left: Value, right: Value): boolean {
  if (left === null || right === null || typeof left === 'boolean' || typeof right === 'boolean') {
    return left === right;
  }
  throw new ExpressionError('"is" compares with None, True or False only; use == for values');
}

export function compareBy(operator: Comparison, left: Value, right: Value, meter: Meter): boolean {
  switch (operator) {
    case '==':
      return equals(left, right, meter);
    case '!=':
      return !equals(left, right, meter);
    case '<':
      return compare(left, right, meter) < 0;
    case '<=':
      return compare(left, right, meter) <= 0;
    case '>':
      return compare(left, right, meter) > 0;
    case '>=':
      return compare(left, right, meter) >= 0;
    case 'in':
      return contains(right, left, meter);
    case 'not in':
      return !contains(right, left, meter);
    case 'is':
      return identical(left, right);
    case 'is not':
      return !identical(left, right);
  }
}

/** `of.name` for an object's member. */
export function member(of: Value, name: string): Value {
  if (!isDict(of)) throw new ExpressionError(`.${name}: ${typeName(of)} has no members`);
  if (!Object.hasOwn(of, name)) throw new ExpressionError(`.${name}: the object has ${membersOf(of)}`);
  return of[name] as Value;
}

function wholeIndex(index: Value): number {
  const at = numberOf(index);
  if (at === null || isFloat(index))
    throw new ExpressionError(`an index must be an integer, not ${typeName(index)}`);
  return at;
}

/** `of[index]`. */
export function subscript(of: Value, index: Value): Value {
  if (isDict(of)) {
    if (typeof index !== 'string')
      throw new ExpressionError(`an object's key must be a string, not ${typeName(index)}`);
    if (!Object.hasOwn(of, index)) throw new ExpressionError(`['${index}']: the object has ${membersOf(of)}`);
    return of[index] as Value;
  }
  const sequence = typeof of === 'string' ? characters(of) : isList(of) ? of : null;
  if (sequence === null) throw new ExpressionError(`${typeName(of)} cannot be indexed`);
  const found = sequence.at(wholeIndex(index));
  if (found === undefined) {
    throw new ExpressionError(
      `index ${wholeIndex(index)} is out of range: there are ${sequence.length} elements`,
    );
  }
  return found;
}

/** `of[start:stop:step]`; null stands for a bound that is not given. */
export function slice(of: Value, bounds: readonly [Value, Value, Value], meter: Meter): Value {
  const [start, stop, step] = bounds.map((bound) => (bound === null ? null : wholeIndex(bound)));
  if (step === 0) throw new ExpressionError('the step of a slice may not be 0');
  const sequence = typeof of === 'string' ? characters(of) : isList(of) ? of : null;
  if (sequence === null) throw new ExpressionError(`${typeName(of)} cannot be sliced`);
  meter.spend(sequence.length >> 2);
  const picked = sliceIndexes(sequence.length, start ?? null, stop ?? null, step ?? 1).map(
    (at) => sequence[at] as Value,
  );
  return typeof of === 'string' ? (picked as readonly string[]).join('') : picked;
}
