// Patterns of input schemas: they match what the host's regular expressions match, and none can run away.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compilePattern, PatternError } from '../../../src/flows/patterns.ts';

/** Patterns put together from parts that every engine reads the same. */
function anyPattern(): fc.Arbitrary<string> {
  return fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(
        'a',
        'b',
        '.',
        '\\d',
        '\\w',
        '\\S',
        '[ab]',
        '[^a]',
        '[a-c1]',
        '^',
        '$',
        '\\b',
        '\\.',
        '-',
        'é',
        '\\u0061',
      ),
      fc.array(tie('pattern'), { maxLength: 3 }).map((parts) => parts.join('')),
      fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `(?:${a}|${b})`),
      fc
        .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '+?'))
        .map(([a, times]) => `(${a})${times}`),
    ),
  })).pattern;
}

describe('patterns', () => {
  it('match what the host matches', () => {
    fc.assert(
      fc.property(
        anyPattern(),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', '1', '.', '-', ' ', 'é', '😀'), maxLength: 6 }),
        (source, text) => {
          assert.equal(
            compilePattern(source).matches(text),
            new RegExp(source, 'u').test(text),
            `${source} on ${JSON.stringify(text)}`,
          );
        },
      ),
      { numRuns: 5_000 },
    );
  });

  it('take the patterns that public schemas use', () => {
    const uuid = compilePattern('^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$');
    assert.ok(uuid.matches('36ad9f9a-ad29-488f-beb4-c22ab729643a') && !uuid.matches('36ad9f9a'));
    assert.ok(compilePattern('^(/[^/]+)+/?$').matches('/a/b/'));
    assert.ok(compilePattern('^\\$\\..*').matches('$.a'));
    assert.ok(compilePattern('^[\\w.+-]+@[\\w-]+\\.[\\w.-]+$').matches('ada@lab.org'));
    assert.ok(compilePattern('^\\p{Lu}').matches('Éa') && compilePattern('colou?r').matches('the color'));
  });

  it('refuse what cannot be matched in linear time, and what is broken', () => {
    for (const source of [
      '(?=a)',
      '(?<!a)b',
      '(a)\\1',
      '(?<n>a)\\k<n>',
      '(',
      'a)',
      '[a',
      '*',
      'a{3,1}',
      '\\',
      '(a{1000}){1000}',
      '('.repeat(100),
      'a'.repeat(2_000),
      '[b-a]',
    ]) {
      assert.throws(() => compilePattern(source), PatternError, source);
    }
  });

  it('stay fast where backtracking explodes', () => {
    const text = `${'a'.repeat(3_000)}b`;
    for (const source of [
      '^(a+)+$',
      '^(a|a)*$',
      '^(a*)*$',
      '(x+x+)+y',
      '^(.*)*(.*)*(.*)*z$',
      'a{0,60}a{0,60}a{0,60}c',
    ]) {
      const began = performance.now();
      assert.equal(compilePattern(source).matches(text), false, source);
      assert.ok(performance.now() - began < 1_500, `${source} took ${performance.now() - began} ms`);
    }
  });
});
