// Globs: the same answers as a well-known library wherever both know the syntax, and bounded time always.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import picomatch from 'picomatch';
import { makeGlob } from '../../../src/triggers/glob.ts';

const matches = (pattern: string, path: string): boolean => makeGlob([pattern])(path);

describe('glob patterns', () => {
  it('match the last name when they have no slash, the whole path when they have one', () => {
    assert.ok(matches('*.h5', 'run1/a.h5'));
    assert.ok(!matches('*.h5', 'a.h5.tmp'));
    assert.ok(matches('run?/*.h5', 'run1/a.h5'));
    assert.ok(!matches('run?/*.h5', 'run1/deep/a.h5'));
    assert.ok(matches('run*/**/*.h5', 'run12/a.h5'));
    assert.ok(matches('run*/**/*.h5', 'run12/x/y/a.h5'));
    assert.ok(matches('**', 'x/y'));
    assert.ok(matches('run1/**', 'run1/x/y.h5'));
    assert.ok(!matches('run1/**', 'run1'));
    assert.ok(matches('*_{0001,0002}.[ch]bf', 'x_0002.cbf'));
    assert.ok(!matches('*_{0001,0002}.[!ch]bf', 'x_0002.cbf'));
    assert.ok(matches('a\\*b', 'a*b'));
    assert.ok(!matches('a\\*b', 'axb'));
    assert.ok(matches('.*', '.hidden'));
    assert.ok(matches('{a,b{c,d}}*.x', 'bd1.x'));
    assert.ok(matches('a{,1}.x', 'a.x'));
  });

  it('are refused with a reason when they cannot be read', () => {
    for (const bad of ['', 'a{b', '[a', '[]', '+(a|b)', 'x'.repeat(300), '{a,b}'.repeat(10)])
      assert.throws(() => makeGlob([bad]), /The pattern/, bad);
  });

  it('agree with picomatch on random patterns and paths', () => {
    const char = fc.constantFrom('a', 'b', 'c', '1', '_', '-');
    const piece = fc.oneof(char, fc.constantFrom('*', '?', '[ab]', '[a-c]', '[^a]', '{a,bc}', '{1,b?}'));
    const segment = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.array(piece, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('')),
      },
      { weight: 1, arbitrary: fc.constant('**') },
    );
    const pattern = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    const name = fc.array(char, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''));
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
    fc.assert(
      fc.property(pattern, path, (glob, text) => {
        // Two stars in a row inside a name mean one star to us; the library has its own idea of them, and of what
        // `**` at the end means for a path that ends before it.
        fc.pre(glob.split('{').length <= 7); // 64 alternatives are the bound
        fc.pre(!/[^/]\*\*|\*\*[^/]|\/\*\*$/.test(glob));
        const options = { dot: true, noextglob: true, basename: !glob.includes('/') };
        assert.equal(matches(glob, text), picomatch(glob, options)(text), `${glob} on ${text}`);
      }),
      { numRuns: 5_000 },
    );
  });

  it('take no long time for patterns that make regular expressions explode', () => {
    const glob = makeGlob([`${'*a'.repeat(60)}b`, `${'**/'.repeat(60)}x`]);
    const path = 'a'.repeat(200);
    const start = performance.now();
    for (let i = 0; i < 200; i++) glob(`${`${path}/`.repeat(20)}${path}`);
    assert.ok(performance.now() - start < 2_000);
  });
});
