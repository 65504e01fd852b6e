// Turns an expression's text into a tree. Nesting is bounded, so that neither this parser nor the evaluator can
// exhaust the stack.
import { parsePath, PathError } from '../paths.ts';
import { readTokens, type Token } from './lexer.ts';
import {
  ExpressionError,
  LIMITS,
  type BinaryOperator,
  type Clause,
  type Comparison,
  type Expr,
} from './syntax.ts';

const RESERVED = new Set([
  'and',
  'or',
  'not',
  'if',
  'else',
  'for',
  'in',
  'is',
  'lambda',
  'True',
  'False',
  'None',
]);
const COMPARISONS = new Set(['==', '!=', '<', '<=', '>', '>=']);

interface Parser {
  readonly tokens: readonly Token[];
  at: number;
  /** Brackets and prefix operators open at this point. */
  nesting: number;
}

function peek(parser: Parser, ahead = 0): Token {
  return parser.tokens[Math.min(parser.at + ahead, parser.tokens.length - 1)] as Token;
}

function is(token: Token, text: string): boolean {
  return (token.kind === 'operator' || token.kind === 'name') && token.text === text;
}

function take(parser: Parser): Token {
  const token = peek(parser);
  parser.at += 1;
  return token;
}

function accept(parser: Parser, text: string): boolean {
  if (!is(peek(parser), text)) return false;
  parser.at += 1;
  return true;
}

function unexpected(token: Token, wanted: string): ExpressionError {
  const found = token.kind === 'end' ? 'the expression ends' : `there is ${JSON.stringify(token.text)}`;
  return new ExpressionError(`${wanted} is expected at position ${token.at + 1}, but ${found}`);
}

function expect(parser: Parser, text: string): void {
  if (!accept(parser, text)) throw unexpected(peek(parser), `"${text}"`);
}

function nested<T>(parser: Parser, work: () => T): T {
  parser.nesting += 1;
  if (parser.nesting > LIMITS.nesting) {
    throw new ExpressionError(`the expression nests deeper than ${LIMITS.nesting} levels`);
  }
  const result = work();
  parser.nesting -= 1;
  return result;
}

/** `then if test else otherwise`; the otherwise may be another conditional. */
function parseExpression(parser: Parser): Expr {
  return nested(parser, () => {
    const then = parseOr(parser);
    if (!accept(parser, 'if')) return then;
    const test = parseOr(parser);
    expect(parser, 'else');
    return { kind: 'if', test, then, otherwise: parseExpression(parser) };
  });
}

function parseOr(parser: Parser): Expr {
  const first = parseAnd(parser);
  const items = [first];
  while (accept(parser, 'or')) items.push(parseAnd(parser));
  return items.length === 1 ? first : { kind: 'or', items };
}

function parseAnd(parser: Parser): Expr {
  const first = parseNot(parser);
  const items = [first];
  while (accept(parser, 'and')) items.push(parseNot(parser));
  return items.length === 1 ? first : { kind: 'and', items };
}

function parseNot(parser: Parser): Expr {
  if (!accept(parser, 'not')) return parseComparison(parser);
  return nested(parser, () => ({ kind: 'not', of: parseNot(parser) }));
}

function acceptComparison(parser: Parser): Comparison | null {
  const token = peek(parser);
  if (token.kind === 'operator' && COMPARISONS.has(token.text)) {
    parser.at += 1;
    return token.text as Comparison;
  }
  if (accept(parser, 'in')) return 'in';
  if (accept(parser, 'is')) return accept(parser, 'not') ? 'is not' : 'is';
  if (is(token, 'not') && is(peek(parser, 1), 'in')) {
    parser.at += 2;
    return 'not in';
  }
  return null;
}

function parseComparison(parser: Parser): Expr {
  const first = parseSum(parser);
  const rest: { operator: Comparison; right: Expr }[] = [];
  for (let operator = acceptComparison(parser); operator !== null; operator = acceptComparison(parser)) {
    rest.push({ operator, right: parseSum(parser) });
  }
  return rest.length === 0 ? first : { kind: 'compare', first, rest };
}

