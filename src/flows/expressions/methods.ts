// Methods of strings and objects. Each row says how many arguments it takes and what it does with them.
import { ExpressionError } from './syntax.ts';
import {
  characters,
  elementsOf,
  isDict,
  isFloat,
  isList,
  numberOf,
  typeName,
  type Dict,
  type Meter,
  type Value,
} from './values.ts';

interface Method<T> {
  readonly min: number;
  readonly max: number;
  /** Names under which the arguments may also be given, by place. */
  readonly names?: readonly string[];
  readonly call: (self: T, args: readonly Value[], meter: Meter) => Value;
}

/** What Python's str.split() and str.strip() take for white space. */
const WHITE =
  '\t\n\u000b\f\r\u001c\u001d\u001e\u001f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000';

function text(value: Value | undefined, what: string): string {
  if (typeof value === 'string') return value;
  throw new ExpressionError(`${what} must be a string, not ${typeName(value ?? null)}`);
}

function count(value: Value | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  const number = numberOf(value);
  if (number === null || isFloat(value))
    throw new ExpressionError(`a count must be an integer, not ${typeName(value)}`);
  return number;
}

function stripped(self: string, args: readonly Value[], sides: { left: boolean; right: boolean }): string {
  const unwanted = new Set(
    characters(args[0] === undefined || args[0] === null ? WHITE : text(args[0], 'what to strip')),
  );
  const all = characters(self);
  let [from, to] = [0, all.length];
  while (sides.left && from < to && unwanted.has(all[from] ?? '')) from += 1;
  while (sides.right && to > from && unwanted.has(all[to - 1] ?? '')) to -= 1;
  return all.slice(from, to).join('');
}

/** Splits at a separator at most `most` times (-1: no limit), from the left. */
function splitAt(self: string, separator: string, most: number): string[] {
  if (separator === '') throw new ExpressionError('split() needs a separator that is not empty');
  const parts = self.split(separator);
  return most < 0 || parts.length <= most + 1
    ? parts
    : [...parts.slice(0, most), parts.slice(most).join(separator)];
}

/** The same from the right: overlapping separators are found from the right end, as Python does. */
function splitAtRight(self: string, separator: string, most: number): string[] {
  if (separator === '') throw new ExpressionError('rsplit() needs a separator that is not empty');
  const parts: string[] = [];
  let end = self.length;
  while (most < 0 || parts.length < most) {
    const at = end < separator.length ? -1 : self.lastIndexOf(separator, end - separator.length);
    if (at < 0) break;
    parts.unshift(self.slice(at + separator.length, end));
    end = at;
  }
  return [self.slice(0, end), ...parts];
}

/** Splits at runs of white space, dropping empty parts; what is left after `most` splits stays as it is. */
function splitWords(self: string, most: number): string[] {
  const words: string[] = [];
  let here = 0;
  for (;;) {
    while (here < self.length && WHITE.includes(self[here] ?? '')) here += 1;
    if (here >= self.length) return words;
    if (most >= 0 && words.length >= most) {
      words.push(self.slice(here));
      return words;
    }
    const from = here;
    while (here < self.length && !WHITE.includes(self[here] ?? '')) here += 1;
    words.push(self.slice(from, here));
  }
}

function splitWordsRight(self: string, most: number): string[] {
  const reversed = (part: string): string => [...characters(part)].reverse().join('');
  return splitWords(reversed(self), most).map(reversed).reverse();
}

function replaced(self: string, args: readonly Value[], meter: Meter): string {
  const [from, to] = [text(args[0], 'what to replace'), text(args[1], 'the replacement')];
  const most = count(args[2], -1);
  if (from === '') {
    const all = characters(self);
    const places = most < 0 ? all.length + 1 : Math.min(most, all.length + 1);
    meter.spend(self.length + (to.length * places) / 8);
    const joined = all.map((character, index) => (index < places ? to : '') + character).join('');
    return places > all.length ? joined + to : joined;
  }
  const parts = splitAt(self, from, most);
  meter.spend(parts.length + (to.length * parts.length) / 8);
  return parts.join(to);
}

function joined(self: string, args: readonly Value[], meter: Meter): string {
  const parts = elementsOf(args[0] ?? null, meter);
  const texts = parts.map((part) => text(part, 'each element that join() joins'));
  meter.spend(texts.reduce((sum, part) => sum + self.length + part.length, 0) / 8);
  return texts.join(self);
}

/** [before, separator, after] at the first or last separator. */
function parted(self: string, args: readonly Value[], last: boolean): Value {
  const separator = text(args[0], 'the separator');
  if (separator === '') throw new ExpressionError('partition() needs a separator that is not empty');
  const at = last ? self.lastIndexOf(separator) : self.indexOf(separator);
  if (at < 0) return last ? ['', '', self] : [self, '', ''];
  return [self.slice(0, at), separator, self.slice(at + separator.length)];
}

