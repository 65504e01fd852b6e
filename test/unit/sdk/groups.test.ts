import assert from 'node:assert/strict';
import { makeClient } from '../../../src/sdk/client.ts';
import { withDouble, type Asked } from './double.ts';

describe('sdk: tasks', () => {
  const double = withDouble();
  const tasks = () => makeClient({ url: double().url, token: 't' }).tasks;

  it('puts a submission of any size into one task group, repeatable part by part', async () => {
    let made = 0;
    double().on('POST /api/tasks', (asked: Asked) => ({
      status: 202,
      body: {
        task_group_id: asked.body['task_group_id'] ?? 'new-group',
        task_ids: asked.body.calls.map(() => `t${made++}`),
      },
    }));
    const calls = Array.from({ length: 25_000 }, (_, i) => ({ args: [i] }));
    const progress: number[] = [];
    const submitted = await tasks().submitAll(
      { endpoint_id: 'e', function_id: 'f', calls, options: { max_attempts: 2 }, idempotency_key: 'k' },
      (accepted) => progress.push(accepted),
    );
    const asked = double()
      .at('POST /api/tasks')
      .map((one) => one.body);
    assert.equal(submitted.task_group_id, 'new-group');
    assert.equal(submitted.task_ids.length, 25_000);
    assert.equal(submitted.task_ids[24_999], 't24999');
    assert.deepEqual(progress, [10_000, 20_000, 25_000]);
    assert.deepEqual(
      asked.map((body) => body['task_group_id']),
      [undefined, 'new-group', 'new-group'],
    );
    assert.deepEqual(
      asked.map((body) => body['idempotency_key']),
      ['k.0', 'k.1', 'k.2'],
    );
    assert.deepEqual(
      asked.map((body) => body['options']),
      [{ max_attempts: 2 }, { max_attempts: 2 }, { max_attempts: 2 }],
    );
    assert.deepEqual(asked[2]?.calls[0], { args: [20_000] });
  });

  it('waits for an end, in requests that the service holds', async () => {
    double().on('GET /api/tasks/:', (_, times) => ({
      body: { task_id: 'x', status: times < 2 ? 'running' : 'success' },
    }));
    const seen: string[] = [];
    const task = await tasks().wait('x', { onLook: (view) => seen.push(view.status) });
    assert.equal(task.status, 'success');
    assert.deepEqual(seen, ['running', 'running', 'success']);
    const waits = double().asked.map((one) => Number(one.query['wait_s']));
    assert.ok(
      waits.every((wait_s, at) => wait_s > 0 && (at === 0 || wait_s >= (waits[at - 1] ?? 0))),
      `${waits}`,
    );
  });

  it('stops waiting when the time is over, and tells how things are', async () => {
    double().on('GET /api/tasks/:', { body: { task_id: 'x', status: 'running', reason: 'busy' } });
    const started = Date.now();
    const task = await tasks().wait('x', { timeout_s: 0.3 });
    assert.equal(task.status, 'running');
    assert.ok(Date.now() - started < 5000);
  });

  it('stops waiting at once when told to', async () => {
    const stop = new AbortController();
    double().on('GET /api/tasks/:', () => {
      stop.abort(new Error('enough'));
      return { silent: true };
    });
    await assert.rejects(tasks().wait('x', { signal: stop.signal }), /enough/);
  });

  it('asks for many states in batches, and waits until all have ended', async () => {
    const ids = Array.from({ length: 2500 }, (_, i) => `t${i}`);
    let round = 0;
    double().on('POST /v2/batch_status', (asked: Asked) => {
      round++;
      const results = Object.fromEntries(
        asked.body.task_ids.map((id, at) => [
          id,
          // In the first round every other task has ended, from the second on all have.
          { task_id: id, status: 'success', ...(round > 3 || at % 2 === 0 ? { completion_t: '1.5' } : {}) },
        ]),
      );
      return { body: { response: 'batch', results } };
    });
    const ended: number[] = [];
    const states = await tasks().waitAll(ids, { onProgress: (count) => ended.push(count) });
    assert.equal(states.size, 2500);
    assert.deepEqual(ended, [1250, 2500]);
    assert.deepEqual(
      double().asked.map((one) => one.body.task_ids.length),
      [1000, 1000, 500, 1000, 250],
    );
  });

  it('lists over pages up to the limit', async () => {
    double().on('GET /api/tasks', (asked: Asked) => {
      const from = Number(asked.query['marker'] ?? 0);
      const page = Array.from({ length: 500 }, (_, i) => ({ task_id: `t${from + i}` }));
      return { body: { tasks: page, marker: from >= 1500 ? null : String(from + 500) } };
    });
    const some = await tasks().list({ limit: 700, state: 'failed' });
    assert.equal(some.length, 700);
    assert.equal(some[699]?.task_id, 't699');
    assert.deepEqual(
      double().asked.map((one) => one.query),
      [
        { state: 'failed', limit: '500' },
        { state: 'failed', limit: '500', marker: '500' },
      ],
    );
    assert.equal((await tasks().list({ limit: 10_000 })).length, 2000);
  });
});