function parseChain(parser: Parser, operators: readonly string[], parseNext: (parser: Parser) => Expr): Expr {
  let left = parseNext(parser);
  for (
    let token = peek(parser);
    token.kind === 'operator' && operators.includes(token.text);
    token = peek(parser)
  ) {
    parser.at += 1;
    left = { kind: 'binary', operator: token.text as BinaryOperator, left, right: parseNext(parser) };
  }
  return left;
}

function parseSum(parser: Parser): Expr {
  return parseChain(parser, ['+', '-'], parseProduct);
}

function parseProduct(parser: Parser): Expr {
  return parseChain(parser, ['*', '/', '//', '%'], parseUnary);
}

function parseUnary(parser: Parser): Expr {
  const token = peek(parser);
  if (is(token, '-') || is(token, '+')) {
    parser.at += 1;
    return nested(parser, () => ({
      kind: 'unary',
      operator: token.text as '-' | '+',
      of: parseUnary(parser),
    }));
  }
  return parsePower(parser);
}

function parsePower(parser: Parser): Expr {
  const base = parsePostfix(parser);
  if (!accept(parser, '**')) return base;
  return nested(parser, () => ({ kind: 'binary', operator: '**', left: base, right: parseUnary(parser) }));
}

function parsePostfix(parser: Parser): Expr {
  let of = parsePrimary(parser);
  for (;;) {
    if (accept(parser, '.')) {
      const name = take(parser);
      if (name.kind !== 'name') throw unexpected(name, 'a name');
      of = is(peek(parser), '(')
        ? parseCall(parser, of, name.text)
        : { kind: 'attribute', of, name: name.text };
    } else if (accept(parser, '[')) of = parseSubscript(parser, of);
    else if (is(peek(parser), '(')) throw new ExpressionError('only functions and methods can be called');
    else return of;
  }
}

function parseSubscript(parser: Parser, of: Expr): Expr {
  const bound = (): Expr | null =>
    is(peek(parser), ':') || is(peek(parser), ']') ? null : parseExpression(parser);
  const start = bound();
  if (!accept(parser, ':')) {
    if (start === null) throw unexpected(peek(parser), 'an index');
    expect(parser, ']');
    return { kind: 'index', of, index: start };
  }
  const stop = bound();
  const step = accept(parser, ':') ? bound() : null;
  expect(parser, ']');
  return { kind: 'slice', of, start, stop, step };
}

function parseCall(parser: Parser, of: Expr | null, name: string): Expr {
  expect(parser, '(');
  const args: Expr[] = [];
  const named: (readonly [string, Expr])[] = [];
  while (!accept(parser, ')')) {
    if (peek(parser).kind === 'name' && is(peek(parser, 1), '=')) {
      const key = take(parser).text;
      parser.at += 1;
      named.push([key, parseExpression(parser)]);
    } else {
      if (named.length > 0)
        throw new ExpressionError(`in ${name}(): a positional argument follows a named one`);
      const element = parseExpression(parser);
      args.push(is(peek(parser), 'for') ? parseClauses(parser, element) : element);
    }
    if (!is(peek(parser), ')')) expect(parser, ',');
  }
  return { kind: 'call', of, name, args, named };
}

function parseTargets(parser: Parser): string[] {
  const bracketed = accept(parser, '(');
  const targets: string[] = [];
  do {
    if (bracketed && is(peek(parser), ')')) break;
    const token = take(parser);
    if (token.kind !== 'name' || RESERVED.has(token.text)) throw unexpected(token, 'a variable name');
    targets.push(token.text);
  } while (accept(parser, ','));
  if (bracketed) expect(parser, ')');
  return targets;
}

function parseClauses(parser: Parser, element: Expr): Expr {
  const clauses: Clause[] = [];
  while (accept(parser, 'for')) {
    const targets = parseTargets(parser);
    expect(parser, 'in');
    const source = parseOr(parser);
    const conditions: Expr[] = [];
    while (accept(parser, 'if')) conditions.push(parseOr(parser));
    clauses.push({ targets, source, conditions });
  }
  return { kind: 'comprehension', element, clauses };
}

function parseList(parser: Parser): Expr {
  const items: Expr[] = [];
  while (!accept(parser, ']')) {
    items.push(parseExpression(parser));
    if (items.length === 1 && is(peek(parser), 'for')) {
      const comprehension = parseClauses(parser, items[0] as Expr);
      expect(parser, ']');
      return comprehension;
    }
    if (!is(peek(parser), ']')) expect(parser, ',');
  }
  return { kind: 'list', items };
}

