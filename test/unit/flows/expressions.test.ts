// Expressions behave as Python's: compared with CPython on the flow language's own examples, on a table of hard
// cases and on generated ones; and they cannot hurt, whatever is written in them.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { evaluateExpression } from '../../../src/flows/expressions/evaluate.ts';
import { parseExpressionText } from '../../../src/flows/expressions/parser.ts';
import { ExpressionError } from '../../../src/flows/expressions/syntax.ts';
import { withContext } from '../../../src/flows/paths.ts';
import type { Json, JsonObject } from '../../../src/providers/contract.ts';
import { askPython, hasPython, type PythonAnswer, type PythonCase } from './support/python.ts';

function evaluate(text: string, env: JsonObject = {}): Json {
  return evaluateExpression(parseExpressionText(text), env);
}

/** Ours in the form of askPython's answers. */
function ours({ expression, env }: PythonCase): PythonAnswer {
  try {
    return { text: evaluate(`str(${expression})`, env as JsonObject) as string };
  } catch (error) {
    if (error instanceof ExpressionError) return { error: error.message };
    throw error;
  }
}

/** Numbers Python has and JSON has not, and '%' on strings, which is not in the language: these say nothing. */
function beyondJson(answer: PythonAnswer): boolean {
  return 'error' in answer
    ? /2\*\*53|too large|root of a negative|"%" does not work on a string/.test(answer.error)
    : /\binf\b|\bnan\b|\dj\b|\d{16,}/.test(answer.text);
}

function compareWithPython(cases: readonly (PythonCase & { generated?: boolean })[]): number {
  const answers = askPython(cases);
  let compared = 0;
  for (const [index, test] of cases.entries()) {
    const theirs = answers[index] as PythonAnswer;
    const mine = ours(test);
    if (beyondJson(theirs) || beyondJson(mine)) continue;
    compared += 1;
    // JSON has no tuples: what partition() answers is a list to us, also where Python tells the two apart.
    if (
      test.generated === true &&
      /partition/.test(test.expression) &&
      /[=<>+*\][]|join|in |sorted|sum|min|max/.test(test.expression)
    )
      continue;
    const same =
      'text' in theirs && 'text' in mine ? theirs.text === mine.text : 'error' in theirs && 'error' in mine;
    assert.ok(
      same,
      `${test.expression}\n  with ${JSON.stringify(test.env)}\n  Python: ${JSON.stringify(theirs)}\n  ours:   ${JSON.stringify(mine)}`,
    );
  }
  return compared;
}

const ENV = {
  run_vars: { out: '/scratch/' },
  source_paths: ['/~/a/', '/data/b.h5', '/x', ''],
  source: { path: '/a/b/c.txt', id: 'u-1' },
  PathTypes: { source_is_dir: false, source_is_default_dir: true },
  x: { DATA: [{ source_path: '/' }, { source_path: 'a~b' }, { source_path: 'c' }] },
  state: { batches: [['p']], i: 1 },
  step: 2,
  ls: {
    details: {
      DATA: [
        { name: 'n0', type: 'file' },
        { name: 'n1', type: 'dir' },
        { name: 'n2', type: 'file' },
      ],
    },
  },
  permission_list: { details: { DATA: [{ id: 'p1', principal: 'f1', path: '/a/b/' }] } },
  _context: { flow_id: 'f1', email: null, username: 'ada', user_id: 'urn:u' },
  details: { result: [['r00', 'r01']] },
  rs: [1, 2],
  xs: [3, 1, 2],
  word: 'héllo wörld',
  smile: 'a😀b',
  f: 1.5,
  none: null,
  yes: true,
};

