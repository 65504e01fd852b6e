// The built program as a user runs it: exit codes, the two streams, and that it ends by itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../../src/paths.ts';
import { deadUrl, withDouble } from '../../unit/sdk/double.ts';

const PROGRAM = join(PACKAGE_ROOT, 'bin', 'pilotwave.mjs');
const ID = '11111111-2222-4333-8444-555555555555';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface Started {
  readonly ended: Promise<Ended>;
  readonly interrupt: () => void;
  /** Resolves once standard error has this in it. */
  readonly says: (text: string) => Promise<void>;
  readonly closeOutput: () => void;
}

describe('cli: the program', function () {
  this.timeout(60_000);
  const double = withDouble();
  let home = '';
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  const start = (line: readonly string[], env: Readonly<Record<string, string>> = {}): Started => {
    const child = spawn(process.execPath, [PROGRAM, ...line], {
      env: { PATH: process.env.PATH, PILOTWAVE_HOME: home, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    const heard = new Set<() => void>();
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
      for (const tell of heard) tell();
    });
    return {
      ended: new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', (code) => resolve({ code, out, err }));
      }),
      interrupt: () => child.kill('SIGINT'),
      says: (text) =>
        new Promise((resolve, reject) => {
          const look = (): void => {
            if (err.includes(text)) resolve();
          };
          heard.add(look);
          child.on('close', () => reject(new Error(`it ended without saying ${text}: ${err}`)));
          look();
        }),
      closeOutput: () => child.stdout.destroy(),
    };
  };
  const run = (line: readonly string[], env?: Readonly<Record<string, string>>): Promise<Ended> =>
    start(line, env).ended;
  const connect = async (url: string): Promise<void> => {
    await writeFile(join(home, 'connection.json'), JSON.stringify({ url, token_file: 'token' }));
    await writeFile(join(home, 'token'), 'from-the-home\n', { mode: 0o600 });
  };

  it('finds the service that up has noted in its home, and ends by itself', async () => {
    await connect(double().url);
    double().on('GET /api/tokens', { body: { tokens: [] } });
    const ended = await run(['token', 'list', '-o', 'json']);
    assert.deepEqual(ended, { code: 0, out: '[]\n', err: '' });
    assert.equal(double().asked[0]?.headers.authorization, 'Bearer from-the-home');
  });

  it('2 for usage, 3 without a token, 4 for what is not there, 69 without a service, 78 for broken settings', async () => {
    double().on('GET /api/health', { body: { status: 'ok', version: '1' } });
    const url = double().url;
    const ends = await Promise.all([
      run(['tsk']),
      run(['task', 'list'], { PILOTWAVE_URL: url }),
      run(['task', 'show', ID], { PILOTWAVE_URL: url, PILOTWAVE_TOKEN: 't' }),
      run(['task', 'list'], { PILOTWAVE_URL: await deadUrl() }),
      run(['task', 'list'], { PILOTWAVE_URL: 'nonsense' }),
    ]);
    assert.deepEqual(
      ends.map((end) => end.code),
      [2, 3, 4, 69, 78],
    );
    for (const end of ends) assert.equal(end.out, '');
    await writeFile(join(home, 'connection.json'), 'not JSON');
    const broken = await run(['task', 'list']);
    assert.equal(broken.code, 78);
    assert.match(broken.err, /connection\.json is not valid\.\n {2}why: +it is not JSON/);
  });

  it('77 for a token file that may not be read', async function () {
    // To root every file can be read.
    if (process.getuid?.() === 0) this.skip();
    await connect(double().url);
    await chmod(join(home, 'token'), 0o000);
    assert.equal((await run(['task', 'list'])).code, 77);
  });

  it('Ctrl-C while waiting, with nobody to ask: 130, and the task goes on', async () => {
    await connect(double().url);
    double().on('GET /api/tasks/:', {
      body: { task_id: ID, status: 'running', reason: 'running on endpoint "x"' },
    });
    const started = start(['task', 'result', ID, '--wait']);
    await started.says('running on endpoint "x"');
    started.interrupt();
    const ended = await started.ended;
    assert.equal(ended.code, 130);
    assert.match(ended.err, new RegExp(`goes on\\.\n  do: +see how it goes: pilotwave task show ${ID}`));
    assert.deepEqual(double().at('POST /api/tasks/:/cancel'), []);
  });

  it('a reader that has seen enough is no error', async () => {
    await connect(double().url);
    const tasks = Array.from({ length: 2000 }, (_, i) => ({
      task_id: `${i}`,
      status: 'success',
      reason: 'x'.repeat(200),
      submitted_at: '',
    }));
    double().on('GET /api/tasks', { body: { tasks } });
    const started = start(['task', 'list', '--limit', '2000']);
    started.closeOutput();
    const { code, err } = await started.ended;
    assert.deepEqual({ code, err }, { code: 0, err: '' });
  });
});
