// Result slabs: what goes in comes out, the quick scan agrees with the full reading, damage is refused.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { OUTCOMES } from '../../../src/lifecycle.ts';
import {
  decodeSlab,
  encodeSlab,
  scanSlab,
  systemResult,
  type SlabEntry,
} from '../../../src/protocol/slab.ts';

const bytes = fc.uint8Array({ maxLength: 40 }).map((given) => Buffer.from(given));
const entry: fc.Arbitrary<SlabEntry> = fc.record(
  {
    index: fc.nat(127),
    outcome: fc.constantFrom(...OUTCOMES),
    attempt: fc.nat(0xffff),
    started_s: fc.double({ noNaN: true }),
    duration_s: fc.double({ min: 0, max: 1e9, noNaN: true }),
    data: bytes,
    stdout: bytes,
    stderr: bytes,
  },
  { noNullPrototype: true },
);
const entries = fc.array(entry, { maxLength: 100 });

describe('result slabs', () => {
  it('round trip', () => {
    fc.assert(
      fc.property(entries, (given) => {
        assert.deepEqual(decodeSlab(encodeSlab(given)), given);
      }),
    );
  });

  it('are scanned to what they hold', () => {
    fc.assert(
      fc.property(entries, (given) => {
        const { indexes, duration_s } = scanSlab(encodeSlab(given));
        assert.deepEqual(
          indexes,
          given.map(({ index }) => index),
        );
        assert.equal(
          duration_s,
          given.reduce((sum, one) => sum + one.duration_s, 0),
        );
      }),
    );
  });

  it('of the wrong length are refused', () => {
    fc.assert(
      fc.property(entries, fc.nat(), (given, cut) => {
        const slab = encodeSlab(given);
        for (const wrong of [slab.subarray(0, cut % slab.length), Buffer.concat([slab, Buffer.of(0)])]) {
          assert.throws(() => decodeSlab(wrong), RangeError);
          assert.throws(() => scanSlab(wrong), RangeError);
        }
      }),
    );
  });

  it('with an outcome or an index that cannot be are refused', () => {
    const slab = encodeSlab([systemResult(0, 1, 'cancelled', 'c', 'm', 0)]);
    const outcome = Buffer.from(slab);
    outcome.writeUInt8(OUTCOMES.length, 3);
    assert.throws(() => decodeSlab(outcome), RangeError);
    assert.throws(() => scanSlab(outcome), RangeError);
    const index = Buffer.from(slab);
    index.writeUInt8(128, 2);
    assert.throws(() => scanSlab(index), RangeError);
  });

  it('carry what the system says about a task it ended', () => {
    const result = systemResult(3, 2, 'system_failure', 'worker_lost', 'why', 1.5);
    const [decoded] = decodeSlab(encodeSlab([result]));
    assert.deepEqual(decoded, result);
    assert.deepEqual(JSON.parse(result.data.toString()), { code: 'worker_lost', message: 'why' });
  });
});