function parseDict(parser: Parser): Expr {
  const entries: (readonly [Expr, Expr])[] = [];
  while (!accept(parser, '}')) {
    const key = parseExpression(parser);
    expect(parser, ':');
    entries.push([key, parseExpression(parser)]);
    if (!is(peek(parser), '}')) expect(parser, ',');
  }
  return { kind: 'dict', entries };
}

function parseReference(token: Token): Expr {
  try {
    return { kind: 'path', path: parsePath(token.text) };
  } catch (error) {
    if (error instanceof PathError) throw new ExpressionError(error.message);
    throw error;
  }
}

function parseName(parser: Parser, token: Token): Expr {
  if (token.text === 'True' || token.text === 'False')
    return { kind: 'constant', value: token.text === 'True' };
  if (token.text === 'None') return { kind: 'constant', value: null };
  if (RESERVED.has(token.text)) throw unexpected(token, 'a value');
  return is(peek(parser), '(') ? parseCall(parser, null, token.text) : { kind: 'name', name: token.text };
}

function parsePrimary(parser: Parser): Expr {
  const token = take(parser);
  switch (token.kind) {
    case 'int':
    case 'float':
      return { kind: 'number', value: readNumber(token), float: token.kind === 'float' };
    case 'string': {
      let value = token.text;
      while (peek(parser).kind === 'string') value += take(parser).text;
      return { kind: 'constant', value };
    }
    case 'path':
      return parseReference(token);
    case 'name':
      return parseName(parser, token);
    case 'operator':
      if (token.text === '(') {
        const inner = parseExpression(parser);
        expect(parser, ')');
        return inner;
      }
      if (token.text === '[') return parseList(parser);
      if (token.text === '{') return parseDict(parser);
      throw unexpected(token, 'a value');
    case 'end':
      throw unexpected(token, 'a value');
  }
}

function readNumber(token: Token): number {
  const value = Number(token.text);
  if (token.kind === 'int' && !Number.isSafeInteger(value)) {
    throw new ExpressionError(`the whole number ${token.text} is larger than 2**53 - 1`);
  }
  if (!Number.isFinite(value)) throw new ExpressionError(`the number ${token.text} is too large`);
  return value;
}

/** The deepest chain of sub-expressions; found without recursion, because a long `a + a + …` is a deep tree. */
function depthOf(root: Expr): number {
  let deepest = 0;
  const open: [Expr, number][] = [[root, 1]];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [expr, depth] = next;
    deepest = Math.max(deepest, depth);
    for (const child of childrenOf(expr)) open.push([child, depth + 1]);
  }
  return deepest;
}

function childrenOf(expr: Expr): readonly Expr[] {
  switch (expr.kind) {
    case 'constant':
    case 'number':
    case 'name':
    case 'path':
      return [];
    case 'attribute':
    case 'unary':
    case 'not':
      return [expr.of];
    case 'index':
      return [expr.of, expr.index];
    case 'slice':
      return [expr.of, expr.start, expr.stop, expr.step].filter((part) => part !== null);
    case 'call':
      return [...(expr.of === null ? [] : [expr.of]), ...expr.args, ...expr.named.map(([, value]) => value)];
    case 'list':
    case 'and':
    case 'or':
      return expr.items;
    case 'dict':
      return expr.entries.flat();
    case 'binary':
      return [expr.left, expr.right];
    case 'compare':
      return [expr.first, ...expr.rest.map((part) => part.right)];
    case 'if':
      return [expr.test, expr.then, expr.otherwise];
    case 'comprehension':
      return [expr.element, ...expr.clauses.flatMap((clause) => [clause.source, ...clause.conditions])];
  }
}

/** Parses one expression. Throws ExpressionError with the position of what is wrong. */
export function parseExpressionText(text: string): Expr {
  const parser: Parser = { tokens: readTokens(text), at: 0, nesting: 0 };
  const expr = parseExpression(parser);
  if (peek(parser).kind !== 'end') throw unexpected(peek(parser), 'an operator or the end');
  if (depthOf(expr) > LIMITS.depth) {
    throw new ExpressionError(`the expression chains more than ${LIMITS.depth} operations`);
  }
  return expr;
}
