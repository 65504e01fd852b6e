// Cuts an expression into tokens. Every pattern is anchored and linear.
import { ExpressionError, LIMITS } from './syntax.ts';

export type TokenKind = 'name' | 'int' | 'float' | 'string' | 'path' | 'operator' | 'end';

export interface Token {
  readonly kind: TokenKind;
  /** Names and operators as written, strings decoded, paths without their backquotes. */
  readonly text: string;
  /** Offset in the expression, from 0. */
  readonly at: number;
}

const SPACE = /[ \t\r\n\f]+/y;
const NAME = /[\p{L}_][\p{L}\p{N}_]*/uy;
const NUMBER = /0[xX][\da-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d[\d_]*)?\.?\d[\d_]*\.?(?:[eE][+-]?\d+)?/y;
const OPERATOR = /\*\*|\/\/|==|!=|<=|>=|[-+*/%<>()[\]{},.:=]/y;

function match(pattern: RegExp, text: string, at: number): string | null {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0] ?? null;
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\u0007',
  b: '\b',
  f: '\f',
  v: '\v',
  '\n': '',
};
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** One backslash escape at `at` (the backslash): what it stands for and how long it is. */
function readEscape(text: string, at: number): { value: string; length: number } {
  const letter = text[at + 1] ?? '';
  const simple = SIMPLE_ESCAPES[letter];
  if (simple !== undefined) return { value: simple, length: 2 };
  const digits = HEX_ESCAPES[letter];
  if (digits !== undefined) {
    const hex = text.slice(at + 2, at + 2 + digits);
    if (hex.length === digits && /^[0-9a-fA-F]+$/.test(hex) && Number.parseInt(hex, 16) <= 0x10ffff) {
      return { value: String.fromCodePoint(Number.parseInt(hex, 16)), length: 2 + digits };
    }
    throw new ExpressionError(`bad \\${letter} escape in the string at position ${at + 1}`);
  }
  const octal = /^[0-7]{1,3}/.exec(text.slice(at + 1, at + 4))?.[0];
  if (octal !== undefined) {
    return { value: String.fromCodePoint(Number.parseInt(octal, 8)), length: 1 + octal.length };
  }
  // Python keeps the backslash of an escape it does not know.
  return { value: `\\${letter}`, length: 1 + letter.length };
}

/** A quoted string that begins at `at`: its value and where it ends. */
function readString(text: string, at: number): { value: string; end: number } {
  const quote = text[at] ?? '';
  const mark = text.startsWith(quote.repeat(3), at) ? quote.repeat(3) : quote;
  let value = '';
  let here = at + mark.length;
  while (here < text.length) {
    if (text.startsWith(mark, here)) return { value, end: here + mark.length };
    if (text[here] === '\\') {
      const escape = readEscape(text, here);
      value += escape.value;
      here += escape.length;
      continue;
    }
    value += text[here];
    here += 1;
  }
  throw new ExpressionError(`the string that begins at position ${at + 1} has no end`);
}

function readNumber(text: string, raw: string, at: number): Token {
  const next = text[at + raw.length] ?? '';
  const clean = raw.replaceAll('_', '');
  if (/[\p{L}_]/u.test(next) || /__|_$|_\.|\._|_[eE]/.test(raw) || /\..*\./.test(raw)) {
    throw new ExpressionError(`bad number at position ${at + 1}`);
  }
  const float = !/^0[xXoObB]/.test(clean) && /[.eE]/.test(clean);
  if (!float && /^0\d*[1-9]/.test(clean)) {
    throw new ExpressionError(`a number may not begin with 0 (position ${at + 1})`);
  }
  return { kind: float ? 'float' : 'int', text: clean, at };
}

function readToken(text: string, at: number): { token: Token; end: number } {
  const first = text[at] ?? '';
  if (first === "'" || first === '"') {
    const { value, end } = readString(text, at);
    return { token: { kind: 'string', text: value, at }, end };
  }
  if (first === '`') {
    const end = text.indexOf('`', at + 1);
    if (end < 0) throw new ExpressionError(`the path that begins at position ${at + 1} has no closing \``);
    return { token: { kind: 'path', text: text.slice(at + 1, end), at }, end: end + 1 };
  }
  const number = match(NUMBER, text, at);
  if (number !== null) return { token: readNumber(text, number, at), end: at + number.length };
  const name = match(NAME, text, at);
  if (name !== null) return { token: { kind: 'name', text: name, at }, end: at + name.length };
  const operator = match(OPERATOR, text, at);
  if (operator !== null)
    return { token: { kind: 'operator', text: operator, at }, end: at + operator.length };
  throw new ExpressionError(`unexpected character ${JSON.stringify(first)} at position ${at + 1}`);
}

/** All tokens of an expression, ended by one of kind `end`. Throws ExpressionError. */
export function readTokens(text: string): readonly Token[] {
  if (text.length > LIMITS.text) {
    throw new ExpressionError(
      `an expression may have ${LIMITS.text} characters; this one has ${text.length}`,
    );
  }
  const tokens: Token[] = [];
  let here = 0;
  for (;;) {
    here += match(SPACE, text, here)?.length ?? 0;
    if (here >= text.length) break;
    const { token, end } = readToken(text, here);
    tokens.push(token);
    here = end;
  }
  tokens.push({ kind: 'end', text: '', at: text.length });
  return tokens;
}
