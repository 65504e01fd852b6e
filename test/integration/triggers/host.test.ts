// The trigger host on a real database: each event decided once and started once through crashes, restarts,
// refusals, limits, and with several hosts on one database.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../../src/errors.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import type { CloudEvent, StartRunRequest, TriggerPorts } from '../../../src/triggers/ports.ts';
import { makeEventStore, type TriggerNotice } from '../../../src/triggers/store.ts';
import { withDatabase } from '../../support/database.ts';
import { eventually, recordingPorts, startHost, withFolders } from '../../support/trigger-host.ts';
import type { RecordingPorts, TestHost } from '../../support/trigger-host.ts';

const OWNER = '11111111-1111-4111-8111-111111111111';
const OTHER = '33333333-3333-4333-8333-333333333333';
const FLOW = '22222222-2222-4222-8222-222222222222';

function hook(extra: JsonObject = {}): JsonObject {
  return { name: 'hook', kind: 'webhook', flow_id: FLOW, config: {}, input: { 'n.$': '$.data.n' }, ...extra };
}

function drop(dir: string, config: JsonObject = {}): JsonObject {
  return {
    name: 'drop',
    kind: 'file',
    flow_id: FLOW,
    config: { dir, settle_s: 0.2, poll_s: 1, ...config },
    input: { 'path.$': '$.path' },
  };
}