describe('sdk: runs', () => {
  const double = withDouble();
  const runs = () => makeClient({ url: double().url, token: 't' }).runs;

  it('follows a growing log without repeating or losing an entry', async () => {
    const entry = (i: number) => ({
      time: '2026-01-01T00:00:00.000000+00:00',
      code: `c${i}`,
      description: '',
      details: {},
    });
    const written = [1, 2, 4, 7];
    let look = -1;
    double().on('GET /runs/r', () => {
      look++;
      return { body: { run_id: 'r', status: look >= 3 ? 'SUCCEEDED' : 'ACTIVE' } };
    });
    // Pages of three; a full last page has no marker until there is more.
    double().on('GET /runs/r/log', (asked: Asked) => {
      const total = written[look] ?? 7;
      const from = Number(asked.query['marker'] ?? 0);
      const entries = Array.from({ length: Math.min(3, total - from) }, (_, i) => entry(from + i));
      const more = from + 3 < total;
      return { body: { entries, has_next_page: more, ...(more ? { marker: String(from + 3) } : {}) } };
    });
    const seen: string[] = [];
    const run = await runs().follow('r', (one) => seen.push(one.code));
    assert.equal(run.status, 'SUCCEEDED');
    assert.deepEqual(seen, ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6']);
  });

  it('sends a marker alone, for it says the rest', async () => {
    double().on('GET /runs', (asked: Asked) => ({
      body:
        asked.query['marker'] === undefined
          ? { runs: [{ run_id: 'a' }], has_next_page: true, marker: 'm' }
          : { runs: [{ run_id: 'b' }], has_next_page: false },
    }));
    const found = await runs().list({ status: 'FAILED', label: 'x' });
    assert.deepEqual(
      found.map((run) => run.run_id),
      ['a', 'b'],
    );
    assert.deepEqual(double().asked[1]?.query, { marker: 'm' });
    assert.equal(double().asked[0]?.query['filter_status'], 'FAILED');
  });
});

describe('sdk: functions', () => {
  const double = withDouble();

  it('registers source so that lengths count code points', async () => {
    double().on('POST /v3/functions', { body: { function_uuid: 'f' } });
    await makeClient({ url: double().url, token: 't' }).functions.registerSource({
      name: 'f',
      source: 'def f():\n  return "😀"\n',
    });
    const body = double().asked[0]?.body;
    assert.equal(body?.['function_code'], '27\nst\nf:def f():\n  return "😀"\n');
    assert.equal(body?.['function_name'], 'f');
    assert.deepEqual(body?.['meta'], {
      python_version: 'any',
      sdk_version: 'pilotwave',
      serde_identifier: 'st',
    });
  });
});
