// The comparison operators of Choice rules. Values of another type than the operator's compare as false; nothing is
// coerced. Each has a twin whose name ends in Path and whose right side is a reference.
import type { Json } from '../providers/contract.ts';
import { parseTimestamp } from './times.ts';

type Compare = (left: Json, right: Json) => boolean;

/** Kind of the right side, as the definition must have it. */
export type OperandKind = 'string' | 'number' | 'boolean' | 'timestamp';

export interface ComparisonOperator {
  readonly operand: OperandKind;
  readonly compare: Compare;
  /** May the right side be a reference (`…Path`)? */
  readonly byPath: boolean;
}

const ORDERS = {
  Equals: (difference: number) => difference === 0,
  LessThan: (difference: number) => difference < 0,
  GreaterThan: (difference: number) => difference > 0,
  LessThanEquals: (difference: number) => difference <= 0,
  GreaterThanEquals: (difference: number) => difference >= 0,
} as const;

/** By Unicode code units, the order of the language's own definition. */
function textDifference(left: Json, right: Json): number | null {
  if (typeof left !== 'string' || typeof right !== 'string') return null;
  return left === right ? 0 : left < right ? -1 : 1;
}

function numberDifference(left: Json, right: Json): number | null {
  return typeof left === 'number' && typeof right === 'number' ? left - right : null;
}

function timeDifference(left: Json, right: Json): number | null {
  const [a, b] = [left, right].map((value) => (typeof value === 'string' ? parseTimestamp(value) : null));
  return typeof a === 'number' && typeof b === 'number' ? a - b : null;
}

function family(
  prefix: string,
  operand: OperandKind,
  difference: (left: Json, right: Json) => number | null,
): [string, ComparisonOperator][] {
  return Object.entries(ORDERS).map(([order, holds]) => {
    const compare: Compare = (left, right) => {
      const found = difference(left, right);
      return found !== null && holds(found);
    };
    return [`${prefix}${order}`, { operand, compare, byPath: true }];
  });
}

/** Tokens of a pattern: literal characters, and null for `*`. `\*` and `\\` are literal. */
function patternTokens(pattern: string): (string | null)[] {
  const tokens: (string | null)[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const next = pattern[at + 1];
    if (pattern[at] === '\\' && (next === '*' || next === '\\')) {
      tokens.push(next);
      at += 1;
    } else tokens.push(pattern[at] === '*' ? null : (pattern[at] as string));
  }
  return tokens;
}

/**
 * Does the text match a pattern whose `*` stands for any characters? Greedy with one point to return to: at most
 * text × pattern steps, whatever the pattern.
 */
export function matchesWildcard(text: string, pattern: string): boolean {
  const tokens = patternTokens(pattern);
  let [at, token] = [0, 0];
  let [star, resume] = [-1, 0];
  while (at < text.length) {
    if (token < tokens.length && tokens[token] === text[at]) {
      at += 1;
      token += 1;
    } else if (token < tokens.length && tokens[token] === null) {
      star = token;
      resume = at;
      token += 1;
    } else if (star >= 0) {
      token = star + 1;
      resume += 1;
      at = resume;
    } else return false;
  }
  return tokens.slice(token).every((rest) => rest === null);
}

const matches: ComparisonOperator = {
  operand: 'string',
  compare: (left, right) =>
    typeof left === 'string' && typeof right === 'string' && matchesWildcard(left, right),
  byPath: false,
};

const sameBoolean: ComparisonOperator = {
  operand: 'boolean',
  compare: (left, right) => typeof left === 'boolean' && left === right,
  byPath: true,
};

export const COMPARISONS: Readonly<Record<string, ComparisonOperator>> = Object.fromEntries([
  ...family('String', 'string', textDifference),
  ['StringMatches', matches],
  ...family('Numeric', 'number', numberDifference),
  ['BooleanEquals', sameBoolean],
  ...family('Timestamp', 'timestamp', timeDifference),
]);

/** Tests of what a variable is. `undefined`: there is nothing at the reference. */
export const TYPE_TESTS: Readonly<Record<string, (value: Json | undefined) => boolean>> = {
  IsNull: (value) => value === null,
  IsPresent: (value) => value !== undefined,
  IsNumeric: (value) => typeof value === 'number',
  IsString: (value) => typeof value === 'string',
  IsBoolean: (value) => typeof value === 'boolean',
  IsTimestamp: (value) => typeof value === 'string' && parseTimestamp(value) !== null,
};
