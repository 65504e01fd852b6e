// Flow engines die, share, stall and lose their database: every run ends as if nothing had happened, and no action is
// started twice.
import assert from 'node:assert/strict';
import type { Db } from '../../../src/db/connect.ts';
import type { FlowEngine } from '../../../src/flows/engine.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { withDatabase } from '../../support/database.ts';
import { makeDouble, type ProviderDouble } from './support/double.ts';
import { ADA, action, ended, flowOf, makeEngine, pushedClock, until } from './support/engine.ts';
import { makeMortal } from './support/mortal.ts';

const LEASE_MS = 100;

/** Two actions with a decision and a pass between them. */
const STATES: JsonObject = {
  A: action({ ResultPath: '$.a', End: undefined as never, Next: 'C' }),
  C: {
    Type: 'Choice',
    Choices: [{ Variable: '$.a.details.n', NumericGreaterThan: 0, Next: 'P' }],
    Default: 'P',
  },
  P: { Type: 'Pass', Parameters: { 'n.=': 'a.details.n + 1' }, Next: 'B' },
  B: action({ ResultPath: '$.b' }),
};
const CODES = [
  'FlowStarted',
  'ActionStarted',
  'ActionCompleted',
  'ChoiceStarted',
  'ChoiceCompleted',
  'PassStarted',
  'PassCompleted',
  'ActionStarted',
  'ActionCompleted',
  'FlowSucceeded',
];

/** Answers `n` back, some at once and some a little later. */
function makeCounter(): ProviderDouble {
  const double = makeDouble({
    birth: (body) =>
      Number(body['n']) % 2 === 0
        ? { status: 'SUCCEEDED', details: { n: body['n'] ?? 0 } }
        : { status: 'ACTIVE', details: {} },
    after: (verb) => {
      if (verb !== 'run') return;
      const last = double.started.at(-1);
      if (last?.document.status === 'ACTIVE')
        setTimeout(() => double.end(last, 'SUCCEEDED', { n: last.body['n'] ?? 0 }), 5);
    },
  });
  return double;
}

