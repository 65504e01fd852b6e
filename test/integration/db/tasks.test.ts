// The statements on chunks, many at once on the same rows: none gets in another's way and nothing settles twice.
import assert from 'node:assert/strict';
import { maskOf } from '../../../src/db/mask.ts';
import {
  insertChunks,
  loadChunks,
  loadResults,
  markSent,
  markStarted,
  settle,
} from '../../../src/db/tasks.ts';
import { chunkIdFrom } from '../../../src/ids.ts';
import { withDatabase } from '../../support/database.ts';

const ANY = '11111111-1111-4111-8111-111111111111';

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const copy = [...items];
  let state = seed;
  for (let at = copy.length - 1; at > 0; at--) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    const other = state % (at + 1);
    [copy[at], copy[other]] = [copy[other] as T, copy[at] as T];
  }
  return copy;
}

describe('chunks in the database', () => {
  const database = withDatabase();

  const makeChunks = async (count: number, tasks: number): Promise<string[]> => {
    const ids = Array.from({ length: count }, (_, n) => chunkIdFrom(Buffer.alloc(16, n + 1 + count)));
    await insertChunks(
      database().db,
      ids.map((id) => ({
        id,
        owner: ANY,
        endpoint_id: ANY,
        function_id: ANY,
        task_group_id: ANY,
        tasks,
        options: {},
        payloads: Buffer.from('payload'),
      })),
    );
    return ids;
  };

  it('are marked, started and settled by many statements at once without deadlock', async () => {
    const { db } = database();
    const ids = await makeChunks(40, 2);
    const slab = (chunk: string, index: number): Parameters<typeof settle>[1][number] => ({
      chunk,
      mask: maskOf([index]),
      failed: maskOf([]),
      slab: Buffer.from(`${index}`),
      worker: null,
    });
    const work: Promise<unknown>[] = [];
    for (let round = 0; round < 30; round++) {
      const order = shuffled(ids, round + 1);
      work.push(
        markSent(
          db,
          order.map((id) => ({ id, epoch: 1 })),
        ),
      );
      work.push(
        settle(
          db,
          shuffled(ids, round + 100).map((id) => slab(id, round % 2)),
        ),
      );
      work.push(
        markStarted(
          db,
          shuffled(ids, round + 200).map((chunk) => ({ chunk, mask: maskOf([0]) })),
        ),
      );
    }
    await Promise.all(work);
    const rows = await loadChunks(db, ids);
    assert.equal(rows.length, 40);
    assert.ok(rows.every((row) => row.state === 'done'));
    const results = await loadResults(db, ids);
    assert.equal(results.length, 80, 'fifteen results came for each task; one became visible');
  });

  it('settle a task once and ignore unknown chunks', async () => {
    const { db } = database();
    const [id = ''] = await makeChunks(1, 1);
    const entry = { mask: maskOf([0]), failed: maskOf([0]), slab: Buffer.from('s'), worker: null };
    const first = await settle(db, [
      { chunk: id, ...entry },
      { chunk: chunkIdFrom(Buffer.alloc(16, 99)), ...entry },
    ]);
    assert.deepEqual(
      first.map((settled) => [settled.id, settled.done]),
      [[id, true]],
    );
    assert.deepEqual(await settle(db, [{ chunk: id, ...entry }]), []);
  });
});
