// Identifiers: a task's id leads back to its chunk and index, and bytes and text are two forms of one UUID.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  chunkIdFrom,
  CHUNK_TASKS,
  identityOfUrn,
  identityUrn,
  isUuid,
  taskId,
  taskPlace,
  uuidFromBytes,
  uuidToBytes,
} from '../../src/ids.ts';

const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });

describe('chunk and task ids', () => {
  it('lead back to the chunk and the index', () => {
    fc.assert(
      fc.property(sixteen, fc.nat(127), (random, index) => {
        const chunk = chunkIdFrom(random);
        const task = taskId(chunk, index);
        assert.ok(isUuid(task));
        assert.deepEqual(taskPlace(task), { chunk, index });
      }),
    );
  });

  it('are UUIDs of version 8 with 106 random bits', () => {
    fc.assert(
      fc.property(sixteen, (random) => {
        const chunk = chunkIdFrom(random);
        assert.match(chunk, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{8}0000$/);
        const bytes = uuidToBytes(chunk);
        for (const place of [0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13])
          assert.equal(bytes[place], random[place]);
      }),
    );
  });

  it('leave the random bytes as they were', () => {
    const random = Buffer.alloc(16, 0xff);
    chunkIdFrom(random);
    assert.deepEqual(random, Buffer.alloc(16, 0xff));
  });

  it('of others are not taken for ours', () => {
    const chunk = chunkIdFrom(Buffer.alloc(16, 0xab));
    assert.equal(taskPlace(chunk.slice(0, 14) + '4' + chunk.slice(15)), null, 'version 4');
    assert.equal(taskPlace(chunk.slice(0, 32) + '0080'), null, 'index 128');
    assert.equal(taskPlace(chunk.toUpperCase()), null, 'capitals');
    assert.equal(taskPlace(''), null);
    assert.ok(CHUNK_TASKS <= 128, 'the settle bitmap has 128 bits');
  });
});

describe('UUIDs', () => {
  it('round trip between bytes and text', () => {
    fc.assert(
      fc.property(sixteen, fc.nat(20), (bytes, offset) => {
        const text = uuidFromBytes(bytes);
        assert.ok(isUuid(text));
        assert.deepEqual(uuidToBytes(text), Buffer.from(bytes));
        const within = Buffer.concat([Buffer.alloc(offset), bytes, Buffer.alloc(3)]);
        assert.equal(uuidFromBytes(within, offset), text);
        assert.equal(uuidFromBytes(within.subarray(offset)), text, 'a view into a larger buffer');
      }),
    );
  });

  it('are told from other things', () => {
    for (const other of ['', '00000000-0000-0000-0000-00000000000', '00000000000000000000000000000000']) {
      assert.equal(isUuid(other), false, other);
    }
    assert.equal(isUuid('00000000-0000-0000-0000-000000000000\n'), false);
  });
});

describe('identity URNs', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(fc.uuid(), (identity) => {
        assert.equal(identityOfUrn(identityUrn(identity)), identity);
      }),
    );
    assert.equal(identityOfUrn('urn:globus:groups:id:00000000-0000-0000-0000-000000000000'), null);
  });
});