function begins(self: string, args: readonly Value[], end: boolean): boolean {
  const wanted = text(args[0], 'what to look for');
  return end ? self.endsWith(wanted) : self.startsWith(wanted);
}

const STRING_METHODS: Readonly<Record<string, Method<string>>> = {
  strip: { min: 0, max: 1, call: (self, args) => stripped(self, args, { left: true, right: true }) },
  lstrip: { min: 0, max: 1, call: (self, args) => stripped(self, args, { left: true, right: false }) },
  rstrip: { min: 0, max: 1, call: (self, args) => stripped(self, args, { left: false, right: true }) },
  split: {
    min: 0,
    max: 2,
    names: ['sep', 'maxsplit'],
    call: (self, args) =>
      args[0] === undefined || args[0] === null
        ? splitWords(self, count(args[1], -1))
        : splitAt(self, text(args[0], 'the separator'), count(args[1], -1)),
  },
  rsplit: {
    min: 0,
    max: 2,
    names: ['sep', 'maxsplit'],
    call: (self, args) =>
      args[0] === undefined || args[0] === null
        ? splitWordsRight(self, count(args[1], -1))
        : splitAtRight(self, text(args[0], 'the separator'), count(args[1], -1)),
  },
  partition: { min: 1, max: 1, call: (self, args) => parted(self, args, false) },
  rpartition: { min: 1, max: 1, call: (self, args) => parted(self, args, true) },
  startswith: { min: 1, max: 1, call: (self, args) => begins(self, args, false) },
  endswith: { min: 1, max: 1, call: (self, args) => begins(self, args, true) },
  lower: { min: 0, max: 0, call: (self) => self.toLowerCase() },
  upper: { min: 0, max: 0, call: (self) => self.toUpperCase() },
  replace: { min: 2, max: 3, names: ['old', 'new', 'count'], call: replaced },
  join: { min: 1, max: 1, call: joined },
};

const DICT_METHODS: Readonly<Record<string, Method<Dict>>> = {
  get: {
    min: 1,
    max: 2,
    call: (self, args) => {
      const key = text(args[0], 'a key');
      return Object.hasOwn(self, key) ? (self[key] as Value) : (args[1] ?? null);
    },
  },
  keys: { min: 0, max: 0, call: (self) => Object.keys(self) },
  values: { min: 0, max: 0, call: (self) => Object.values(self) },
  items: { min: 0, max: 0, call: (self) => Object.entries(self).map(([key, value]): Value => [key, value]) },
};

/** Arguments by place, the named ones put where they belong. */
export function placed(
  what: string,
  shape: { readonly min: number; readonly max: number; readonly names?: readonly string[] },
  args: readonly Value[],
  named: readonly (readonly [string, Value])[],
): readonly Value[] {
  const all: (Value | undefined)[] = [...args];
  for (const [name, value] of named) {
    const place = shape.names?.indexOf(name) ?? -1;
    if (place < 0 || all[place] !== undefined)
      throw new ExpressionError(`${what}() takes no argument "${name}" here`);
    all[place] = value;
  }
  const missing = Array.from({ length: shape.min }, (_, place) => all[place]).includes(undefined);
  if (missing || all.length > shape.max) {
    const range = shape.min === shape.max ? String(shape.min) : `${shape.min} to ${shape.max}`;
    throw new ExpressionError(`${what}() takes ${range} arguments, not ${args.length + named.length}`);
  }
  return all as readonly Value[];
}

function pick<T>(methods: Readonly<Record<string, Method<T>>>, name: string, of: Value): Method<T> {
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method !== undefined) return method;
  throw new ExpressionError(
    `${typeName(of)} has no method ${name}(); it has ${Object.keys(methods).join(', ')}`,
  );
}

/** Calls `self.name(args)`. */
export function callMethod(
  self: Value,
  name: string,
  args: readonly Value[],
  named: readonly (readonly [string, Value])[],
  meter: Meter,
): Value {
  if (typeof self === 'string') {
    meter.spend(1 + (self.length >> 3));
    const method = pick(STRING_METHODS, name, self);
    const result = method.call(self, placed(name, method, args, named), meter);
    if (isList(result)) meter.spend(result.length);
    return result;
  }
  if (!isDict(self)) throw new ExpressionError(`${typeName(self)} has no method ${name}()`);
  meter.spend(1 + Object.keys(self).length);
  const method = pick(DICT_METHODS, name, self);
  return method.call(self, placed(name, method, args, named), meter);
}
