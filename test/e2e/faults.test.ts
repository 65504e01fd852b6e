// kill -9 of each process of `pilotwave up` with tasks in flight: every accepted task ends as it should, once.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN_PROGRAM } from '../../src/paths.ts';
import { makeClient, type Client } from '../../src/sdk/client.ts';
import { until } from '../support/until.ts';

const SLOW = 'def slow(n):\n    import time\n    time.sleep(0.05)\n    return n\n';
const TASKS = 60;

interface Running {
  readonly child: ChildProcess;
  readonly client: Client;
  readonly endpoint_id: string;
}

/** Processes whose command line has the home's path and the words, below this test's program. */
function pidsOf(home: string, words: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(home) && command.includes(words) ? [Number(pid)] : [];
      } catch {
        return [];
      }
    });
}

describe('pilotwave up, when its processes are killed', function () {
  this.timeout(120_000);
  const home = mkdtempSync(join(tmpdir(), 'pilotwave-faults-'));
  let running: Running;
  let function_id = '';

  const start = async (): Promise<Running> => {
    const ready = join(home, 'ready.json');
    rmSync(ready, { force: true });
    const child = spawn(
      process.execPath,
      [MAIN_PROGRAM, '--home', home, '-q', 'up', '--port', '0', '--ready-file', ready],
      {
        stdio: 'ignore',
        env: { ...process.env, DATABASE_URL: '', REDIS_URL: '', PILOTWAVE_WORKERS: '2' },
      },
    );
    await until('the program is ready', () => existsSync(ready), 60_000);
    const facts = JSON.parse(readFileSync(ready, 'utf8')) as {
      url: string;
      token: string;
      endpoint_id: string;
    };
    return {
      child,
      client: makeClient({ url: facts.url, token: facts.token }),
      endpoint_id: facts.endpoint_id,
    };
  };
  const submit = async (): Promise<readonly string[]> => {
    const { task_ids } = await running.client.tasks.submit({
      endpoint_id: running.endpoint_id,
      function_id,
      calls: Array.from({ length: TASKS }, (_, n) => ({ args: [n] })),
    });
    await until('some tasks have ended', async () => {
      const states = await running.client.tasks.states(task_ids);
      return [...states.values()].filter((state) => state.completion_t !== undefined).length >= 4;
    });
    return task_ids;
  };
  const allSucceed = async (ids: readonly string[]): Promise<void> => {
    await until(
      'every task has its own result',
      async () => {
        const states = await running.client.tasks.states(ids).catch(() => null);
        return states !== null && ids.every((id, n) => states.get(id)?.result === `11\n${n}`);
      },
      60_000,
    );
  };

  before(async () => {
    chmodSync(home, 0o711);
    running = await start();
    function_id = (await running.client.functions.registerSource({ name: 'slow', source: SLOW }))
      .function_uuid;
  });
  after(async () => {
    running.child.kill('SIGTERM');
    await until(
      'it has ended',
      () => running.child.exitCode !== null || running.child.signalCode !== null,
      30_000,
    );
    assert.deepEqual(pidsOf(home, ''), [], 'nothing is left running');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  });

  for (const [what, words] of [
    ['a worker', 'endpoint/worker'],
    ['the executor', 'executor.js'],
    ['the manager', 'endpoint start'],
    ['PostgreSQL', 'postgres -D'],
  ] as const) {
    it(`loses nothing with ${what}`, async () => {
      const ids = await submit();
      const [pid] = pidsOf(home, words);
      assert.ok(pid !== undefined, `${what} runs`);
      process.kill(pid, 'SIGKILL');
      await allSucceed(ids);
    });
  }

  it('loses nothing with the service, and goes on when it is started again', async () => {
    const ids = await submit();
    running.child.kill('SIGKILL');
    await until('its children have ended too', () => pidsOf(home, '').length === 0, 40_000);
    running = await start();
    await allSucceed(ids);
  });
});