describe('the trigger host', () => {
  const database = withDatabase();
  const folder = withFolders();
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
    await database().db.query('DELETE FROM triggers');
    await database().db.query('DELETE FROM trigger_hosts');
  });

  const begin = (
    doors: RecordingPorts = recordingPorts(),
    extra: Parameters<typeof startHost>[2] = {},
  ): TestHost & RecordingPorts => {
    const started = startHost(database().url, doors.ports, extra);
    ends.push(started.end);
    return { ...started, ...doors };
  };
  const post = async ({ host }: TestHost, id: string, n: number): Promise<string> =>
    (
      await host.receive(OWNER, id, {
        headers: { 'content-type': 'application/json', 'idempotency-key': `shot-${n}` },
        body: { n },
      })
    ).event_id;
  /** Every event has one decision, every fired one its own run, and no run was asked for twice with effect. */
  const checkBooks = async (doors: RecordingPorts, events: number): Promise<void> => {
    const [sums] = await database().db.query<{ all: number; open: number; runs: number }>(
      `SELECT count(*) AS all, count(*) FILTER (WHERE decision IS NULL) AS open,
         count(DISTINCT run_id) AS runs FROM trigger_events`,
    );
    assert.deepEqual(sums, { all: events, open: 0, runs: events });
    assert.equal(doors.runs.size, events);
  };

  it('starts what was stored but not decided when the process died in between', async () => {
    const dir = await folder();
    const dying = recordingPorts({
      startRun: () => {
        throw new Error('the process dies here');
      },
    });
    const first = begin(dying);
    const trigger = await first.host.create(OWNER, drop(dir));
    for (let i = 0; i < 20; i++) await writeFile(join(dir, `${i}.h5`), 'x');
    await eventually(async () => (await first.host.get(OWNER, trigger.id)).stats.waiting === 20);
    await ends.pop()?.();
    const second = begin();
    await eventually(() => second.runs.size === 20);
    await eventually(async () => (await second.host.get(OWNER, trigger.id)).stats.fired === 20);
    await checkBooks(second, 20);
  });

  it('has the same run when the process died between the start of a run and the note of it', async () => {
    const doors = recordingPorts();
    const { startRun } = doors.ports;
    let deaths = 3;
    const dying: TriggerPorts = {
      ...doors.ports,
      async startRun(request) {
        const run = await startRun(request);
        if (deaths-- > 0) throw new Error('the answer was lost');
        return run;
      },
    };
    const one = begin({ ...doors, ports: dying });
    const trigger = await one.host.create(OWNER, hook());
    await post(one, trigger.id, 1);
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).stats.fired === 1, 20_000);
    assert.equal(doors.asked.length, 4);
    await checkBooks(doors, 1);
    const { events } = await one.host.events(OWNER, trigger.id);
    assert.equal(events[0]?.run_id, [...doors.runs.values()][0]?.run_id);
  });

  it('finds the files that came while it was down, each once', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const first = begin(doors);
    const trigger = await first.host.create(OWNER, drop(dir));
    for (let i = 0; i < 5; i++) await writeFile(join(dir, `${i}.h5`), 'x');
    await eventually(() => doors.runs.size === 5);
    await ends.pop()?.();
    for (let i = 5; i < 9; i++) await writeFile(join(dir, `${i}.h5`), 'x');
    await writeFile(join(dir, '0.h5'), 'rewritten');
    const second = begin(doors);
    await eventually(() => doors.runs.size === 10);
    await eventually(async () => (await second.host.get(OWNER, trigger.id)).stats.fired === 10);
    assert.equal(doors.asked.length, 10);
    await checkBooks(doors, 10);
  });

  it('starts 5,000 runs for 5,000 files at once, in batches', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const { startRun } = doors.ports;
    const batches: number[] = [];
    const startRuns = async (requests: readonly StartRunRequest[]) => {
      batches.push(requests.length);
      return Promise.all(requests.map(startRun));
    };
    const one = begin({ ...doors, ports: { ...doors.ports, startRuns } });
    const trigger = await one.host.create(OWNER, drop(dir));
    for (let i = 0; i < 5_000; i++) await writeFile(join(dir, `f${String(i).padStart(4, '0')}.h5`), 'x');
    await eventually(() => doors.runs.size === 5_000, 30_000);
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).stats.fired === 5_000);
    await checkBooks(doors, 5_000);
    assert.equal(doors.asked.length, 5_000);
    assert.ok(batches.length < 500, `${batches.length} batches`);
  });

  it('fires each file once with two hosts on one database, and one takes over from the other', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const first = begin(doors);
    const second = begin(doors);
    const trigger = await first.host.create(OWNER, drop(dir));
    for (let i = 0; i < 50; i++) await writeFile(join(dir, `${i}.h5`), 'x');
    await eventually(() => doors.runs.size === 50);
    // The other host may be asked just as well.
    await eventually(async () => (await second.host.get(OWNER, trigger.id)).stats.fired === 50);
    await first.host.stop();
    for (let i = 50; i < 100; i++) await writeFile(join(dir, `${i}.h5`), 'x');
    await eventually(() => doors.runs.size === 100, 20_000);
    await eventually(async () => (await second.host.get(OWNER, trigger.id)).stats.fired === 100);
    await checkBooks(doors, 100);
    assert.equal(doors.asked.length, 100);
  });

  it('takes the triggers of a dead host over within 15 s', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const first = begin(doors);
    const trigger = await first.host.create(OWNER, drop(dir));
    await writeFile(join(dir, 'a.h5'), 'x');
    await eventually(() => doors.runs.size === 1);
    // As if it had been stopped: it leads on paper, but says no more that it lives.
    const [leader] = await first.db.query<{ id: string }>('SELECT lease_holder AS id FROM triggers');
    await first.db.close();
    ends.splice(0);
    const start = Date.now();
    const second = begin(doors);
    await writeFile(join(dir, 'b.h5'), 'x');
    await eventually(() => doors.runs.size === 2, 20_000);
    assert.ok(Date.now() - start < 15_000);
    const [now] = await second.db.query<{ id: string }>('SELECT lease_holder AS id FROM triggers');
    assert.notEqual(now?.id, leader?.id);
    await eventually(async () => (await second.host.get(OWNER, trigger.id)).stats.fired === 2);
    await first.host.stop();
  });

  it('writes nothing for a trigger that another host leads now', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const one = begin(doors);
    const trigger = await one.host.create(OWNER, drop(dir));
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).health.state === 'watching');
    await one.db.query("INSERT INTO trigger_hosts VALUES ($1, now() + interval '1 hour')", [OTHER]);
    await one.db.query('UPDATE triggers SET lease_holder = $1', [OTHER]);
    await writeFile(join(dir, 'a.h5'), 'x');
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).health.state === 'starting');
    assert.equal((await one.host.events(OWNER, trigger.id)).events.length, 0);
    await one.db.query('DELETE FROM trigger_hosts WHERE id = $1', [OTHER]);
    await eventually(() => doors.runs.size === 1);
  });

  it('ends an event as failed when the flow refuses it, and tries again what may succeed later', async () => {
    const doors = recordingPorts();
    const { startRun } = doors.ports;
    const tries = new Map<number, number>();
    const ports: TriggerPorts = {
      ...doors.ports,
      startRun(request) {
        const n = request.body.n as number;
        tries.set(n, (tries.get(n) ?? 0) + 1);
        if (n === 1) throw new Fault('flow_input_invalid', 'n must be even');
        if (n === 2 && tries.get(2) === 1) throw new Fault('unavailable', 'come back later');
        return startRun(request);
      },
    };
    const one = begin({ ...doors, ports });
    const trigger = await one.host.create(OWNER, hook());
    for (const n of [1, 2, 3]) await post(one, trigger.id, n);
    await one.host.receive(OWNER, trigger.id, { headers: {}, body: { m: 1 } });
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).stats.waiting === 0);
    const { stats } = await one.host.get(OWNER, trigger.id);
    assert.deepEqual([stats.fired, stats.failed, stats.events], [2, 2, 4]);
    assert.deepEqual([...tries.values()], [1, 2, 1]);
    const { events } = await one.host.events(OWNER, trigger.id, { decision: 'failed' });
    assert.match(events[0]?.reason ?? '', /\$\.data\.n is not in the event/);
    assert.match(events[1]?.reason ?? '', /n must be even/);
  });

  it('runs no more at a time than its limit says, and all in the end', async () => {
    const doors = recordingPorts();
    const active = new Set<string>();
    let most = 0;
    const ports: TriggerPorts = {
      ...doors.ports,
      async startRun(request) {
        const run = await doors.ports.startRun(request);
        active.add(run.run_id);
        most = Math.max(most, active.size);
        return run;
      },
      activeRuns: async (ids) => ids.filter((id) => active.has(id)),
    };
    const one = begin({ ...doors, ports });
    const trigger = await one.host.create(OWNER, hook({ max_in_flight: 3 }));
    for (let n = 0; n < 11; n++) await post(one, trigger.id, n);
    await eventually(() => active.size === 3);
    for (let left = 11; left > 0; left -= 3) {
      await eventually(() => active.size === Math.min(3, left));
      active.clear();
      one.host.wake();
    }
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).stats.fired === 11);
    assert.equal(most, 3);
    const refusing = begin();
    await assert.rejects(refusing.host.create(OWNER, hook({ max_in_flight: 3 })), /cannot limit/);
  });

  it('starts nothing while paused: sources rest, webhooks are noted, and it goes on when resumed', async () => {
    const dir = await folder();
    const doors = recordingPorts();
    const one = begin(doors);
    const files = await one.host.create(OWNER, drop(dir));
    const hooks = await one.host.create(OWNER, hook());
    assert.equal((await one.host.pause(OWNER, files.id)).state, 'paused');
    await one.host.pause(OWNER, hooks.id);
    await writeFile(join(dir, 'a.h5'), 'x');
    const receipt = await one.host.receive(OWNER, hooks.id, { headers: {}, body: { n: 1 } });
    assert.equal(receipt.decision, 'paused');
    await eventually(async () => (await one.host.get(OWNER, hooks.id)).stats.paused === 1);
    assert.equal(doors.asked.length, 0);
    await one.host.resume(OWNER, files.id);
    await one.host.resume(OWNER, hooks.id);
    await post(one, hooks.id, 2);
    await eventually(() => doors.runs.size === 2);
    assert.equal((await one.host.get(OWNER, hooks.id)).stats.fired, 1);
  });

  it('fires by hand: with a stored event, a given one, or none, also when paused or filtered', async () => {
    const doors = recordingPorts();
    const one = begin(doors);
    const trigger = await one.host.create(OWNER, hook({ filter: { subject: 'no/such/*' } }));
    const event_id = await post(one, trigger.id, 7);
    await eventually(async () => (await one.host.get(OWNER, trigger.id)).stats.filtered === 1);
    await one.host.pause(OWNER, trigger.id);
    const again = await one.host.fire(OWNER, trigger.id, { event_id, request_id: 'r1' });
    assert.equal(again.decision, 'fired');
    assert.deepEqual(doors.asked[0]?.body, { n: 7 });
    const repeat = await one.host.fire(OWNER, trigger.id, { event_id, request_id: 'r1' });
    assert.deepEqual([repeat.duplicate, repeat.run_id], [true, again.run_id]);
    const given = await one.host.fire(OWNER, trigger.id, { event: { data: { n: 8 } } });
    assert.equal(given.decision, 'fired');
    const none = await one.host.fire(OWNER, trigger.id, {});
    assert.equal(none.decision, 'failed');
    assert.equal(doors.runs.size, 2);
    await assert.rejects(one.host.fire(OWNER, trigger.id, { event_id: 'nope' }), /has no event nope/);
  });

  it('shows a trigger to its owner only, and takes its events away with it', async () => {
    const one = begin();
    const trigger = await one.host.create(OWNER, hook());
    await post(one, trigger.id, 1);
    const { host } = one;
    const attempts: (() => Promise<unknown>)[] = [
      () => host.get(OTHER, trigger.id),
      () => host.delete(OTHER, trigger.id),
      () => host.pause(OTHER, trigger.id),
      () => host.resume(OTHER, trigger.id),
      () => host.fire(OTHER, trigger.id, {}),
      () => host.events(OTHER, trigger.id),
      () => host.receive(OTHER, trigger.id, { headers: {}, body: {} }),
      () => host.get(OWNER, 'no-id'),
      () => host.get(OWNER, OTHER),
    ];
    for (const attempt of attempts)
      await assert.rejects(attempt, (error) => error instanceof Fault && error.code === 'trigger_not_found');
    assert.deepEqual(await host.list(OTHER), []);
    assert.deepEqual(
      (await host.list(OWNER)).map((one) => one.id),
      [trigger.id],
    );
    await host.delete(OWNER, trigger.id);
    await assert.rejects(host.get(OWNER, trigger.id), /No such trigger/);
    await eventually(
      async () =>
        (await one.db.query('SELECT 1 FROM triggers UNION ALL SELECT 1 FROM trigger_events')).length === 0,
    );
  });

  it('takes no more events than may wait: requests are refused, sources held back, and go on', async () => {
    const { db } = database();
    const one = begin();
    const trigger = await one.host.create(OWNER, hook());
    await ends.pop()?.();
    let now = 0;
    const store = makeEventStore({
      db,
      host: OTHER,
      elapsed: () => (now += 2_000),
      max_waiting: 3,
      notify: () => undefined,
      onStored: () => undefined,
    });
    const event = (id: string): CloudEvent => ({ specversion: '1.0', id, source: '/s', type: 't' });
    for (const id of ['a', 'b', 'c', 'd']) await store.fromRequest(trigger.id, event(id), false);
    await assert.rejects(
      store.fromRequest(trigger.id, event('e'), false),
      (error) => error instanceof Fault && error.code === 'too_many_requests',
    );
    await db.query('UPDATE triggers SET lease_holder = $1', [OTHER]);
    let stored = false;
    const signal = new AbortController().signal;
    const held = store.fromSource(trigger.id, [event('f')], null, signal).then(() => (stored = true));
    await eventually(() => now > 20_000);
    assert.equal(stored, false);
    await db.query("UPDATE trigger_events SET decision = 'filtered'");
    await held;
    assert.equal((await db.query('SELECT 1 FROM trigger_events')).length, 5);
  });

  it('pages through events newest first, and tells listeners what happens', async () => {
    const one = begin();
    const notices: TriggerNotice[] = [];
    const end = one.host.onEvent((notice) => notices.push(notice));
    const trigger = await one.host.create(OWNER, hook());
    for (let n = 0; n < 7; n++) await post(one, trigger.id, n);
    await eventually(() => notices.filter((notice) => notice.is === 'decided').length === 7);
    assert.equal(notices.filter((notice) => notice.is === 'stored').length, 7);
    const seen: string[] = [];
    for (let marker: string | null = ''; marker !== null;) {
      const page = await one.host.events(OWNER, trigger.id, {
        limit: 3,
        ...(marker === '' ? {} : { marker }),
      });
      seen.push(...page.events.map((event) => event.event_id));
      marker = page.marker;
    }
    assert.deepEqual(
      seen,
      [6, 5, 4, 3, 2, 1, 0].map((n) => `shot-${n}`),
    );
    end();
    await post(one, trigger.id, 99);
    assert.equal(notices.length, 14);
  });

  it('asks whether the owner may run the flow before a trigger is made, and refuses bad ones with a reason', async () => {
    const doors = recordingPorts({
      checkFlow: async (owner, id) => {
        assert.equal(owner, OWNER);
        if (id !== FLOW) throw new Fault('flow_not_found', `No such flow: ${id}`);
      },
    });
    const { host } = begin(doors);
    await assert.rejects(host.create(OWNER, hook({ flow_id: OTHER })), /No such flow/);
    const bad: readonly [JsonObject, RegExp][] = [
      [{ kind: 'smoke' }, /kind/],
      [{ name: '' }, /name/],
      [{ state: 'active' }, /additional property "state"/],
      [{ flow_id: 'x' }, /flow_id/],
      [{ input: { 'x.$': '$.nope' } }, /reference path/],
      [{ label: '{nope}' }, /reference path/],
      [{ filter: { subject: '[' } }, /pattern/],
      [{ config: { dir: '/' } }, /additional property "dir"/],
      [{ config: { schedule: '* * * *' }, kind: 'cron' }, /schedule|minimum length/],
      [{ signing_secret: 'a very long secret' }, /no key/],
    ];
    for (const [change, why] of bad)
      await assert.rejects(host.create(OWNER, hook(change)), why, JSON.stringify(change));
    assert.deepEqual(await host.list(OWNER), []);
  });
});