/** In the style of public flows, and where Python and JavaScript part ways. */
const TABLE = [
  "[run_vars.out + pathsplit(s.rstrip('/'))[1] + '/' if s.endswith('/') else run_vars.out + pathsplit(s)[1] for s in source_paths]",
  "([p['id'] for p in permission_list.details.DATA if p['principal'] == _context.flow_id and p['path'] == source.path.rsplit('/', 1)[0] + '/'] or [''])[0]",
  "['~' in t.source_path or t.source_path == '/' for t in x.DATA] == [False] * len(x.DATA)",
  "source.path.rpartition('/')[2] if not PathTypes.source_is_dir else 'DEFAULT' if PathTypes.source_is_default_dir else 'ROOT'",
  'state.batches + [[file.name for file in ls.details.DATA[state.i:state.i+step]]]',
  "[{'p': f.name} for f in ls.details.DATA if f.type == 'file']",
  "[str(r) + w for r in rs for w in ['a','b']]",
  '(_context.email or _context.username) + " (" + _context.user_id + ")"',
  "'type' in ls.details.DATA[0]",
  'details.result[0][-1]',
  "source.path.split('/')[-2]",
  'str(True), str(None)'.replace(', ', ' + '),
  'str(1.0) + str(4/2) + str(7//2) + str(-7//2) + str(7%-3) + str(-7.5//2) + str(7.5%-2)',
  'str(1e16) + " " + str(1e15) + " " + str(1e-4) + " " + str(0.00001) + " " + str(123456789.125) + " " + str(-0.0)',
  "str([1, 'a', None, {'k': [True, 2.5]}])",
  'str("it\'s") + str(["it\'s", \'say "hi"\', "both \' and \\"", "tab\\t nul\\x00 \\u2028 \\xa0"])',
  "'a' + 1",
  "1 + 'a'",
  "'a' * 3 + 3 * 'b' + 'c' * -1",
  '[1, 2] * 2 + [3]',
  'True + True',
  'True == 1',
  "1 == '1'",
  '1 < 2 < 3 < 3',
  "'a' < 'B'",
  '[1, 2] < [1, 3]',
  "1 < 'a'",
  'none == None and none is None and not none',
  'not [] and not {} and not "" and not 0 and not 0.0',
  '[] or {} or 0 or "last"',
  '1 and [] and 2',
  'xs[10]',
  'xs[-3] + xs[-1]',
  'xs[1:] + xs[:-1] + xs[::-1] + xs[5:] + xs[-100:2]',
  'word[1] + word[-1] + word[::-1]',
  'len(smile), smile[1], smile[2:]'.replace(/, /g, ' and '),
  'len(smile)',
  'smile[1:]',
  'nope',
  'source.nope',
  "source['path']",
  "' a  b '.split()",
  "' a  b '.split(' ')",
  "' a  b  c '.split(None, 1)",
  "' a  b  c '.rsplit(None, 1)",
  "'a,b,c'.split(',', 1) + 'a,b,c'.rsplit(',', maxsplit=1)",
  "'aaa'.rsplit('aa') + 'aaa'.split('aa')",
  "'a,b'.split('')",
  "'abc'.replace('', '-') + 'abc'.replace('', '-', 2) + 'aXbX'.replace('X', 'yy', 1)",
  "'xxhixx'.strip('x') + 'xxhixx'.lstrip('x') + 'xxhixx'.rstrip('x') + '[' + '\\u2003 hi \\n'.strip() + ']'",
  "'-'.join(['a', 'b']) + '-'.join('xyz')",
  "'-'.join(['a', 1])",
  "'Straße'.upper() + 'ÀB'.lower()",
  "'k=v=w'.partition('=') + 'k=v=w'.rpartition('=') + 'kv'.partition('=') + 'kv'.rpartition('=')",
  "'a.h5'.endswith('.h5') and 'a.h5'.startswith('a')",
  "int('42') + int(3.9) + int(-3.9) + int(True)",
  "int('4.2')",
  "float('1e3') + float(2)",
  'sum([1, 2.5]) + sum([]) + min(3, 1) + max([4, 9])',
  "sum(['a'])",
  'sorted(xs) + sorted([True, 0.5])',
  'any(x > 2 for x in xs) and not all(x > 2 for x in xs)',
  '[i * y for i, y in enumerate(xs)] + [a + b for a, b in zip(xs, rs)] + list(range(5, 0, -2))',
  '[y for y in xs if y > 1 if y < 3]',
  '[k for k in source]',
  "{'a': 1, 'b': [2]}['b'][0] + len({'a': 1})",
  "source.get('path') + str(source.get('none', 'd')) + str(len(source.keys()))",
  '2 ** 10 + 2 ** -1 + (-2) ** 3 - -2 ** 2',
  '1 / 0',
  '1 // 0.0',
  '5 % 0',
  "'abc' in 'xabcx' and 2 in xs and 2.0 in xs and 'z' not in 'abc'",
  '1 in "a"',
  'abs(-3) + abs(-2.5)',
  "'esc\\x41\\u0042\\n\\'' + \"\\\"\" 'joined' '''tri'ple'''",
  '0x10 + 0b11 + 0o17',
  '1_000 + .5 + 1.e2',
  '012',
  '(((((1)))))',
  'f + 1 == 2.5',
  'xs == [3, 1, 2] and xs != (xs + xs)',
  'str(word.upper()) + str([word])',
  '-f + +3',
  '-"a"',
  'not 1 == 2',
  '1 if [] else 2 if 0 else 3',
];

