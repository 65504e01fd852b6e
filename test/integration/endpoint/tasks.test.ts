// Tasks through a real manager, executor and Python workers; the test plays the service.
import assert from 'node:assert/strict';
import { eventually } from './support/eventually.ts';
import { Site } from './support/site.ts';
import { TestService } from './support/test-service.ts';

const JSON_RESULTS = { result_serializers: ['JSONData'] };
const NUMBERS = Array.from({ length: 100 }, (_, n) => [n]);

describe('endpoint: tasks', function () {
  this.timeout(60_000);
  let service: TestService;
  let site: Site;

  before(async () => {
    service = await new TestService().open();
    site = new Site();
    await site.startReady(service);
  });

  after(async () => {
    await site.close();
    await service.close();
  });

  it('runs one task and answers with its value', async () => {
    const double = service.register('def f(x):\n    return x * 2\n');
    const chunk = service.submit(double, [[21]], JSON_RESULTS);
    assert.deepEqual(await service.values(chunk), [42]);
    assert.ok(service.chunks.get(chunk)?.accepted);
  });

  it('runs many chunks of several functions, each task once', async () => {
    const square = service.register('def f(x):\n    return x * x\n');
    const negate = service.register('def f(x):\n    return -x\n');
    const chunks = Array.from({ length: 40 }, (_, n) => {
      return service.submit(n % 2 === 0 ? square : negate, NUMBERS, JSON_RESULTS);
    });
    for (const [n, chunk] of chunks.entries()) {
      const expected = NUMBERS.map(([x]) => (n % 2 === 0 ? (x ?? 0) ** 2 : 0 - (x ?? 0)));
      assert.deepEqual(await service.values(chunk), expected);
      assert.equal(service.chunks.get(chunk)?.repeats, 0);
    }
  });

  it('tells a failure of the function from one of the system, and keeps what was printed', async () => {
    const fail = service.register('def f(x):\n    print("before the fall")\n    return 1 / x\n');
    const chunk = service.submit(fail, [[0], [4]], JSON_RESULTS);
    const results = await service.results(chunk);
    assert.equal(results.get(0)?.outcome, 'user_failure');
    assert.match(results.get(0)?.data.toString() ?? '', /ZeroDivisionError/);
    assert.equal(results.get(0)?.stdout.toString(), 'before the fall\n');
    assert.equal(results.get(1)?.outcome, 'success');
  });

  it('spreads slow tasks one per worker', async () => {
    const sleep = service.register('import time, os\ndef f(s):\n    time.sleep(s)\n    return os.getpid()\n');
    const began = performance.now();
    const chunk = service.submit(sleep, [[1], [1], [1], [1]], JSON_RESULTS);
    const pids = await service.values(chunk);
    const took_ms = performance.now() - began;
    assert.equal(new Set(pids).size, 2);
    assert.ok(took_ms < 3_500, `four seconds of sleep on two workers took ${Math.round(took_ms)} ms`);
  });

  it('lets no slow task hold back the results of others in its chunk', async () => {
    const mixed = service.register('import time\ndef f(s):\n    time.sleep(s)\n    return s\n');
    const chunk = service.submit(mixed, [[4], ...Array.from({ length: 30 }, () => [0.001])], JSON_RESULTS);
    const { results } = service.chunks.get(chunk) ?? assert.fail();
    await eventually('the quick ones', () => results.size === 30, 3_000);
    assert.ok(!results.has(0));
    assert.equal((await service.values(chunk)).length, 31);
  });

  it('lets no backlog of one function starve another', async () => {
    const slow = service.register('import time\ndef f(s):\n    time.sleep(s)\n');
    const quick = service.register('def f():\n    return "quick"\n');
    const backlog = Array.from({ length: 4 }, () => {
      return service.submit(
        slow,
        Array.from({ length: 50 }, () => [0.02]),
        JSON_RESULTS,
      );
    });
    const last = backlog.at(-1) ?? '';
    await eventually(
      'the backlog to move',
      () => (service.chunks.get(backlog[0] ?? '')?.results.size ?? 0) > 5,
    );
    const chunk = service.submit(quick, [[]], JSON_RESULTS);
    assert.deepEqual(await service.values(chunk), ['quick']);
    assert.ok(
      (service.chunks.get(last)?.results.size ?? 0) < 50,
      'the backlog was gone before it could starve anybody',
    );
    await service.results(last);
  });

  it('announces tasks that run longer than a moment, and only those', async () => {
    const sleep = service.register('import time\ndef f(s):\n    time.sleep(s)\n');
    const chunk = service.submit(sleep, [[1.2], [0]], JSON_RESULTS);
    await service.results(chunk);
    const told = service.started.filter((task) => task.chunk === chunk);
    assert.deepEqual(
      told.map(({ index, attempt }) => [index, attempt]),
      [[0, 1]],
    );
    assert.ok(Math.abs((told[0]?.started_s ?? 0) - Date.now() / 1000) < 10);
  });

  it('carries large payloads and results', async () => {
    const echo = service.register('def f(text):\n    return text\n');
    const text = 'x'.repeat(6 * 1024 * 1024);
    const chunk = service.submit(echo, [[text], [text], [text]], JSON_RESULTS);
    assert.deepEqual(await service.values(chunk), [text, text, text]);
  });

  it('tells how it is', async () => {
    await eventually(
      'idle',
      () => service.status?.outstanding_tasks === 0 && service.status.idle_workers === 2,
    );
    assert.deepEqual(service.status, {
      executors: 1,
      total_workers: 2,
      idle_workers: 2,
      pending_tasks: 0,
      outstanding_tasks: 0,
      waiting_reason: null,
    });
  });
});