describe('flow engine under faults', function () {
  this.timeout(120_000);
  const database = withDatabase();
  const engines: FlowEngine[] = [];

  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.stop();
  });

  const start = async (double: ProviderDouble, lease_ms = LEASE_MS): Promise<FlowEngine> => {
    const engine = makeEngine(database(), double.client, { lease_ms });
    engines.push(engine);
    await engine.start();
    return engine;
  };

  async function endedAsItShould(engine: FlowEngine, run_id: string, double: ProviderDouble): Promise<void> {
    const run = await ended(engine, run_id);
    assert.equal(run.status, 'SUCCEEDED', JSON.stringify(run.details));
    const { entries } = await engine.runLog(ADA, run_id, { after: null, limit: 100, reverse: false });
    assert.deepEqual(
      entries.map((entry) => entry.code),
      CODES,
    );
    assert.deepEqual(
      entries.map((entry) => entry.seq),
      CODES.map((_, index) => index + 1),
    );
    const own = double.started.filter((one) => one.request_id.startsWith(run_id));
    assert.deepEqual(
      own.map((one) => one.request_id),
      [`${run_id}:1:A`, `${run_id}:4:B`],
    );
  }

  it('survives death at any call, before or after it has its effect', async () => {
    const setup = makeEngine(database(), makeDouble().client);
    const flow = (await setup.createFlow(ADA, flowOf(STATES))).id;
    let survived = 0;
    for (const when of ['before', 'after'] as const) {
      for (let at = 1; at <= 24; at += 1) {
        const double = makeCounter();
        const mortal = makeMortal(database().db, double.client, at, when);
        const victim = makeEngine(database(), mortal.actions, { db: mortal.db, lease_ms: LEASE_MS });
        // The dying engine is left as it is: a dead process says no goodbye.
        void victim.start();
        const request = {
          caller: ADA,
          flow_id: flow,
          request: { body: { n: 1 }, request_id: `${when}-${at}` },
        };
        const accepted = victim.startRuns([request]);
        const outcome = await Promise.race([accepted, until('it is dead', () => mortal.isDead())]);
        const ids =
          Array.isArray(outcome) && outcome[0] !== undefined && 'run_id' in outcome[0]
            ? [outcome[0].run_id]
            : [];
        await Promise.race([
          until('it is dead', () => mortal.isDead(), 30_000),
          ids[0] === undefined ? new Promise(() => undefined) : ended(setup, ids[0]),
        ]);
        mortal.kill();
        await until('it is taken for dead', async () => {
          const alive = await database().db.query('SELECT 1 FROM flow_engines WHERE alive_until > now()');
          return alive.length === 0;
        });
        const heir = await start(double);
        // Whoever got no answer asks again, and gets the run that may have been made.
        const [again] = await heir.startRuns([request]);
        assert.ok(again !== undefined && 'run_id' in again, JSON.stringify(again));
        if (ids[0] !== undefined) assert.equal(again.run_id, ids[0]);
        await endedAsItShould(heir, again.run_id, double);
        survived += 1;
        await engines.pop()?.stop();
      }
    }
    assert.equal(survived, 48);
  });

  it('several engines on one database never work on a run together', async () => {
    const double = makeCounter();
    const [first, second, third] = [
      await start(double, 10_000),
      await start(double, 10_000),
      await start(double, 10_000),
    ];
    const flow = (await first.createFlow(ADA, flowOf(STATES))).id;
    const ids: string[] = [];
    for (const [index, engine] of [first, second, third].entries()) {
      const requests = Array.from({ length: 100 }, (_, n) => ({
        caller: ADA,
        flow_id: flow,
        request: { body: { n }, request_id: `${index}-${n}` },
      }));
      for (const outcome of await engine.startRuns(requests))
        ids.push('run_id' in outcome ? outcome.run_id : assert.fail(String(outcome.error)));
    }
    await until('all have ended', async () => (await first.activeRuns(ids)).length === 0, 40_000);
    for (const id of ids) await endedAsItShould(second, id, double);
    assert.equal(double.started.length, 600);
    assert.equal(double.calls.run, 600, 'nobody even asked twice');
  });

  it('an engine that was silent for too long loses its runs and does no harm', async () => {
    const double = makeCounter();
    let stall: (() => void) | undefined;
    let stalled = false;
    const slow = {
      ...double.client,
      run: async (...args: Parameters<typeof double.client.run>) => {
        const document = await double.client.run(...args);
        stalled = true;
        await new Promise<void>((resolve) => (stall = resolve));
        return document;
      },
    };
    // Its heartbeat stops while a turn waits for a provider.
    let silent = false;
    const { db } = database();
    const named: Db['named'] = async (name, text, values) =>
      silent && name === 'flow_engine_touch' ? [] : db.named(name, text, values);
    const sleeper = makeEngine(database(), slow, { db: { ...db, named }, lease_ms: LEASE_MS });
    engines.push(sleeper);
    await sleeper.start();
    const flow = (await sleeper.createFlow(ADA, flowOf(STATES))).id;
    const run = await sleeper.startRun(ADA, flow, { body: { n: 2 } });
    await until('it waits for the provider', () => stalled);
    silent = true;
    const heir = await start(double);
    await endedAsItShould(heir, run.run_id, double);
    stall?.();
    await sleeper.stop();
    await endedAsItShould(heir, run.run_id, double);
  });

  it('looks at once at actions whose end was told to a process that died', async () => {
    const double = makeDouble();
    const clock = pushedClock();
    const victim = makeMortal(database().db, double.client, Infinity, 'after');
    const first = makeEngine(database(), victim.actions, { db: victim.db, clock, lease_ms: LEASE_MS });
    void first.start();
    const flow = (await first.createFlow(ADA, flowOf({ A: action({ WaitTime: 86_400 }) }))).id;
    const { run_id } = await first.startRun(ADA, flow, { body: { n: 1 } });
    // The next poll is more than a minute away by now.
    for (let polls = 1; polls < 7; polls += 1) {
      clock.push(600_000);
      await until('it is polled', () => double.calls.status >= polls);
    }
    const heir = await start(double);
    victim.kill();
    const one = double.started[0];
    assert.ok(one !== undefined);
    double.end(one, 'SUCCEEDED', {}, 'silent');
    assert.equal((await ended(heir, run_id, 5)).status, 'SUCCEEDED');
  });

  it('goes on when the database was away', async () => {
    const double = makeCounter();
    let away = false;
    const { db } = database();
    const refuse = (): Promise<never> =>
      Promise.reject(Object.assign(new Error('Connection terminated unexpectedly'), { code: '57P01' }));
    const flaky: Db = {
      ...db,
      named: (...args) => (away ? refuse() : db.named(...args)),
      query: (...args) => (away ? refuse() : db.query(...args)),
    };
    const engine = makeEngine(database(), double.client, { db: flaky, lease_ms: LEASE_MS });
    engines.push(engine);
    await engine.start();
    const flow = (await engine.createFlow(ADA, flowOf(STATES))).id;
    const outcomes = await engine.startRuns(
      Array.from({ length: 30 }, (_, n) => ({ caller: ADA, flow_id: flow, request: { body: { n } } })),
    );
    away = true;
    await new Promise((resolve) => setTimeout(resolve, 300));
    await assert.rejects(engine.startRun(ADA, flow, { body: { n: 1 } }), /Connection terminated/);
    away = false;
    for (const outcome of outcomes)
      await endedAsItShould(engine, 'run_id' in outcome ? outcome.run_id : '', double);
  });

  it('stops in order: turns end, leases are given back, another engine goes on at once', async () => {
    const double = makeCounter();
    const first = makeEngine(database(), double.client, { lease_ms: 60_000 });
    await first.start();
    const flow = (await first.createFlow(ADA, flowOf(STATES))).id;
    const outcomes = await first.startRuns(
      Array.from({ length: 200 }, (_, n) => ({ caller: ADA, flow_id: flow, request: { body: { n } } })),
    );
    await first.stop();
    const [{ leased } = { leased: -1 }] = await database().db.query<{ leased: number }>(
      'SELECT count(*)::int AS leased FROM runs WHERE lease IS NOT NULL',
    );
    assert.equal(leased, 0);
    const heir = await start(double);
    for (const outcome of outcomes)
      await endedAsItShould(heir, 'run_id' in outcome ? outcome.run_id : '', double);
  });
});
