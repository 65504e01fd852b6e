import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chooseDef, pythonDefs } from '../../../src/cli/python-defs.ts';

const names = (source: string): string[] => pythonDefs(source).map((def) => def.name);

describe('cli: functions of a Python file', () => {
  it('finds those at the top level, with their lines', () => {
    const source =
      'import os\n\n\ndef one(a, b=1):\n    def inner():\n        pass\n\n@deco\nasync  def two ():\n  pass\nclass C:\n    def method(self): pass\ndef größe(x): return x\ndef generic[T](x: T) -> T: return x\n';
    assert.deepEqual(pythonDefs(source), [
      { name: 'one', line: 4, is_async: false },
      { name: 'two', line: 9, is_async: true },
      { name: 'größe', line: 13, is_async: false },
      { name: 'generic', line: 14, is_async: false },
    ]);
  });

  it('is not fooled by text, comments, brackets and joined lines', () => {
    assert.deepEqual(names('"""\ndef no():\n"""\ndef yes(): pass\n'), ['yes']);
    assert.deepEqual(names("x = r'''\\\ndef no(): '''\ndef yes(): pass\n"), ['yes']);
    assert.deepEqual(names('x = \'it\\\'s\'\n# """\ndef yes(): pass\n'), ['yes']);
    assert.deepEqual(names('x = (\ndef_no,\n"def no()"\n)\ndef yes(): pass'), ['yes']);
    assert.deepEqual(names('x = 1 + \\\ndef no(): pass\n'), []);
    assert.deepEqual(names('x = 1 + \\\r\ndef no(): pass\r\ndef yes():\r\n  pass\r\n'), ['yes']);
    assert.deepEqual(names('x = "unclosed\ndef yes(): pass\n'), ['yes']);
    assert.deepEqual(names('define()\ndefault = 1\nundef yes(): pass\n'), []);
    assert.deepEqual(names(''), []);
  });

  it('counts lines through text of several lines', () => {
    assert.equal(pythonDefs('"""\n\n\n"""\nx = (1,\n2)\ndef f(): pass')[0]?.line, 7);
  });

  it('keeps the last of several with one name', () => {
    assert.deepEqual(
      pythonDefs('def f(): pass\ndef g(): pass\ndef f(x): pass\n').map((def) => [def.name, def.line]),
      [
        ['g', 2],
        ['f', 3],
      ],
    );
  });

  it('finds nothing inside any text, whatever stands in it', () => {
    const inside = fc.string({ unit: fc.constantFrom('def f():', '\n', "'", '\\', '#', '(', ' ', 'x') });
    fc.assert(
      fc.property(inside, (text) => {
        // Neither ends the text early: no run of three quotes, no quote or backslash at its end.
        const safe = text
          .replaceAll("'''", "''")
          .replace(/['\\]+$/, '')
          .replaceAll("'''", "''");
        assert.deepEqual(names(`x = '''${safe} '''\ndef after(): pass\n`), ['after']);
      }),
    );
  });

  it('ends on any input', () => {
    fc.assert(fc.property(fc.string(), (text) => names(text).length >= 0));
  });
});

describe('cli: which function is meant', () => {
  const defs = pythonDefs('def _helper(): pass\ndef one(): pass\nasync def later(): pass\n');
  const two = pythonDefs('def one(): pass\ndef two(): pass\n');

  it('the only public one', () => {
    assert.deepEqual(chooseDef(defs, undefined), { kind: 'one', name: 'one' });
  });

  it('the one named, private ones too', () => {
    assert.deepEqual(chooseDef(defs, '_helper'), { kind: 'one', name: '_helper' });
  });

  it('of several none: they are listed', () => {
    const chosen = chooseDef(two, undefined);
    assert.ok(chosen.kind === 'problem');
    assert.match(chosen.message, /one \(line 1\), two \(line 2\).*FILE:NAME/);
  });

  it('says why not', () => {
    const problem = (chosen: ReturnType<typeof chooseDef>): string =>
      chosen.kind === 'problem' ? chosen.message : '';
    assert.match(problem(chooseDef(defs, 'later')), /async/);
    assert.match(problem(chooseDef(two, 'three')), /no function "three".*one \(line 1\)/);
    assert.match(problem(chooseDef([], undefined)), /no public function/);
    assert.match(problem(chooseDef([], 'f')), /no function at the top level/);
  });
});
