// Stopping things: tasks that are cancelled or take too long, managers that are told to end, and what is said
// when nothing can start.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './support/eventually.ts';
import { commandOf, Site } from './support/site.ts';
import { TestService } from './support/test-service.ts';

const JSON_RESULTS = { result_serializers: ['JSONData'] };

/** Starts a child, writes both pids down, and stays, deaf to SIGTERM when told. */
const STAY = `
import os, signal, subprocess, time
def f(path, deaf):
    if deaf:
        signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(["sleep", "300"])
    with open(path, "w") as notes:
        notes.write(str(os.getpid()) + " " + str(child.pid))
    for _ in range(3000):
        time.sleep(0.1)
`;

describe('endpoint: control', function () {
  this.timeout(90_000);
  let service: TestService;
  let site: Site;

  beforeEach(async () => {
    service = await new TestService().open();
    site = new Site();
  });

  afterEach(async () => {
    await site.close();
    await service.close();
  });

  const notes = (): string => join(site.dir, 'notes');

  /** Waits for a task of STAY; answers its process and that process's child. */
  async function staying(): Promise<number[]> {
    return eventually('the task to run', () => {
      try {
        const pids = readFileSync(notes(), 'utf8').split(' ').map(Number);
        return pids.length === 2 && pids;
      } catch {
        return false;
      }
    });
  }

  const gone = (pids: readonly number[]): Promise<true> =>
    eventually(`processes ${pids.join()} gone`, () => pids.every((pid) => commandOf(pid) === ''), 10_000);

  it('cancels a running task within ten seconds, with all it started', async () => {
    await site.startReady(service);
    const stay = service.register(STAY);
    const chunk = service.submit(stay, [[notes(), true]], JSON_RESULTS);
    const pids = await staying();
    service.cancel(chunk, [0]);
    await gone(pids);
    const next = service.submit(service.register('def f():\n    return 1\n'), [[], [], [], []], JSON_RESULTS);
    assert.deepEqual(await service.values(next), [1, 1, 1, 1]);
    assert.equal(service.chunks.get(chunk)?.results.size, 0);
    await eventually('nothing outstanding', () => service.status?.outstanding_tasks === 0);
  });

  it('never runs a task that was cancelled while it waited', async () => {
    await site.startReady(service);
    const fn = service.register(
      'import time\ndef f(path, s):\n    open(path, "a").write("x")\n    time.sleep(s)\n',
    );
    const chunk = service.submit(
      fn,
      Array.from({ length: 8 }, () => [notes(), 0.5]),
      JSON_RESULTS,
    );
    await eventually('acceptance', () => service.chunks.get(chunk)?.accepted);
    service.cancel(chunk, [4, 5, 6, 7]);
    await service.results(chunk);
    await eventually('nothing outstanding', () => service.status?.outstanding_tasks === 0);
    assert.equal(readFileSync(notes(), 'utf8').length, 4);
  });

  it('ends a task that runs longer than its limit, deaf or not, and says so', async () => {
    await site.startReady(service);
    const stay = service.register(STAY);
    const chunk = service.submit(stay, [[notes(), true]], { ...JSON_RESULTS, timeout_s: 1 });
    const pids = await staying();
    const entry = (await service.results(chunk)).get(0);
    assert.equal(entry?.outcome, 'system_failure');
    const failure = JSON.parse(entry.data.toString()) as { code: string; message: string };
    assert.equal(failure.code, 'TASK_TIMEOUT');
    assert.match(failure.message, /longer than its limit of 1 s/);
    assert.ok(entry.duration_s >= 1 && entry.duration_s < 6, `it ran ${entry.duration_s} s`);
    await gone(pids);
  });

  it('stops on SIGTERM, ends running tasks and leaves no process; the tasks come back at the next start', async () => {
    const first = await site.startReady(service);
    const stay = service.register(STAY);
    const fn = service.register('def f():\n    return 1\n');
    const staying_chunk = service.submit(stay, [[notes(), true]], JSON_RESULTS);
    const pids = await staying();
    const began = performance.now();
    first.child.kill('SIGTERM');
    assert.deepEqual(await first.exited, { code: 0, signal: null });
    assert.ok(performance.now() - began < 6_000, 'it took too long');
    assert.equal(service.byes, 1);
    await gone(pids);
    assert.deepEqual(site.processes(), []);
    service.cancel(staying_chunk, [0]);
    await site.start(service);
    await eventually('the next life', () => service.hellos.length === 2);
    assert.deepEqual(service.hellos.at(-1), []);
    assert.deepEqual(await service.values(service.submit(fn, [[]], JSON_RESULTS)), [1]);
  });

  it('stops with the process that started it', async () => {
    const manager = await site.startReady(service);
    manager.child.stdin?.end();
    assert.equal((await manager.exited).code, 0);
    assert.deepEqual(site.processes(), []);
  });

  it('ends executors whose manager never comes back', async () => {
    const manager = await site.startReady(service, { executor_silence_s: 2 });
    assert.equal(site.pids('executor').length, 1);
    manager.child.kill('SIGKILL');
    await manager.exited;
    await eventually('no process left', () => site.processes().length === 0, 15_000);
  });

  it('refuses a second manager and says who holds the endpoint', async () => {
    const first = await site.startReady(service);
    const second = await site.start(service);
    assert.equal((await second.exited).code, 1);
    assert.match(second.said(), new RegExp(`in use by process ${first.child.pid} on `));
    assert.deepEqual(
      await service.values(service.submit(service.register('def f():\n    return 1\n'), [[]], JSON_RESULTS)),
      [1],
    );
  });

  it('tells why nothing runs when Python cannot be started', async () => {
    await site.start(service, { python: '/nowhere/python3' });
    await eventually('the link', () => service.connected);
    service.submit(service.register('def f():\n    return 1\n'), [[]], JSON_RESULTS);
    const reason = await eventually('the reason', () => {
      const words = service.status?.waiting_reason ?? '';
      return words.startsWith('there are no workers') && words;
    });
    assert.match(reason, /\/nowhere\/python3 ENOENT/);
    assert.equal(service.status?.pending_tasks, 1);
  });

  it('tells why nothing runs when the environment of the workers fails', async () => {
    await site.start(service, { worker_init: 'echo "module foo not found" >&2; exit 3' });
    const reason = await eventually('the reason', () => service.status?.waiting_reason);
    assert.match(reason, /module foo not found.*exited with code 3/);
  });

  it('ends with code 78 when the service will never know it', async () => {
    const manager = await site.startReady(service);
    service.say({ kind: 'link.refused', code: 'endpoint_deleted', reason: 'it was deleted' });
    assert.equal((await manager.exited).code, 78);
    assert.match(manager.said(), /endpoint_deleted/);
    assert.deepEqual(site.processes(), []);
  });
});
