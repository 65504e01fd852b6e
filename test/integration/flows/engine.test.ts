// The engine on a real PostgreSQL against a provider double: runs end, effects happen once, whatever breaks.
import assert from 'node:assert/strict';
import type { Fault } from '../../../src/errors.ts';
import type { FlowEngine } from '../../../src/flows/engine.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { withDatabase } from '../../support/database.ts';
import { makeDouble, type DoubleAction } from './support/double.ts';
import { ADA, action, BOB, ended, flowOf, makeEngine, pushedClock, until } from './support/engine.ts';

describe('flow engine', function () {
  this.timeout(60_000);
  const database = withDatabase();
  const engines: FlowEngine[] = [];

  async function started(
    ...args: Parameters<typeof makeEngine> extends [unknown, ...infer R] ? R : never
  ): Promise<FlowEngine> {
    const engine = makeEngine(database(), ...args);
    engines.push(engine);
    await engine.start();
    return engine;
  }
  async function createdFlow(engine: FlowEngine, states: JsonObject): Promise<string> {
    return (await engine.createFlow(ADA, flowOf(states))).id;
  }
  const lastAction = (double: { started: readonly DoubleAction[] }): Promise<DoubleAction> =>
    until('an action', () => double.started.at(-1));

  afterEach(async () => {
    for (const engine of engines.splice(0)) await engine.stop();
    await database().db.query(
      'UPDATE runs SET wake_at = NULL, status = $1, completion_time = now(), lease = NULL WHERE wake_at IS NOT NULL',
      ['FAILED'],
    );
  });

  it('runs a flow to its end, woken by the end of its action', async () => {
    const double = makeDouble();
    const engine = await started(double.client);
    const flow = await createdFlow(engine, {
      A: action({ End: undefined as never, Next: 'B' }),
      B: { Type: 'Pass', Parameters: { 'sum.=': 'n + result.details.m' }, End: true },
    });
    const run = await engine.startRun(ADA, flow, { body: { n: 1 }, label: 'my run' });
    assert.equal(run.status, 'ACTIVE');
    assert.deepEqual(run.details, {
      code: 'FlowStarting',
      description: 'The Flow is starting execution',
      details: { input: { n: 1 } },
    });
    const one = await lastAction(double);
    assert.deepEqual([one.body, one.caller.urn], [{ n: 1 }, ADA.urn]);
    await until(
      'the run shows its action',
      async () => (await engine.getRun(ADA, run.run_id)).details['state_name'] === 'A',
    );
    const before = performance.now();
    double.end(one, 'SUCCEEDED', { m: 41 });
    const final = await ended(engine, run.run_id);
    assert.ok(performance.now() - before < 800, 'the end of an action wakes its run, no poll was waited for');
    assert.deepEqual(final.details['output'], { sum: 42 });
    assert.equal(double.calls.run, 1);
    await until('the action is released', () => one.released);
    const { entries } = await engine.runLog(ADA, run.run_id, { after: null, limit: 50, reverse: false });
    assert.deepEqual(
      entries.map((entry) => entry.code),
      ['FlowStarted', 'ActionStarted', 'ActionCompleted', 'PassStarted', 'PassCompleted', 'FlowSucceeded'],
    );
    assert.deepEqual(
      entries.map((entry) => entry.seq),
      [1, 2, 3, 4, 5, 6],
    );
  });

  it('finds the end of an action by polling when no hint comes', async () => {
    const double = makeDouble();
    const engine = await started(double.client);
    const run = await engine.startRun(ADA, await createdFlow(engine, { A: action() }), { body: { n: 1 } });
    double.end(await lastAction(double), 'SUCCEEDED', {}, 'silent');
    assert.equal((await ended(engine, run.run_id)).status, 'SUCCEEDED');
  });

  it('does not miss an action that ends before its start is stored', async () => {
    let double = makeDouble();
    // The action ends, and says so, while the answer to its start is still on the way.
    double = makeDouble({
      after: (verb) =>
        verb === 'run' ? double.end(double.started.at(-1) as DoubleAction, 'SUCCEEDED') : undefined,
    });
    const born = double.client.run;
    const engine = await started({
      ...double.client,
      run: async (...args) => ({ ...(await born(...args)), status: 'ACTIVE' }),
    });
    const run = await engine.startRun(ADA, await createdFlow(engine, { A: action() }), { body: { n: 1 } });
    const before = performance.now();
    await ended(engine, run.run_id);
    assert.ok(performance.now() - before < 800, 'the hint was remembered');
  });

  it('ends a thousand runs started in batches', async () => {
    const double = makeDouble({
      birth: (body) => ({
        status: Number(body['n']) % 10 === 3 ? 'FAILED' : 'SUCCEEDED',
        details: { n: body['n'] ?? null },
      }),
    });
    const engine = await started(double.client);
    const flow = await createdFlow(engine, { A: action() });
    const ids: string[] = [];
    for (let batch = 0; batch < 4; batch += 1) {
      const outcomes = await engine.startRuns(
        Array.from({ length: 250 }, (_, n) => ({
          caller: ADA,
          flow_id: flow,
          request: { body: { n }, request_id: `b${batch}-${n}` },
        })),
      );
      for (const outcome of outcomes)
        ids.push('run_id' in outcome ? outcome.run_id : assert.fail(String(outcome.error)));
    }
    assert.equal(new Set(ids).size, 1_000);
    await until('all have ended', async () => (await engine.activeRuns(ids)).length === 0, 40_000);
    const [{ failed, succeeded } = { failed: 0, succeeded: 0 }] = await database().db.query<{
      failed: number;
      succeeded: number;
    }>(
      `SELECT count(*) FILTER (WHERE status = 'FAILED')::int AS failed, count(*) FILTER (WHERE status = 'SUCCEEDED')::int AS succeeded FROM runs WHERE flow_id = $1`,
      [flow],
    );
    assert.deepEqual([succeeded, failed], [900, 100]);
    assert.equal(double.started.length, 1_000);
  });

  it('answers the same run for the same request_id, also within one batch', async () => {
    const double = makeDouble({ birth: () => ({ status: 'SUCCEEDED', details: {} }) });
    const engine = await started(double.client);
    const flow = await createdFlow(engine, { A: action() });
    const request = { body: { n: 1 }, request_id: 'once' };
    const first = await engine.startRun(ADA, flow, request);
    assert.equal((await engine.startRun(ADA, flow, request)).run_id, first.run_id);
    await assert.rejects(
      engine.startRun(ADA, flow, { ...request, body: { n: 2 } }),
      (error: Fault) => error.code === 'state_conflict',
    );
    const twice = { caller: ADA, flow_id: flow, request: { body: { n: 1 }, request_id: 'twice' } };
    const [a, b] = await engine.startRuns([
      twice,
      twice,
      { ...twice, flow_id: '99999999-9999-4999-8999-999999999999' },
    ]);
    assert.ok(a !== undefined && b !== undefined && 'run_id' in a && 'run_id' in b);
    assert.equal(a.run_id, b.run_id);
    const bob = await engine.startRuns([{ ...twice, caller: BOB }]);
    assert.ok(bob[0] !== undefined && 'error' in bob[0]);
    await ended(engine, first.run_id);
  });

  it('cancels a run and the action it waits for', async () => {
    const double = makeDouble();
    const engine = await started(double.client);
    const run = await engine.startRun(ADA, await createdFlow(engine, { A: action() }), { body: { n: 1 } });
    const one = await lastAction(double);
    await engine.cancelRun(ADA, run.run_id);
    const final = await ended(engine, run.run_id);
    assert.equal(final.status, 'FAILED');
    assert.equal(final.details['code'], 'FlowCanceled');
    assert.equal(one.document.status, 'FAILED');
    assert.equal(
      (await engine.cancelRun(ADA, run.run_id)).status,
      'FAILED',
      'cancelling an ended run changes nothing',
    );
  });

  it('cancels a run at any moment of a busy life', async () => {
    const double = makeDouble({ birth: () => ({ status: 'SUCCEEDED', details: {} }) });
    const engine = await started(double.client);
    const flow = await createdFlow(engine, { A: action({ End: undefined as never, Next: 'A' }) });
    const runs = await Promise.all(
      Array.from({ length: 20 }, () => engine.startRun(ADA, flow, { body: { n: 1 } })),
    );
    await until('they are under way', () => double.started.length > 200);
    await Promise.all(runs.map((run) => engine.cancelRun(ADA, run.run_id)));
    for (const run of runs) assert.equal((await ended(engine, run.run_id)).details['code'], 'FlowCanceled');
  });

  it('wakes waiting runs on time', async () => {
    const engine = await started(makeDouble().client);
    const flow = await createdFlow(engine, {
      W: { Type: 'Wait', SecondsPath: '$.s', Next: 'P' },
      P: { Type: 'Pass', End: true },
    });
    const began = performance.now();
    const runs = await Promise.all([0.3, 0.6, 1.4].map((s) => engine.startRun(ADA, flow, { body: { s } })));
    for (const [index, s] of [0.3, 0.6, 1.4].entries()) {
      await ended(engine, runs[index]?.run_id ?? '');
      const took = performance.now() - began;
      assert.ok(took >= s * 1_000 - 20 && took < s * 1_000 + 700, `${s} s took ${took} ms`);
    }
  });

  it('raises ActionTimeout after WaitTime and lets Catch go on', async () => {
    const double = makeDouble();
    const clock = pushedClock();
    const engine = await started(double.client, { clock });
    const flow = await createdFlow(engine, {
      A: action({ WaitTime: 60, Catch: [{ ErrorEquals: ['ActionTimeout'], Next: 'C', ResultPath: '$.e' }] }),
      C: { Type: 'Pass', End: true },
    });
    const run = await engine.startRun(ADA, flow, { body: { n: 1 } });
    const one = await lastAction(double);
    await until(
      'the action is known',
      async () => (await engine.getRun(ADA, run.run_id)).details['state_name'] === 'A',
    );
    clock.push(61_000);
    const final = await ended(engine, run.run_id);
    assert.equal(((final.details['output'] as JsonObject)['e'] as JsonObject)['Error'], 'ActionTimeout');
    assert.equal(one.document.status, 'FAILED');
  });

  it('shows an INACTIVE action and goes on when it is resumed', async () => {
    const double = makeDouble({
      birth: () => ({ status: 'INACTIVE', details: { code: 'ConsentRequired', required_scope: 'urn:s' } }),
    });
    const engine = await started(double.client);
    const run = await engine.startRun(ADA, await createdFlow(engine, { A: action({ WaitTime: 3_600 }) }), {
      body: { n: 1 },
    });
    const inactive = await until('it is INACTIVE', async () => {
      const now = await engine.getRun(ADA, run.run_id);
      return now.status === 'INACTIVE' && now;
    });
    assert.equal(inactive.details['code'], 'ConsentRequired');
    assert.equal(inactive.details['required_scope'], 'urn:s');
    double.end(await lastAction(double), 'SUCCEEDED', {}, 'silent');
    await engine.resumeRun(ADA, run.run_id);
    assert.equal((await ended(engine, run.run_id)).status, 'SUCCEEDED');
  });

  it('keeps the reason of a failed action where people look', async () => {
    const double = makeDouble({
      birth: () => ({
        status: 'FAILED',
        details: { code: 'TaskFailed', description: 'ValueError: frame \u0000 is broken' },
      }),
    });
    const engine = await started(double.client);
    const run = await engine.startRun(ADA, await createdFlow(engine, { 'A b': action() }), {
      body: { n: '\u0000' },
    });
    const final = await ended(engine, run.run_id);
    assert.match(JSON.stringify(final.details), /ValueError: frame .* is broken/);
    assert.equal(final.details['error'], 'ActionFailedException');
  });

  it('ends a run whose definition it no longer takes, with the reason', async () => {
    const engine = makeEngine(database(), makeDouble().client);
    engines.push(engine);
    const flow = await createdFlow(engine, { P: { Type: 'Pass', End: true } });
    const run = await engine.startRun(ADA, flow, { body: {} });
    await database().db.query(
      `UPDATE flow_versions SET definition = '{"StartAt":"P","States":{"P":{"Type":"Gone"}}}' WHERE flow_id = $1`,
      [flow],
    );
    await engine.start();
    const final = await ended(engine, run.run_id);
    assert.match(JSON.stringify(final.details), /cannot go on: .*no state type \\"Gone/);
  });
});