describe('flow expressions against CPython', function () {
  this.timeout(60_000);
  before(function () {
    if (!hasPython()) this.skip();
  });

  it('agree on the table', () => {
    const cases = TABLE.map((expression) => ({ expression, env: ENV }));
    assert.ok(compareWithPython(cases) >= TABLE.length - 2);
  });

  it('agree on generated expressions', () => {
    const cases = fc.sample(anyCase(), {
      numRuns: Number(process.env['N'] ?? 4000),
      seed: Number(process.env['SEED'] ?? 20261123),
    });
    assert.ok(compareWithPython(cases.map((test) => ({ ...test, generated: true }))) > cases.length / 2);
  });
});

/** Random expressions over random data, shaped so that a good part of them has a value. */
function anyCase(): fc.Arbitrary<PythonCase> {
  const number = fc.oneof(fc.integer({ min: -50, max: 50 }), fc.constantFrom(0.5, -2.25, 3.125, 1e-7, 1e17));
  const text = fc.oneof(
    fc.constantFrom('', 'a', 'a/b/c', ' x y ', "it's", 'é😀', 'aaa', '/~/p', 'B'),
    fc.string({ maxLength: 5 }),
  );
  const scalar = fc.oneof(number, text, fc.boolean(), fc.constant(null));
  const env = fc.record({
    n: fc.integer({ min: -5, max: 5 }),
    t: text,
    xs: fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 4 }),
    ws: fc.array(text, { maxLength: 3 }),
    o: fc.record({ k: scalar, list: fc.array(scalar, { maxLength: 3 }) }),
  });
  const literal = fc.oneof(
    fc.constantFrom(
      '0',
      '1',
      '-3',
      '2.0',
      '0.25',
      "'a'",
      "'/'",
      '""',
      'True',
      'False',
      'None',
      '[]',
      '[1, 2.0]',
      "{'k': 1}",
    ),
    fc.constantFrom('n', 't', 'xs', 'ws', 'o', 'o.k', 'o.list', "o['list']", 'missing', 'o.nope'),
  );
  const { expression } = fc.letrec<{ expression: string }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      literal,
      fc
        .tuple(
          tie('expression'),
          fc.constantFrom(
            '+',
            '-',
            '*',
            '/',
            '//',
            '%',
            '==',
            '!=',
            '<',
            '<=',
            '>',
            '>=',
            'in',
            'not in',
            'and',
            'or',
          ),
          tie('expression'),
        )
        .map(([a, op, b]) => `(${a} ${op} ${b})`),
      fc.tuple(fc.constantFrom('not ', '-', '+'), tie('expression')).map(([op, a]) => `(${op}${a})`),
      fc
        .tuple(tie('expression'), tie('expression'), tie('expression'))
        .map(([a, c, b]) => `(${a} if ${c} else ${b})`),
      fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `(${a})[${b}]`),
      fc
        .tuple(
          fc.constantFrom('xs', 't', 'ws', 'o.list'),
          fc.constantFrom('1:', ':-1', '::-1', 'n:', ':n', '-3:3', '::2'),
        )
        .map(([a, s]) => `${a}[${s}]`),
      fc
        .tuple(tie('expression'), fc.constantFrom('xs', 'ws', 't', 'o.list', 'o'))
        .map(([e, s]) => `[(${e}) for v in ${s}]`),
      fc
        .tuple(fc.constantFrom('xs', 'ws', 'o.list'), tie('expression'))
        .map(([s, c]) => `[v for v in ${s} if (${c})]`),
      fc
        .tuple(
          fc.constantFrom(
            'len',
            'str',
            'bool',
            'int',
            'float',
            'abs',
            'sorted',
            'list',
            'any',
            'all',
            'sum',
            'min',
            'max',
            'pathsplit',
            'range',
          ),
          tie('expression'),
        )
        .map(([f, a]) => `${f}(${a})`),
      fc
        .tuple(
          fc.constantFrom('t', 't', "'a b a'", 'o.k'),
          fc.constantFrom(
            'strip',
            'lstrip',
            'rstrip',
            'split',
            'rsplit',
            'partition',
            'rpartition',
            'startswith',
            'endswith',
            'lower',
            'upper',
          ),
          fc.constantFrom('', "'a'", "'/'", "' '", 't', 'None'),
        )
        .map(([s, m, a]) => `${s}.${m}(${a})`),
      fc.tuple(fc.constantFrom('t', "'-'"), tie('expression')).map(([s, a]) => `${s}.join(${a})`),
      fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `[${a}, ${b}]`),
      fc
        .tuple(
          fc.constantFrom("'a'", "''", 't'),
          fc.constantFrom("'bb'", "''", 't'),
          fc.constantFrom('', ', 1', ', -1', ', 0'),
        )
        .map(([a, b, c]) => `t.replace(${a}, ${b}${c})`),
    ),
  }));
  return fc.record({ expression, env });
}

