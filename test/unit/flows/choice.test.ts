// Choice rules: every operator against every kind of value, references, nesting; wildcards that cannot blow up.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { COMPARISONS, matchesWildcard, TYPE_TESTS } from '../../../src/flows/comparisons.ts';
import { parsePath, resolve, sliceIndexes, write } from '../../../src/flows/paths.ts';
import { parseTimestamp } from '../../../src/flows/times.ts';
import type { Json, JsonObject } from '../../../src/providers/contract.ts';
import { flowOf, play, textOf } from './support/world.ts';

function holds(rule: JsonObject, input: JsonObject): boolean | string {
  const { run } = play(
    flowOf({
      StartAt: 'C',
      States: {
        C: { Type: 'Choice', Choices: [{ ...rule, Next: 'Yes' }], Default: 'No' },
        Yes: { Type: 'Pass', Parameters: { yes: true }, End: true },
        No: { Type: 'Pass', Parameters: { yes: false }, End: true },
      },
    }),
    { input },
  );
  if (run.status === 'FAILED') return textOf(run.details['cause']);
  return (run.details['output'] as JsonObject)['yes'] as boolean;
}

/** operator, left, right, expected. */
const TABLE: readonly (readonly [string, Json, Json, boolean])[] = [
  ['StringEquals', 'a', 'a', true],
  ['StringEquals', 1, '1', false],
  ['StringLessThan', 'a', 'b', true],
  ['StringLessThan', 'b', 'a', false],
  ['StringGreaterThan', 'b', 'a', true],
  ['StringLessThanEquals', 'a', 'a', true],
  ['StringGreaterThanEquals', 'a', 'b', false],
  ['StringMatches', 'run_7.h5', '*.h5', true],
  ['StringMatches', 'run_7.h5', 'run_*.tif', false],
  ['NumericEquals', 1, 1, true],
  ['NumericEquals', '1', 1, false],
  ['NumericEquals', true, 1, false],
  ['NumericLessThan', 1, 1.5, true],
  ['NumericGreaterThan', 2, 1.5, true],
  ['NumericLessThanEquals', 2, 2, true],
  ['NumericGreaterThanEquals', 1, 2, false],
  ['BooleanEquals', false, false, true],
  ['BooleanEquals', 0, false, false],
  ['BooleanEquals', 'true', true, false],
  ['TimestampEquals', '2026-01-31T08:00:00Z', '2026-01-31T09:00:00+01:00', true],
  ['TimestampLessThan', '2026-01-31T08:00:00.1Z', '2026-01-31T08:00:00.25Z', true],
  ['TimestampGreaterThan', '2026-01-31T08:00:01Z', '2026-01-31T08:00:00Z', true],
  ['TimestampLessThanEquals', '2026-01-31T08:00:00Z', '2026-01-31T08:00:00Z', true],
  ['TimestampGreaterThanEquals', 'yesterday', '2026-01-31T08:00:00Z', false],
  ['IsNull', null, true, true],
  ['IsNull', 0, true, false],
  ['IsNull', 0, false, true],
  ['IsPresent', null, true, true],
  ['IsNumeric', 1.5, true, true],
  ['IsNumeric', true, true, false],
  ['IsString', '', true, true],
  ['IsBoolean', false, true, true],
  ['IsBoolean', 'x', false, true],
  ['IsTimestamp', '2026-02-29T00:00:00Z', true, false],
  ['IsTimestamp', '2026-02-28T00:00:00+05:30', true, true],
];

describe('Choice', () => {
  for (const [operator, left, right, expected] of TABLE) {
    it(`${operator}: ${JSON.stringify(left)} with ${JSON.stringify(right)} is ${expected}`, () => {
      assert.equal(holds({ Variable: '$.v', [operator]: right }, { v: left }), expected);
      if (COMPARISONS[operator]?.byPath === true) {
        assert.equal(holds({ Variable: '$.v', [`${operator}Path`]: '$.w' }, { v: left, w: right }), expected);
      }
    });
  }

  it('has every operator of the language in this table', () => {
    const tested = new Set(TABLE.map(([operator]) => operator));
    assert.deepEqual(
      [...Object.keys(COMPARISONS), ...Object.keys(TYPE_TESTS)].filter((name) => !tested.has(name)),
      [],
    );
  });

  it('combines rules lazily', () => {
    const present = { Variable: '$.a.b[0]', IsPresent: true };
    const equal = { Variable: '$.a.b[0]', StringEquals: 'x' };
    assert.equal(holds({ And: [present, equal] }, {}), false);
    assert.equal(holds({ And: [present, equal] }, { a: { b: ['x'] } }), true);
    assert.equal(holds({ Or: [{ Not: present }, equal] }, {}), true);
    assert.equal(holds({ Not: { And: [present, { Or: [equal] }] } }, { a: { b: ['y'] } }), true);
  });

  it('does not read a misspelt reference as "no"', () => {
    assert.match(
      String(holds({ Variable: '$.typo', StringEquals: 'x' }, { type: 'x' })),
      /Variable: nothing at \$\.typo: \$ has the members type/,
    );
    assert.match(String(holds({ Variable: '$.typo', IsNull: true }, {})), /nothing at \$\.typo/);
    assert.match(
      String(holds({ Variable: '$.v', NumericEqualsPath: '$.typo' }, { v: 1 })),
      /NumericEqualsPath: nothing at/,
    );
  });

  it('without a match and a Default ends the run with a reason', () => {
    const { run } = play(
      flowOf({
        StartAt: 'C',
        States: { C: { Type: 'Choice', Choices: [{ Variable: '$.v', IsNull: true, Next: 'C' }] } },
      }),
      { input: { v: 1 } },
    );
    assert.equal(run.details['error'], 'States.NoChoiceMatched');
  });
});

