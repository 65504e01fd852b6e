// Cron schedules: which instants are due, over daylight saving both ways and after times when nobody looked.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { MAX_CATCH_UP, dueInstants, nextInstant, type CatchUp } from '../../../src/triggers/schedule.ts';

const at = (text: string): number => Date.parse(text);
const due = (
  schedule: string,
  timezone: string,
  from: string,
  to: string,
  policy: CatchUp = 'all',
): string[] =>
  dueInstants({ schedule, timezone }, at(from), at(to), policy).instants.map((ms) =>
    new Date(ms).toISOString(),
  );

describe('a cron schedule', () => {
  it('in spring runs at the first valid time after the gap, on every day once', () => {
    assert.deepEqual(due('30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00:00Z', '2026-03-31T00:00:00Z'), [
      '2026-03-28T01:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-30T00:30:00.000Z',
    ]);
    assert.deepEqual(due('30 2 * * *', 'America/New_York', '2026-03-08T05:30:00Z', '2026-03-09T05:30:00Z'), [
      '2026-03-08T07:00:00.000Z',
    ]);
  });

  it('in autumn runs once when its time comes twice', () => {
    assert.deepEqual(due('30 2 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z', '2026-10-26T12:00:00Z'), [
      '2026-10-25T00:30:00.000Z',
      '2026-10-26T01:30:00.000Z',
    ]);
  });

  it('with * or / in hour or minute goes by elapsed time: nothing in the gap, both times of what comes twice', () => {
    assert.deepEqual(due('*/30 * * * *', 'Europe/Berlin', '2026-03-29T00:29:00Z', '2026-03-29T01:31:00Z'), [
      '2026-03-29T00:30:00.000Z',
      '2026-03-29T01:00:00.000Z',
      '2026-03-29T01:30:00.000Z',
    ]);
    assert.equal(
      due('*/30 * * * *', 'Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z').length,
      50,
    );
  });

  it('finds what passed while nobody looked: all, the last, or none of it', () => {
    const missed = (policy: CatchUp, to = '2026-06-01T10:30:00Z'): string[] =>
      due('0 * * * *', 'UTC', '2026-06-01T06:00:00Z', to, policy);
    assert.equal(missed('all').length, 4);
    assert.deepEqual(missed('last'), ['2026-06-01T10:00:00.000Z']);
    assert.deepEqual(missed('none'), []);
    assert.deepEqual(missed('none', '2026-06-01T10:00:20Z'), ['2026-06-01T10:00:00.000Z']);
    const { dropped } = dueInstants(
      { schedule: '0 * * * *', timezone: 'UTC' },
      at('2026-06-01T06:00:00Z'),
      at('2026-06-01T10:30:00Z'),
      'last',
    );
    assert.equal(dropped, 3);
  });

  it('catches up the newest thousand after a long time', () => {
    const to = at('2026-06-01T00:00:30Z');
    const found = dueInstants(
      { schedule: '* * * * *', timezone: 'Europe/Berlin' },
      at('2025-06-01T00:00:00Z'),
      to,
      'all',
    );
    assert.equal(found.instants.length, MAX_CATCH_UP);
    assert.ok(found.more);
    assert.equal(found.instants.at(-1), at('2026-06-01T00:00:00Z'));
    assert.equal(found.instants[0], at('2026-06-01T00:00:00Z') - (MAX_CATCH_UP - 1) * 60_000);
  });

  it('gives every instant once however the time is cut into looks', () => {
    const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata');
    const schedule = fc.constantFrom(
      '*/7 * * * *',
      '0 2 * * *',
      '30 1-3 * * *',
      '15,45 * * * 0',
      '0 */5 * * *',
    );
    const start = fc.constantFrom('2026-03-28T12:00:00Z', '2026-10-24T12:00:00Z', '2026-03-07T20:00:00Z');
    const cuts = fc.array(fc.integer({ min: 1, max: 20_000_000 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(zone, schedule, start, cuts, (timezone, text, from, waits) => {
        const rule = { schedule: text, timezone };
        let now = at(from);
        const pieces: number[] = [];
        for (const wait of waits) {
          pieces.push(...dueInstants(rule, now, now + wait, 'all').instants);
          now += wait;
        }
        assert.deepEqual(pieces, dueInstants(rule, at(from), now, 'all').instants);
        assert.equal(new Set(pieces).size, pieces.length);
      }),
      { numRuns: 60 },
    );
  });

  it('finds nothing due when the clock went backwards', () => {
    assert.deepEqual(due('* * * * *', 'UTC', '2026-06-01T12:00:00Z', '2026-06-01T11:00:00Z'), []);
  });

  it('is refused with a reason when it cannot be read, and known to end when it never comes', () => {
    const next = (schedule: string, timezone = 'UTC'): number | null =>
      nextInstant({ schedule, timezone }, 0);
    for (const bad of ['* * * *', '* * * * * *', '61 * * * *', 'a b c d e', '@daily'])
      assert.throws(() => next(bad), /schedule/, bad);
    assert.throws(() => next('* * * * *', 'Mars/Phobos'), /schedule cannot be read/);
    assert.equal(next('0 0 30 2 *'), null);
  });
});
