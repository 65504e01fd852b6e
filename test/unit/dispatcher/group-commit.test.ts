// Group commit: every item is written exactly once, in batches that respect weight, concurrency and exclusion.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { makeGroupCommit } from '../../../src/dispatcher/group-commit.ts';

interface Item {
  readonly n: number;
  readonly weight: number;
  readonly key: string;
}

describe('group commit', () => {
  it('writes each item once, never two of one key at a time, and keeps the order of a key', async () => {
    const items = fc.array(
      fc.record({ weight: fc.integer({ min: 1, max: 30 }), key: fc.constantFrom('a', 'b', 'c') }),
      { minLength: 1, maxLength: 60 },
    );
    await fc.assert(
      fc.asyncProperty(items, fc.integer({ min: 1, max: 3 }), async (drawn, concurrency) => {
        const written: Item[] = [];
        const busy = new Set<string>();
        let onTheWay = 0;
        const commit = makeGroupCommit<Item, number>({
          concurrency,
          max_weight: 40,
          weigh: (item) => item.weight,
          exclusive: (item) => [item.key],
          async write(batch) {
            onTheWay++;
            assert.ok(onTheWay <= concurrency);
            const keys = batch.map((item) => item.key);
            assert.equal(new Set(keys).size, keys.length);
            for (const key of keys) assert.ok(!busy.has(key));
            for (const key of keys) busy.add(key);
            const weight = batch.reduce((sum, item) => sum + item.weight, 0);
            assert.ok(batch.length === 1 || weight <= 40);
            await Promise.resolve();
            written.push(...batch);
            for (const key of keys) busy.delete(key);
            onTheWay--;
            return batch.map((item) => item.n);
          },
        });
        const answers = await Promise.all(drawn.map((item, n) => commit.add({ n, ...item })));
        assert.deepEqual(
          answers,
          drawn.map((_, n) => n),
        );
        assert.equal(written.length, drawn.length);
        for (const key of ['a', 'b', 'c']) {
          const order = written.filter((item) => item.key === key).map((item) => item.n);
          assert.deepEqual(
            order,
            [...order].sort((x, y) => x - y),
          );
        }
        assert.equal(commit.size, 0);
      }),
    );
  });

  it('shares a statement among items that come while one is on its way', async () => {
    const batches: number[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const commit = makeGroupCommit<number, number>({
      concurrency: 1,
      max_weight: 100,
      weigh: () => 1,
      async write(items) {
        batches.push(items.length);
        if (batches.length === 1) await held;
        return items;
      },
    });
    const all = Promise.all([1, 2, 3, 4, 5].map((n) => commit.add(n)));
    release();
    await all;
    assert.deepEqual(batches, [1, 4]);
  });

  it('fails only the batch whose write failed', async () => {
    const commit = makeGroupCommit<number, number>({
      concurrency: 1,
      max_weight: 1,
      weigh: () => 1,
      write: async (items) => {
        if (items[0] === 2) throw new Error('no');
        return items;
      },
    });
    const ends = await Promise.allSettled([1, 2, 3].map((n) => commit.add(n)));
    assert.deepEqual(
      ends.map((end) => end.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  });
});
