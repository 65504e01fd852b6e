import assert from 'node:assert/strict';
import fc from 'fast-check';
import { splitCalls } from '../../../src/sdk/split.ts';

const call = fc.record({ args: fc.array(fc.jsonValue(), { maxLength: 3 }) });
const limits = fc.record({
  max_bytes: fc.integer({ min: 1, max: 400 }),
  max_calls: fc.integer({ min: 1, max: 20 }),
});

describe('sdk: cutting a submission', () => {
  it('keeps every call once and in order, within the limits', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 60 }), limits, (calls, limits) => {
        const parts = [...splitCalls(calls, limits)].map((text) => ({
          text,
          calls: JSON.parse(text) as unknown[],
        }));
        assert.deepEqual(
          parts.flatMap((part) => part.calls),
          JSON.parse(JSON.stringify(calls)),
        );
        for (const part of parts) {
          assert.ok(part.calls.length >= 1 && part.calls.length <= limits.max_calls);
          assert.ok(part.calls.length === 1 || Buffer.byteLength(part.text) <= limits.max_bytes + 1);
        }
      }),
    );
  });

  it('cuts no sooner than it must', () => {
    const calls = Array.from({ length: 10 }, () => ({ args: [] }));
    assert.deepEqual(
      [...splitCalls(calls, { max_bytes: 1e6, max_calls: 4 })].map((text) => (JSON.parse(text) as []).length),
      [4, 4, 2],
    );
    assert.equal([...splitCalls(calls)].length, 1);
  });

  it('counts bytes, not characters', () => {
    const calls = [{ args: ['é'.repeat(100)] }, { args: ['é'.repeat(100)] }];
    assert.equal([...splitCalls(calls, { max_bytes: 300, max_calls: 10 })].length, 2);
  });
});
