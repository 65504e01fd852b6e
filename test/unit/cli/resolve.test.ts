import assert from 'node:assert/strict';
import fc from 'fast-check';
import { CliError } from '../../../src/cli/exit.ts';
import { pick, resolveId, type Named } from '../../../src/cli/resolve.ts';

const A = 'aaaa1111-0000-4000-8000-000000000001';
const B = 'aaaa2222-0000-4000-8000-000000000002';
const items: Named[] = [
  { id: A, name: 'hello' },
  { id: B, name: 'aaaa1' },
];
const lookup = { noun: 'thing', list_command: 'pilotwave thing list' };

const fails = async (text: string, list: readonly Named[] = items): Promise<CliError> => {
  const error = await resolveId(text, lookup, async () => list).then(
    (id) => assert.fail(`found ${id}`),
    (error: unknown) => error,
  );
  assert.ok(error instanceof CliError);
  return error;
};

describe('cli: which one is meant', () => {
  it('a whole id is not looked up', async () => {
    const never = async (): Promise<Named[]> => assert.fail('looked up');
    assert.equal(await resolveId(A.toUpperCase(), lookup, never), A);
  });

  it('a name, or the first part of an id that only one has', async () => {
    assert.equal(await resolveId('hello', lookup, async () => items), A);
    assert.equal(await resolveId('AAAA2', lookup, async () => items), B);
  });

  it('a whole name wins over the first part of an id', async () => {
    assert.equal(await resolveId('aaaa1', lookup, async () => items), B);
  });

  it('what is not there ends with 4 and says where to look', async () => {
    const error = await fails('nope');
    assert.equal(error.exit, 4);
    assert.match(error.explanation.remedy ?? '', /pilotwave thing list/);
    assert.equal((await fails('')).exit, 4);
  });

  it('what may be several ends with 2 and lists some', async () => {
    const error = await fails('aaaa');
    assert.equal(error.exit, 2);
    assert.match(error.message, /2 things.*aaaa1111.*hello/);
    const many = Array.from({ length: 9 }, (_, i) => ({ id: `b${i}`, name: null }));
    assert.match((await fails('b', many)).message, /9 things.*b4, …$/);
  });

  it('of functions with one name, the newest', async () => {
    const same = items.map((item) => ({ ...item, name: 'twin' }));
    assert.equal((await fails('twin', same)).exit, 2);
    assert.equal(await resolveId('twin', { ...lookup, newest_wins: true }, async () => same), A);
  });

  it('every id is found by any part of it that no other begins with', () => {
    const ids = fc.uniqueArray(fc.uuid(), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(ids, fc.nat(), (ids, at) => {
        const list = ids.map((id) => ({ id, name: null }));
        const id = ids[at % ids.length] ?? '';
        const length = Array.from({ length: 36 }, (_, i) => i + 1).find(
          (count) => ids.filter((other) => other.startsWith(id.slice(0, count))).length === 1,
        );
        assert.deepEqual(pick(id.slice(0, length), list), { kind: 'one', item: { id, name: null } });
      }),
    );
  });
});
