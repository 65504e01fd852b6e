// `endpoint` against a double of the service: registration, and what is kept on this machine.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { nameProcess } from '../../../src/processes.ts';
import type { Asked } from '../sdk/double.ts';
import { ID, OTHER, withCli } from './with-cli.ts';
import type { Ended } from './cli.ts';

const SERVER_KEY = 'k'.repeat(40);

describe('cli: endpoint', () => {
  const { double, run } = withCli();
  let home = '';
  let known: object[] = [];
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
    known = [];
    double().on('GET /api/whoami', { body: { identity: 'me', username: 'ada', scopes: [] } });
    double().on('GET /api/endpoints', () => ({ body: { endpoints: known } }));
    double().on('POST /api/endpoints', {
      status: 201,
      body: { endpoint_id: ID, registration_code: 'code-1', expires_at: '' },
    });
    double().on('POST /api/endpoints/register', {
      body: {
        endpoint_id: ID,
        link: { address: 'tcp://127.0.0.1:9', server_key: SERVER_KEY },
        secret: 'proof',
      },
    });
    double().on('DELETE /v2/endpoints/:', { body: { result: 302 } });
  });
  afterEach(() => rm(home, { recursive: true, force: true }));
  const at_home = (...line: string[]): Promise<Ended> =>
    run(['endpoint', ...line], { env: { PILOTWAVE_HOME: home } });
  const config = async (name: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(join(home, 'endpoints', name, 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >;

  it('configure registers with the code, without the token, and keeps what the manager needs', async () => {
    const ended = await at_home(
      'configure',
      'laptop',
      '--workers',
      '3',
      '--python',
      '/usr/bin/python3',
      '--min-blocks',
      '2',
    );
    assert.equal(ended.code, 0, ended.err);
    assert.equal(ended.out, `${ID}\n`);
    assert.match(ended.err, /next: pilotwave endpoint start laptop/);
    const [registered] = double().at('POST /api/endpoints/register');
    assert.equal(registered?.headers.authorization, undefined);
    const kept = await config('laptop');
    assert.deepEqual(kept, {
      endpoint_id: ID,
      name: 'laptop',
      service_url: double().url,
      link: { address: 'tcp://127.0.0.1:9', server_key: SERVER_KEY },
      keys: {
        publicKey: registered?.body['curve_public_key'],
        secretKey: (kept['keys'] as { secretKey: string }).secretKey,
      },
      secret: 'proof',
      workers: 3,
      python: '/usr/bin/python3',
      scheduler: 'local',
      min_blocks: 2,
      max_blocks: 2,
      worker_init: '',
    });
    assert.deepEqual(registered?.body, {
      code: 'code-1',
      curve_public_key: (kept['keys'] as { publicKey: string }).publicKey,
      hostname: hostname(),
    });
    assert.equal((await stat(join(home, 'endpoints', 'laptop', 'config.json'))).mode & 0o077, 0);
  });

  it('configure takes back a registration that it could not finish', async () => {
    double().on('POST /api/endpoints/register', {
      status: 403,
      body: { code: 'registration_code_invalid', message: 'The code is used.' },
    });
    const ended = await at_home('configure', 'laptop');
    assert.equal(ended.code, 4);
    assert.match(ended.err, /The code is used/);
    assert.equal(double().at('DELETE /v2/endpoints/:')[0]?.path, `/v2/endpoints/${ID}`);
    await assert.rejects(config('laptop'));
  });

  it('configure refuses a name that is taken, here or at the service, unless it is to replace it', async () => {
    assert.equal((await at_home('configure', 'laptop')).code, 0);
    const here = await at_home('configure', 'laptop');
    assert.equal(here.code, 1);
    assert.match(here.err, /configured here already/);
    known = [
      { id: OTHER, name: 'cluster', owner: 'me' },
      { id: ID, name: 'theirs', owner: 'another' },
    ];
    const there = await at_home('configure', 'cluster');
    assert.equal(there.code, 1);
    assert.match(there.err, /--replace/);
    double().on('POST /api/endpoints/:/registration_code', {
      status: 201,
      body: { endpoint_id: OTHER, registration_code: 'code-2', expires_at: '' },
    });
    assert.equal((await at_home('configure', 'cluster', '--replace')).code, 0);
    assert.deepEqual(
      double()
        .at('POST /api/endpoints/register')
        .map((one: Asked) => one.body['code']),
      ['code-1', 'code-2'],
    );
    assert.equal((await at_home('configure', 'theirs')).code, 0);
  });

  it('configure refuses names and settings that cannot be', async () => {
    for (const line of [['../evil'], ['a b'], ['x', '--scheduler', 'abacus'], ['x', '--workers', '-1']]) {
      const ended = await at_home('configure', ...line);
      assert.equal(ended.code, 2, line.join(' '));
    }
    assert.deepEqual(double().asked, []);
  });

  it('start and stop say what is missing', async () => {
    for (const verb of ['start', 'stop']) {
      assert.equal((await at_home(verb)).code, 4);
      assert.match(
        (await at_home(verb, 'laptop')).err,
        /No endpoint "laptop" is configured here[^]*pilotwave endpoint configure laptop/,
      );
    }
    await at_home('configure', 'laptop');
    const stopped = await at_home('stop', 'laptop');
    assert.deepEqual([stopped.code, stopped.out], [0, 'Endpoint "laptop" is not running.\n']);
    await at_home('configure', 'desktop');
    const which = await at_home('stop');
    assert.equal(which.code, 2);
    assert.match(which.err, /Several endpoints are configured here/);
  });

  it('a broken configuration ends with 78', async () => {
    await mkdir(join(home, 'endpoints', 'x'), { recursive: true });
    await writeFile(join(home, 'endpoints', 'x', 'config.json'), '{"name": "x"}');
    for (const verb of ['start', 'stop']) {
      const ended = await at_home(verb, 'x');
      assert.equal(ended.code, 78);
      assert.match(ended.err, /config\.json is not a valid configuration/);
    }
  });

  it('one that runs is neither replaced nor deleted', async () => {
    await at_home('configure', 'laptop');
    const dir = join(home, 'endpoints', 'laptop');
    const lock = JSON.stringify({ ...nameProcess(process.pid), host: hostname(), since: '' });
    await writeFile(join(dir, 'manager.lock'), lock);
    known = [{ id: ID, name: 'laptop', owner: 'me' }];
    for (const line of [
      ['configure', 'laptop', '--replace'],
      ['delete', 'laptop'],
      ['start', 'laptop', '--detach'],
    ]) {
      const ended = await at_home(...line);
      assert.equal(ended.code, 1, line.join(' '));
      assert.match(ended.err, new RegExp(`is running: process ${process.pid} on`));
    }
    assert.deepEqual(double().at('DELETE /v2/endpoints/:'), []);
    // A lock whose process is gone holds nothing.
    await writeFile(
      join(dir, 'manager.lock'),
      JSON.stringify({ pid: process.pid, start: 'another', host: hostname() }),
    );
    assert.equal((await at_home('delete', 'laptop')).code, 0);
    await assert.rejects(stat(dir));
  });

  it('lists and shows what the service knows', async () => {
    known = [
      {
        id: ID,
        name: 'laptop',
        owner: 'me',
        status: 'offline',
        since: '2026-06-02T11:00:00.000000+00:00',
        workers: 0,
        idle_workers: 0,
        outstanding_tasks: 4,
        waiting_reason: 'no node',
      },
    ];
    double().on('GET /v2/endpoints/:', { body: { uuid: ID, name: 'laptop', hostname: 'box' } });
    assert.match(
      (await at_home('list')).out,
      new RegExp(`${ID}  laptop  offline  1 h ago  0 \\(0 idle\\)  4 +no node\n`),
    );
    const shown = await at_home('show', 'laptop');
    assert.match(shown.out, /^status +offline\n/m);
    assert.match(shown.out, /^host +box$/m);
    assert.match(shown.err, /next: pilotwave endpoint start laptop/);
  });
});
