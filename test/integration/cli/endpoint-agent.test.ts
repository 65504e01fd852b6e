// `endpoint start` and `stop` with the built program and a real manager process. The service is a double that
// registers it and whose link nobody answers: a manager keeps dialling, which is all that is asked of it here.
import assert from 'node:assert/strict';
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { managerOf } from '../../../src/cli/agent.ts';
import { isAlive, nameProcess } from '../../../src/processes.ts';
import { PACKAGE_ROOT } from '../../../src/paths.ts';
import { pause } from '../../../src/sdk/http.ts';
import { withDouble } from '../../unit/sdk/double.ts';

const PROGRAM = join(PACKAGE_ROOT, 'bin', 'pilotwave.mjs');
const ID = '11111111-2222-4333-8444-555555555555';

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

interface Running {
  readonly child: Child;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
  readonly says: (text: string) => Promise<void>;
}

describe('cli: endpoint start and stop', function () {
  this.timeout(60_000);
  const double = withDouble();
  let home = '';
  let url = '';
  const children: Child[] = [];
  beforeEach(async () => {
    url = double().url;
    home = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
    double().on('GET /api/whoami', { body: { identity: 'me', username: 'ada', scopes: [] } });
    double().on('GET /api/endpoints', { body: { endpoints: [] } });
    double().on('POST /api/endpoints', {
      status: 201,
      body: { endpoint_id: ID, registration_code: 'c', expires_at: '' },
    });
    double().on('POST /api/endpoints/register', {
      body: {
        endpoint_id: ID,
        link: { address: 'tcp://127.0.0.1:9', server_key: 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7' },
        secret: 's',
      },
    });
    const made = await run('configure', 'site', '--min-blocks', '0').ended;
    assert.equal(made.code, 0, made.err);
  });
  afterEach(async () => {
    await run('stop', 'site').ended;
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
    await rm(home, { recursive: true, force: true });
  });

  function run(...line: string[]): Running {
    const child = spawn(process.execPath, [PROGRAM, 'endpoint', ...line], {
      env: {
        PATH: process.env.PATH,
        PILOTWAVE_HOME: home,
        PILOTWAVE_URL: url,
        PILOTWAVE_TOKEN: 't',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    children.push(child);
    let out = '';
    let err = '';
    const heard = new Set<() => void>();
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
      for (const tell of heard) tell();
    });
    return {
      child,
      ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err }))),
      says: (text) =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (err.includes(text)) resolve();
          };
          heard.add(look);
          child.on('close', () => reject(new Error(`it ended without saying ${text}: ${err}`)));
          look();
        }),
    };
  }

  /** Waits until a manager holds the endpoint's lock. */
  async function holding(): Promise<void> {
    const end = Date.now() + 20_000;
    while ((await managerOf(join(home, 'endpoints', 'site'))) === null) {
      assert.ok(Date.now() < end, 'no manager took the lock');
      await pause(50);
    }
  }

  it('in the background: one process, a second is refused, stop ends it', async () => {
    const first = await run('start', 'site', '--detach').ended;
    assert.equal(first.code, 0, first.err);
    assert.equal(first.out, `${ID}\n`);
    const pid = Number(/runs as process (\d+)/.exec(first.err)?.[1]);
    const manager = nameProcess(pid);
    assert.ok(manager !== null);
    const second = await run('start', 'site').ended;
    assert.equal(second.code, 1);
    assert.match(second.err, new RegExp(`process ${pid} on`));
    const stopped = await run('stop').ended;
    assert.deepEqual([stopped.code, stopped.out], [0, 'Endpoint "site" ended.\n']);
    assert.ok(!isAlive(manager));
    await assert.rejects(readFile(join(home, 'endpoints', 'site', 'manager.lock')));
  });

  it('in the foreground: Ctrl-C ends it with 0', async () => {
    const started = run('start', 'site');
    await started.says('Ctrl-C ends it');
    started.child.kill('SIGINT');
    const ended = await started.ended;
    assert.equal(ended.code, 0, ended.err);
    assert.match(ended.err, /Endpoint "site" ended: it got SIGINT/);
  });

  it('with --parent-pipe it ends with the process that started it', async () => {
    const started = run('start', 'site', '--parent-pipe');
    await holding();
    started.child.stdin.end();
    const ended = await started.ended;
    assert.equal(ended.code, 0, ended.err);
    // A supervisor gets the log, and nothing that is meant for a person.
    for (const line of ended.err.trim().split('\n')) assert.equal(typeof JSON.parse(line), 'object');
  });
});