describe('wildcards', () => {
  it('match as a careful reading of the pattern does', () => {
    const slow = (text: string, pattern: string): boolean => {
      if (pattern === '') return text === '';
      if (pattern[0] === '*')
        return slow(text, pattern.slice(1)) || (text !== '' && slow(text.slice(1), pattern));
      return text !== '' && text[0] === pattern[0] && slow(text.slice(1), pattern.slice(1));
    };
    const word = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 });
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 }), word, (text, pattern) => {
        assert.equal(matchesWildcard(text, pattern), slow(text, pattern));
      }),
      { numRuns: 3_000 },
    );
    assert.ok(
      matchesWildcard('a*b', 'a\\*b') &&
        !matchesWildcard('axb', 'a\\*b') &&
        matchesWildcard('a\\b', 'a\\\\*'),
    );
  });

  it('stay fast on patterns that blow regular expressions up', () => {
    const began = performance.now();
    assert.equal(matchesWildcard('a'.repeat(20_000), '*a'.repeat(500) + 'b'), false);
    assert.ok(performance.now() - began < 2_000);
  });
});

describe('references', () => {
  it('read what they name', () => {
    const state = { a: { 'b c': [1, { d: null }], e: 'x' }, _run: { X: 1 }, "it's": 2 };
    const at = (text: string): unknown => resolve(state, parsePath(text));
    assert.deepEqual(at('$'), state);
    assert.equal(at("$.a['b c'][0]"), 1);
    assert.equal(at('$.a["b c"][-1].d'), null);
    assert.deepEqual(at('$.a.b c[1:]'), [{ d: null }]);
    assert.equal(at('$._run.X'), 1);
    assert.equal(at("$['it\\'s']"), 2);
    assert.throws(() => at('$.a.e.f'), /\$\.a\.e is a string, not an object/);
    assert.throws(() => at('$.a.toString'), /has the members/);
    assert.throws(() => at("$.a['b c'][2]"), /has 2 elements/);
  });

  it('written and read again give the value, and leave the rest alone', () => {
    const key = fc.oneof(
      fc.constantFrom('a', 'b', '__proto__', 'x y'),
      fc.string({ minLength: 1, maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(key, { minLength: 1, maxLength: 4 }), fc.jsonValue(), (keys, value) => {
        const path = parsePath('$' + keys.map((name) => `['${name.replace(/[\\']/g, '\\$&')}']`).join(''));
        const root = { other: [1] };
        const written = write(root, path, value as Json);
        assert.deepEqual(resolve(written, path), value);
        if (keys[0] !== 'other') assert.deepEqual(written['other'], [1]);
        assert.deepEqual(root, { other: [1] });
      }),
    );
  });

  it('slice as Python does', () => {
    assert.deepEqual(sliceIndexes(5, null, null, -2), [4, 2, 0]);
    assert.deepEqual(sliceIndexes(5, -100, 100, 2), [0, 2, 4]);
    assert.deepEqual(sliceIndexes(0, null, null, 1), []);
  });
});

describe('time stamps', () => {
  it('are read with their zone and fraction, or not at all', () => {
    assert.equal(parseTimestamp('1970-01-01T00:00:01.5+00:00'), 1_500);
    assert.equal(parseTimestamp('1970-01-01T01:00:00+01:00'), 0);
    for (const bad of [
      '1970-01-01',
      '1970-01-01T00:00:00',
      '1970-13-01T00:00:00Z',
      '1970-02-30T00:00:00Z',
      '1970-01-01T24:00:00Z',
      'x',
    ]) {
      assert.equal(parseTimestamp(bad), null, bad);
    }
  });

  it('agree with the host for every instant', () => {
    fc.assert(
      fc.property(fc.date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true }), (date) => {
        assert.equal(parseTimestamp(date.toISOString()), date.getTime());
      }),
    );
  });
});
