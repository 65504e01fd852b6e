// Processes that die in mid-work: worker, executor, manager, service. No task is lost, none ends twice.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './support/eventually.ts';
import { commandOf, Site } from './support/site.ts';
import { TestService, valueOf } from './support/test-service.ts';

const JSON_RESULTS = { result_serializers: ['JSONData'] };

/** Notes each of its runs in a file; its first run there may take longer than later ones. */
const LEDGER = `
import os, time
def f(path, name, first_s, later_s):
    again = os.path.exists(path + "." + str(name))
    with open(path + "." + str(name), "a") as notes:
        notes.write(str(os.getpid()) + "\\n")
    time.sleep(later_s if again else first_s)
    return name
`;

describe('endpoint: deaths', function () {
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

  /** Process ids that ran a task of the ledger function, in order. */
  function runsOf(name: number): string[] {
    try {
      return readFileSync(`${ledger()}.${name}`, 'utf8').trim().split('\n');
    } catch {
      return [];
    }
  }

  const ledger = (): string => join(site.dir, 'ledger');

  function failureOf(chunk: string, index: number): { code: string; message: string } {
    const entry = service.chunks.get(chunk)?.results.get(index);
    assert.equal(entry?.outcome, 'system_failure', entry?.data.toString());
    return JSON.parse(entry.data.toString()) as { code: string; message: string };
  }

  it('runs a task again whose worker was killed, with the next attempt', async () => {
    await site.startReady(service);
    const fn = service.register(LEDGER);
    const chunk = service.submit(fn, [[ledger(), 1, 30, 0]], JSON_RESULTS);
    const [pid] = await eventually('the task to run', () => runsOf(1).length > 0 && runsOf(1));
    process.kill(Number(pid), 'SIGKILL');
    const entry = (await service.results(chunk)).get(0) ?? assert.fail();
    assert.equal(valueOf(entry), 1);
    assert.equal(entry.attempt, 2);
    assert.equal(runsOf(1).length, 2);
  });

  it('gives up a function that ends its process each time, and spares the rest of its chunk', async () => {
    await site.startReady(service);
    const poison = service.register(
      'import os\ndef f(x):\n    if x == 13:\n        os._exit(9)\n    return x\n',
    );
    const chunk = service.submit(
      poison,
      Array.from({ length: 60 }, (_, n) => [n]),
      JSON_RESULTS,
    );
    const results = await service.results(chunk);
    const { code, message } = failureOf(chunk, 13);
    assert.equal(code, 'KILLED_WORKERS');
    assert.match(message, /started 3 times.*exited with code 9/);
    assert.equal(results.get(13)?.attempt, 3);
    for (const [index, entry] of results) if (index !== 13) assert.equal(valueOf(entry), index);
  });

  it('names the signal of a function that crashes, and heeds max_attempts', async () => {
    await site.startReady(service);
    const crash = service.register('import ctypes\ndef f():\n    ctypes.string_at(0)\n');
    const chunk = service.submit(crash, [[]], { max_attempts: 1 });
    await service.results(chunk);
    const { code, message } = failureOf(chunk, 0);
    assert.equal(code, 'KILLED_WORKERS');
    assert.match(message, /started once.*SIGSEGV/);
  });

  it('runs the tasks of a killed executor again and leaves none of its processes', async () => {
    await site.startReady(service);
    const fn = service.register(LEDGER);
    const chunk = service.submit(
      fn,
      [
        [ledger(), 1, 60, 0],
        [ledger(), 2, 60, 0],
      ],
      JSON_RESULTS,
    );
    await eventually('both to run', () => runsOf(1).length > 0 && runsOf(2).length > 0);
    const workers = [...runsOf(1), ...runsOf(2)].map(Number);
    const [executor] = site.pids('executor');
    process.kill(executor ?? 0, 'SIGKILL');
    assert.deepEqual(await service.values(chunk), [1, 2]);
    await eventually('its workers gone', () => workers.every((pid) => commandOf(pid) === ''));
    for (const entry of service.chunks.get(chunk)?.results.values() ?? []) assert.equal(entry.attempt, 2);
  });

  it('gives up an executor that hangs, runs its tasks elsewhere and ends it', async () => {
    await site.startReady(service, { executor_heartbeat_ms: 300 });
    const fn = service.register(LEDGER);
    const chunk = service.submit(fn, [[ledger(), 1, 60, 0]], JSON_RESULTS);
    const [worker] = await eventually('it to run', () => runsOf(1).length > 0 && runsOf(1));
    const [executor] = site.pids('executor');
    process.kill(executor ?? 0, 'SIGSTOP');
    assert.deepEqual(await service.values(chunk), [1]);
    await eventually('both gone', () => [executor, worker].every((pid) => commandOf(Number(pid)) === ''));
    assert.equal(service.chunks.get(chunk)?.results.get(0)?.attempt, 2);
  });

  it('takes its executors over after a kill -9 of the manager: running tasks go on and end once', async () => {
    const first = await site.startReady(service);
    const fn = service.register(LEDGER);
    const chunk = service.submit(
      fn,
      [
        [ledger(), 1, 4, 4],
        [ledger(), 2, 0.01, 0.01],
      ],
      JSON_RESULTS,
    );
    await eventually('the quick one', () => service.chunks.get(chunk)?.results.size === 1);
    const executors = site.pids('executor');
    first.child.kill('SIGKILL');
    await first.exited;
    await site.start(service);
    assert.deepEqual(await service.values(chunk), [1, 2]);
    assert.deepEqual(site.pids('executor'), executors);
    assert.deepEqual([runsOf(1).length, runsOf(2).length], [1, 1], 'a task was run again');
    const [held] = service.hellos.at(-1) ?? [];
    assert.equal(held?.epoch, 1);
    assert.ok(held.indexes.includes(0), 'the new manager did not say that it has the running task');
  });

  it('delivers results that finished while the manager was dead', async () => {
    const first = await site.startReady(service);
    const fn = service.register(LEDGER);
    const chunk = service.submit(
      fn,
      [
        [ledger(), 1, 0.5, 0.5],
        [ledger(), 2, 0.5, 0.5],
      ],
      JSON_RESULTS,
    );
    await eventually('both to run', () => runsOf(1).length > 0 && runsOf(2).length > 0);
    first.child.kill('SIGKILL');
    await first.exited;
    // Both end while nobody listens.
    const ended = performance.now() + 1_000;
    await eventually('a second', () => performance.now() > ended);
    await site.start(service);
    assert.deepEqual(await service.values(chunk), [1, 2]);
    assert.deepEqual([runsOf(1).length, runsOf(2).length], [1, 1]);
  });

  it('runs again what was lost with manager and executor together', async () => {
    const first = await site.startReady(service);
    const fn = service.register(LEDGER);
    const args = Array.from({ length: 8 }, (_, n) => [ledger(), n, 0.5, 0]);
    const chunk = service.submit(fn, args, JSON_RESULTS);
    await eventually('some to run', () => runsOf(0).length > 0);
    first.child.kill('SIGKILL');
    for (const pid of site.pids('executor')) process.kill(pid, 'SIGKILL');
    await first.exited;
    await site.start(service);
    assert.deepEqual(
      await service.values(chunk),
      args.map(([, n]) => n),
    );
  });

  it('keeps results on disk while the service is away, across a restart of the manager', async () => {
    const first = await site.startReady(service);
    const fn = service.register(LEDGER);
    service.storing = false;
    const chunk = service.submit(
      fn,
      [
        [ledger(), 1, 0, 0],
        [ledger(), 2, 0.4, 0.4],
      ],
      JSON_RESULTS,
    );
    await eventually('both to run', () => runsOf(1).length > 0 && runsOf(2).length > 0);
    await service.close();
    await eventually('the second to end', () => service.connected === false && runsOf(2).length === 1);
    const ended = performance.now() + 800;
    await eventually('its end', () => performance.now() > ended);
    first.child.kill('SIGKILL');
    await first.exited;
    for (const pid of site.pids('executor')) process.kill(pid, 'SIGKILL');
    service.storing = true;
    await service.open();
    await site.start(service);
    assert.deepEqual(await service.values(chunk), [1, 2]);
    assert.deepEqual([runsOf(1).length, runsOf(2).length], [1, 1]);
  });

  it('survives a service that restarts in the middle of a stream of tasks', async () => {
    await site.startReady(service);
    const fn = service.register('def f(x):\n    return x\n');
    const args = Array.from({ length: 100 }, (_, n) => [n]);
    const chunks = Array.from({ length: 50 }, () => service.submit(fn, args, JSON_RESULTS));
    await eventually('some results', () => service.settled > 500);
    await service.close();
    await service.open();
    for (const chunk of chunks) assert.equal((await service.values(chunk)).length, 100);
    assert.equal(service.settled, 5_000);
  });
});
