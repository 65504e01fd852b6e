import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MAX_RETRIES, retryDelay } from '../../../src/sdk/policy.ts';

const get = { method: 'GET', retries: 0, http: null, fraction: 0.5 } as const;

describe('sdk: when a request is sent again', () => {
  it('never repeats a write', () => {
    const method = fc.constantFrom('POST', 'PUT', 'PATCH', 'DELETE');
    const http = fc.option(fc.integer({ min: 400, max: 599 }));
    fc.assert(fc.property(method, http, (method, http) => retryDelay({ ...get, method, http }) === null));
  });

  it('repeats a read that got no answer, or one that passes', () => {
    for (const http of [null, 429, 502, 503, 504]) assert.notEqual(retryDelay({ ...get, http }), null);
    for (const http of [400, 401, 403, 404, 409, 422, 500, 507])
      assert.equal(retryDelay({ ...get, http }), null);
  });

  it('waits longer each time, within bounds, and gives up', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (fraction) => {
        const waits = Array.from({ length: MAX_RETRIES }, (_, retries) =>
          retryDelay({ ...get, retries, fraction }),
        );
        assert.ok(waits.every((wait_ms) => wait_ms !== null && wait_ms > 0));
        assert.ok(waits.reduce<number>((sum, wait_ms) => sum + (wait_ms ?? 0), 0) <= 2000);
        assert.equal(retryDelay({ ...get, retries: MAX_RETRIES, fraction }), null);
      }),
    );
  });

  it('does as Retry-After says, unless that is too long', () => {
    assert.equal(retryDelay({ ...get, http: 429, retry_after_s: 2 }), 2000);
    assert.equal(retryDelay({ ...get, http: 429, retry_after_s: 0 }), 0);
    assert.equal(retryDelay({ ...get, http: 503, retry_after_s: 3600 }), null);
  });
});
