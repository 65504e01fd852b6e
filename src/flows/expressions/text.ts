// Python's str() and repr(): how values read as text.
import { ExpressionError } from './syntax.ts';
import { isDict, isFloat, isList, type Meter, type Value, WholeFloat } from './values.ts';

/** Python's shortest text of a float: 1.0, 0.1, 1e+16, 1e-05. */
export function floatText(value: number): string {
  if (Object.is(value, -0)) return '-0.0';
  const [mantissa = '', exponentText = '0'] = value.toExponential().split('e');
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? '-' : '+';
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  const negative = mantissa.startsWith('-');
  const digits = mantissa.replace(/[-.]/g, '');
  const padded = exponent < 0 ? '0'.repeat(-exponent) + digits : digits.padEnd(exponent + 1, '0');
  const whole = exponent < 0 ? 1 : exponent + 1;
  return `${negative ? '-' : ''}${padded.slice(0, whole)}.${padded.slice(whole) || '0'}`;
}

const NAMED_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
};

function escaped(character: string, quote: string): string {
  const named = NAMED_ESCAPES[character];
  if (named !== undefined) return named;
  if (character === quote) return `\\${quote}`;
  if (character === ' ' || !/[\p{C}\p{Z}]/u.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x1_0000
    ? `\\u${code.toString(16).padStart(4, '0')}`
    : `\\U${code.toString(16).padStart(8, '0')}`;
}

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  return quote + Array.from(text, (character) => escaped(character, quote)).join('') + quote;
}

/** Python's repr(). */
export function repr(value: Value, meter: Meter): string {
  meter.spend(1);
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') {
    meter.spend(value.length >> 2);
    return quoted(value);
  }
  if (value instanceof WholeFloat) return floatText(value.value);
  if (typeof value === 'number') return isFloat(value) ? floatText(value) : String(value);
  const parts = isList(value)
    ? value.map((item) => repr(item, meter))
    : Object.entries(value).map(([key, item]) => `${repr(key, meter)}: ${repr(item, meter)}`);
  const inside = parts.join(', ');
  meter.spend(inside.length >> 3);
  return isDict(value) ? `{${inside}}` : `[${inside}]`;
}

/** Python's str(). */
export function str(value: Value, meter: Meter): string {
  return typeof value === 'string' ? value : repr(value, meter);
}

/** Python's int() of a text. */
export function intOf(text: string): number {
  const digits = text.trim();
  if (!/^[+-]?\d(?:_?\d)*$/.test(digits))
    throw new ExpressionError(`int() cannot read ${JSON.stringify(text.slice(0, 40))}`);
  return Number(digits.replaceAll('_', ''));
}

/** Python's float() of a text; infinities and NaN have no place in JSON and are refused. */
export function floatOf(text: string): number {
  const digits = text.trim();
  if (!/^[+-]?(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d+)?$/.test(digits)) {
    throw new ExpressionError(`float() cannot read ${JSON.stringify(text.slice(0, 40))}`);
  }
  return Number(digits.replaceAll('_', ''));
}
