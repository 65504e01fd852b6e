// Task batches: what goes in comes out, and nothing else is taken for a batch.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeBatch, encodeBatch, type BatchEntry } from '../../../src/protocol/batch.ts';

const entry: fc.Arbitrary<BatchEntry> = fc.record(
  {
    index: fc.nat(127),
    attempt: fc.nat(0xffff),
    payload: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  },
  { noNullPrototype: true },
);
const entries = fc.array(entry, { maxLength: 100 });

describe('task batches', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(entries, (given) => {
        assert.deepEqual(decodeBatch(encodeBatch(given)), given);
      }),
    );
  });

  it('decode to views, not copies', () => {
    const batch = encodeBatch([{ index: 0, attempt: 1, payload: Buffer.from('abc') }]);
    assert.equal(decodeBatch(batch)[0]?.payload.buffer, batch.buffer);
  });

  it('of the wrong length are refused', () => {
    fc.assert(
      fc.property(entries, fc.nat(), (given, cut) => {
        const batch = encodeBatch(given);
        assert.throws(() => decodeBatch(batch.subarray(0, cut % batch.length)), RangeError);
        assert.throws(() => decodeBatch(Buffer.concat([batch, Buffer.of(0)])), RangeError);
      }),
    );
  });
});