describe('flow expressions', () => {
  it('know the functions and paths of the flow language', () => {
    const root = withContext(ENV, { run_id: 'r-1', email: null, username: 'ada' });
    const is = (text: string, value: Json): void =>
      assert.deepEqual(evaluateExpression(parseExpressionText(text), root), value, text);
    is("pathsplit('/foo/bar/blech')", ['/foo/bar', 'blech']);
    is("pathsplit('/~/path')", ['/~/', 'path']);
    is("pathsplit('/x')", ['/', 'x']);
    is("pathsplit('x')", ['', 'x']);
    is(
      "is_present('ls.details.DATA[0].name') and not is_present('ls.details.DATA[9]') and not is_present('a.b')",
      true,
    );
    is("getattr('ls.details.DATA[-1].name')", 'n2');
    is("getattr('no.such', default='d') + getattr('no.such', 'e')", 'de');
    is("getattr('none', 'd')", null);
    is("getattr('no.such')", null);
    is('`$.ls.details.DATA[1:]`', [
      { name: 'n1', type: 'dir' },
      { name: 'n2', type: 'file' },
    ]);
    is('(`$._context.email` or `$._context.username`) + _context.run_id', 'adar-1');
    is('[`$.source.path`]', ['/a/b/c.txt']);
    is("{'a': 2.0, 'b': 1}", { a: 2, b: 1 });
    is('len(`$`) == len(`$`.keys()) and not ("_context" in `$`.keys())', true);
  });

  it('say what is wrong, with the names that are there', () => {
    assert.throws(
      () => evaluate('soruce.path', { source: { path: 'x' } }),
      /"soruce" is not known: the run state has the members source/,
    );
    assert.throws(() => evaluate('source.pth', { source: { path: 'x' } }), /the object has the members path/);
    assert.throws(() => evaluate('`$.a.b`', { a: {} }), /nothing at \$\.a\.b: \$\.a has no members/);
    assert.throws(() => evaluate('open("/etc/passwd")'), /there is no function open\(\)/);
    assert.throws(() => evaluate("'a'.format(1)"), /a string has no method format\(\)/);
    assert.throws(() => parseExpressionText('a +'), /position 4, but the expression ends/);
    assert.throws(() => parseExpressionText('a = 1'), /an operator or the end is expected at position 3/);
    assert.throws(() => parseExpressionText('lambda x: x'), /a value is expected/);
    assert.throws(() => parseExpressionText("'abc"), /has no end/);
    assert.throws(() => parseExpressionText('f()()'), /only functions and methods can be called/);
    assert.throws(() => parseExpressionText('`$.a[*]`'), /wildcards and filters/);
  });

  it('reach nothing but data', () => {
    for (const text of [
      'constructor',
      'toString',
      '__proto__',
      'hasOwnProperty',
      'source.constructor',
      'source.__proto__',
      "source['__proto__']",
      'xs.length',
      "''.constructor",
      "getattr('constructor')",
    ]) {
      const attempt = (): Json => evaluate(text, { source: {}, xs: [1] });
      if (text.startsWith('getattr')) assert.equal(attempt(), null);
      else assert.throws(attempt, ExpressionError, text);
    }
    const polluted = evaluate("{'__proto__': {'x': 1}}") as object;
    assert.equal(Object.getPrototypeOf(polluted), Object.prototype);
    assert.equal(JSON.stringify(polluted), '{"__proto__":{"x":1}}');
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
  });

  it('stop when they do too much', () => {
    const bombs = [
      "'a' * 10000000000",
      '[0] * 99999999',
      'range(10000000)',
      '[[[[[[[[[[x]*9]*9]*9]*9]*9]*9]*9]*9]*9]*9',
      '[a for a in range(2000) for b in range(2000)]',
      'str([[[[[[[[[x]*9]*9]*9]*9]*9]*9]*9]*9]*9)',
      '[[[[[[[[[x]*9]*9]*9]*9]*9]*9]*9]*9]*9 == [[[[[[[[[x]*9]*9]*9]*9]*9]*9]*9]*9]*9',
      "('a'*90000).replace('a', 'b'*90000)",
      "('a'*90000).join(['b']*90000)",
    ];
    for (const text of bombs) {
      const began = performance.now();
      assert.throws(() => evaluate(text, { x: 1 }), /too much work/, text);
      assert.ok(performance.now() - began < 2_000, `${text} took too long`);
    }
    assert.throws(() => parseExpressionText('('.repeat(4_000) + '1' + ')'.repeat(4_000)), /nests deeper/);
    assert.throws(() => parseExpressionText('-'.repeat(4_000) + '1'), /nests deeper/);
    assert.throws(() => parseExpressionText('not '.repeat(2_000) + '1'), /nests deeper/);
    assert.throws(() => parseExpressionText(Array(2_000).fill('1').join('+')), /chains more than/);
    assert.throws(() => parseExpressionText('a' + '.b'.repeat(2_000)), /chains more than/);
    assert.throws(() => parseExpressionText('1'.repeat(9_000)), /8192 characters/);
  });

  it('never throw anything but ExpressionError, whatever is written', () => {
    const alphabet = [
      ...'ab1.[](){}\'"`$,:+-*/%<>=! \\',
      ' in ',
      ' if ',
      ' else ',
      ' for ',
      'not ',
      'len(',
      'str(',
      '😀',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...alphabet), { maxLength: 24 }), (parts) => {
        try {
          evaluate(parts.join(''), { a: { b: [1, 'x'] }, b: 2 });
        } catch (error) {
          if (!(error instanceof ExpressionError)) throw error;
        }
      }),
      { numRuns: 5_000 },
    );
  });
});
