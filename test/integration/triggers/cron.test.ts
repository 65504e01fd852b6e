// Cron triggers on a real database with a given clock: each instant once, and what was missed by policy.
import assert from 'node:assert/strict';
import type { Clock } from '../../../src/clock.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { withDatabase } from '../../support/database.ts';
import { eventually, recordingPorts, startHost } from '../../support/trigger-host.ts';

const OWNER = '11111111-1111-4111-8111-111111111111';
const FLOW = '22222222-2222-4222-8222-222222222222';

function cron(config: JsonObject): JsonObject {
  return {
    name: 'nightly',
    kind: 'cron',
    flow_id: FLOW,
    config,
    input: { 'at.$': '$.data.scheduled' },
  };
}

describe('a cron trigger', () => {
  const database = withDatabase();
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
    await database().db.query('DELETE FROM triggers');
  });
  const begin = (clock: Clock, doors = recordingPorts()) => {
    const started = startHost(database().url, doors.ports, { clock });
    ends.push(started.end);
    return { ...started, ...doors, times: () => doors.asked.map((one) => one.body.at as string) };
  };
  /** The trigger as if it had been made long ago and dealt with everything up to then. */
  const setCursor = async (id: string, last: string): Promise<void> => {
    await database().db.query('UPDATE triggers SET cursor = $2 WHERE id = $1', [id, { last }]);
  };
  const at = (text: string): Clock => ({ now: () => Date.parse(text) });

  it('fires after a restart what it missed, by its policy, and every instant once', async () => {
    for (const [catch_up, expected] of [
      ['all', 4],
      ['last', 1],
      ['none', 0],
    ] as const) {
      const first = begin(at('2026-06-01T06:00:30Z'));
      const trigger = await first.host.create(OWNER, cron({ schedule: '0 * * * *', catch_up }));
      await first.host.stop();
      await setCursor(trigger.id, '2026-06-01T06:00:30Z');
      const second = begin(at('2026-06-01T10:30:00Z'));
      await eventually(async () => (await second.host.get(OWNER, trigger.id)).health.state === 'watching');
      await eventually(() => second.asked.length === expected);
      if (expected > 0) assert.equal(second.times().at(-1), '2026-06-01T10:00:00.000Z');
      await second.host.stop();
      const third = begin(at('2026-06-01T10:30:00Z'));
      await eventually(async () => (await third.host.get(OWNER, trigger.id)).health.state === 'watching');
      assert.equal((await third.host.events(OWNER, trigger.id)).events.length, expected);
      await third.host.delete(OWNER, trigger.id);
      await third.host.stop();
    }
  });

  it('fires once for each local night through the changes of the clocks', async () => {
    for (const [from, to, expected] of [
      [
        '2026-03-28T12:00:00Z',
        '2026-03-30T12:00:00Z',
        ['2026-03-29T01:00:00.000Z', '2026-03-30T00:30:00.000Z'],
      ],
      [
        '2026-10-24T12:00:00Z',
        '2026-10-26T12:00:00Z',
        ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
      ],
    ] as const) {
      const first = begin(at(from));
      const config = { schedule: '30 2 * * *', timezone: 'Europe/Berlin', catch_up: 'all' };
      const trigger = await first.host.create(OWNER, cron(config));
      await first.host.stop();
      await setCursor(trigger.id, from);
      const second = begin(at(to));
      await eventually(() => second.asked.length === expected.length);
      assert.deepEqual(second.times(), expected);
      await second.host.delete(OWNER, trigger.id);
      await second.host.stop();
    }
  });

  it('fires no instant twice when the clock is set back over it', async () => {
    const doors = recordingPorts();
    const first = begin(at('2026-06-01T10:00:10Z'), doors);
    const trigger = await first.host.create(OWNER, cron({ schedule: '0 * * * *', catch_up: 'all' }));
    await first.host.stop();
    await setCursor(trigger.id, '2026-06-01T09:30:00Z');
    const second = begin(at('2026-06-01T10:00:10Z'), doors);
    await eventually(() => doors.asked.length === 1);
    await second.host.stop();
    // An hour back: from here the instant of ten o'clock comes a second time.
    let now = Date.parse('2026-06-01T09:59:59.800Z');
    const began = performance.now();
    const third = begin({ now: () => now + (performance.now() - began) }, doors);
    await eventually(async () => (await third.host.get(OWNER, trigger.id)).health.state === 'watching');
    await eventually(async () => {
      const { next_fire_at } = (await third.host.get(OWNER, trigger.id)).health;
      return next_fire_at === '2026-06-01T11:00:00.000Z';
    });
    assert.equal(doors.asked.length, 1);
    now += 3_600_000;
    await third.host.pause(OWNER, trigger.id);
    await third.host.resume(OWNER, trigger.id);
    await eventually(() => doors.asked.length === 2);
    assert.deepEqual(third.times(), ['2026-06-01T10:00:00.000Z', '2026-06-01T11:00:00.000Z']);
  });
});
