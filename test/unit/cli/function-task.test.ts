// `function` and `task` against a double of the service.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Asked } from '../sdk/double.ts';
import { task } from './documents.ts';
import { ID, OTHER, withCli } from './with-cli.ts';

describe('cli: function', () => {
  const { double, run } = withCli();
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
    await writeFile(
      join(dir, 'one.py'),
      '\ufeffimport math\n\ndef _help(): pass\n\ndef area(r):\n    return math.pi * r ** 2\n',
    );
    await writeFile(join(dir, 'two.py'), 'def a(): pass\ndef b(): pass\n');
    await writeFile(join(dir, 'latin.py'), Buffer.from([0x23, 0xe9, 0x0a]));
    await writeFile(join(dir, 'args.json'), '[1, "x"]');
  });
  after(() => rm(dir, { recursive: true, force: true }));
  beforeEach(() => double().on('POST /v3/functions', { body: { function_uuid: ID } }));

  it('registers the whole file as source', async () => {
    const { code, out, err } = await run(['function', 'register', join(dir, 'one.py')]);
    assert.equal(code, 0);
    assert.equal(out, `${ID}\n`);
    assert.match(err, /next: pilotwave function run area --wait/);
    const body = double().asked[0]?.body;
    const source = 'import math\n\ndef _help(): pass\n\ndef area(r):\n    return math.pi * r ** 2\n';
    assert.equal(body?.function_code, `${source.length + 8}\nst\narea:${source}`);
    assert.equal(body?.function_name, 'area');
  });

  it('takes the function named after a colon, and another name', async () => {
    await run(['fn', 'register', `${join(dir, 'two.py')}:b`, '--name', 'bee', '--public']);
    const body = double().asked[0]?.body;
    assert.equal(body?.function_name, 'bee');
    assert.equal(body?.public, true);
    assert.match(String(body?.function_code), /^\d+\nst\nb:def a/);
  });

  it('asks which of several, and refuses what is not text', async () => {
    const several = await run(['fn', 'register', join(dir, 'two.py')]);
    assert.equal(several.code, 2);
    assert.match(several.err, /a \(line 1\), b \(line 2\)/);
    assert.match((await run(['fn', 'register', join(dir, 'latin.py')])).err, /not UTF-8/);
    assert.match((await run(['fn', 'register', dir])).err, /is a folder/);
    assert.deepEqual(double().asked, []);
  });

  const online = {
    id: OTHER,
    name: 'laptop',
    status: 'online',
    since: null,
    workers: 2,
    idle_workers: 2,
    outstanding_tasks: 0,
    waiting_reason: null,
  };
  const ready = (endpoints: object[] = [online]): void => {
    double().on('GET /api/functions', {
      body: {
        functions: [
          { id: ID, name: 'area' },
          { id: OTHER, name: 'area' },
        ],
      },
    });
    double().on('GET /api/endpoints', { body: { endpoints } });
    double().on('POST /api/tasks', { status: 202, body: { task_group_id: OTHER, task_ids: [ID] } });
    double().on('GET /api/tasks/:/logs', { body: { stdout: 'hello\n', stderr: '' } });
  };

  it('runs the newest of that name at the only endpoint online', async () => {
    ready([online, { ...online, id: ID, name: 'away', status: 'offline' }]);
    const args = [
      '--args',
      `@${join(dir, 'args.json')}`,
      '--kwargs',
      '{"k": 1, "l": null}',
      '--arg',
      'k=2',
      '--arg',
      'name=Ada=x',
      '--arg',
      't=true',
    ];
    const { code, out, err } = await run([
      'function',
      'run',
      'area',
      ...args,
      '--walltime',
      '5m',
      '--max-attempts',
      '2',
    ]);
    assert.equal(code, 0);
    assert.equal(out, `${ID}\n`);
    assert.match(err, /next: pilotwave task result/);
    assert.deepEqual(double().at('POST /api/tasks')[0]?.body, {
      endpoint_id: OTHER,
      function_id: ID,
      calls: [{ args: [1, 'x'], kwargs: { k: 2, l: null, name: 'Ada=x', t: true } }],
      options: { timeout_s: 300, max_attempts: 2 },
    });
  });

  it('none or several endpoints online: says so', async () => {
    ready([{ ...online, status: 'offline' }]);
    const none = await run(['function', 'run', 'area']);
    assert.equal(none.code, 69);
    assert.match(none.err, /No endpoint is online[^]*pilotwave endpoint start laptop/);
    ready([online, { ...online, id: ID, name: 'cluster' }]);
    const several = await run(['function', 'run', 'area']);
    assert.equal(several.code, 2);
    assert.match(several.err, /laptop, cluster/);
    assert.equal((await run(['function', 'run', 'area', '--endpoint', 'cluster'])).code, 0);
    assert.equal(double().at('POST /api/tasks').length, 1);
  });

  it('--wait prints the value on standard output, and what it printed on standard error', async () => {
    ready();
    double().on('GET /api/tasks/:', (_: Asked, times) => ({
      body:
        times === 0
          ? task({ status: 'running', reason: 'running on endpoint "laptop"', duration_s: null })
          : task({ output: { a: [1] } }),
    }));
    const { code, out, err } = await run(['function', 'run', 'area', '--wait']);
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(out), { a: [1] });
    assert.match(err, /running on endpoint "laptop"\nhello\nTask .*: success in 1\.5 s\n$/);
  });

  it('text is printed as text', async () => {
    ready();
    double().on('GET /api/tasks/:', { body: task({ output: 'Hello, Ada!' }) });
    assert.equal((await run(['fn', 'run', 'area', '--wait'])).out, 'Hello, Ada!\n');
  });

  it('a failure ends with 1, its last line first and the traceback after it', async () => {
    ready();
    const exception =
      'Traceback (most recent call last):\n  File "<function>", line 2, in area\nValueError: negative radius\n';
    double().on('GET /api/tasks/:', { body: task({ status: 'failed', reason: 'user failure', exception }) });
    const { code, out, err } = await run(['fn', 'run', 'area', '--wait']);
    assert.equal(code, 1);
    assert.equal(out, '');
    assert.match(err, /error: Task .* failed: ValueError: negative radius\n[^]*Traceback[^]*the function's/);
  });

  it('a wait that is over ends with 5, and the task goes on', async () => {
    ready();
    double().on('GET /api/tasks/:', {
      body: task({ status: 'running', reason: 'running on endpoint "laptop"' }),
    });
    const { code, err } = await run(['fn', 'run', 'area', '--wait', '--timeout', '200ms']);
    assert.equal(code, 5);
    assert.match(err, /has not ended after 0\.2 s: running on endpoint "laptop"[^]*it goes on/);
    assert.deepEqual(double().at('POST /api/tasks/:/cancel'), []);
  });

  for (const [answer, cancelled] of [
    ['cancel', 1],
    ['leave', 0],
  ] as const) {
    it(`Ctrl-C while waiting asks: ${answer}`, async () => {
      ready();
      let press: () => void = () => assert.fail('nobody listens');
      double().on('POST /api/tasks/:/cancel', { body: { task_id: ID, status: 'failed', cancelled: true } });
      double().on('GET /api/tasks/:', () => {
        press();
        return { silent: true };
      });
      const ended = await run(['fn', 'run', 'area', '--wait'], {
        answer,
        onListening: (button) => (press = button),
      });
      assert.equal(ended.code, 130);
      assert.match(ended.err, /Leave Task .* running, or cancel it\?/);
      assert.equal(double().at('POST /api/tasks/:/cancel').length, cancelled);
    });
  }

  it('shows source', async () => {
    double().on('GET /v2/functions/:', {
      body: { function_uuid: ID, function_name: 'f', function_code: '18\nst\nf:def f(): pass' },
    });
    assert.equal((await run(['fn', 'show', ID, '--source'])).out, 'def f(): pass\n');
    double().on('GET /v2/functions/:', {
      body: { function_uuid: ID, function_name: 'f', function_code: '9\n01\ngASV==' },
    });
    assert.match((await run(['fn', 'show', ID])).out, /code +bytecode/);
    assert.equal((await run(['fn', 'show', ID, '--source'])).code, 1);
  });
});

describe('cli: task', () => {
  const { double, run } = withCli();

  it('result of one that has not ended: 5, and why', async () => {
    double().on('GET /api/tasks/:', {
      body: task({ status: 'waiting-for-ep', reason: 'waiting: endpoint "x" offline since 14:02' }),
    });
    const ended = await run(['task', 'result', ID]);
    assert.equal(ended.code, 5);
    assert.match(ended.err, /offline since 14:02/);
  });

  it('a result that is not JSON is printed as it came, with a warning', async () => {
    double().on('GET /api/tasks/:', { body: task({ result: '00\ngAROLg==\n' }) });
    const ended = await run(['task', 'result', ID]);
    assert.equal(ended.out, '00\ngAROLg==\n');
    assert.match(ended.err, /warning: .*not JSON/);
  });

  it('logs keep the two streams apart', async () => {
    double().on('GET /api/tasks/:/logs', { body: { stdout: 'out\n', stderr: 'err\n' } });
    assert.deepEqual(await run(['task', 'logs', ID]), { code: 0, out: 'out\n', err: 'err\n' });
    assert.deepEqual(await run(['task', 'logs', ID, '--stderr']), { code: 0, out: 'err\n', err: '' });
  });

  it('cancel ends with 1 when there was nothing left to cancel', async () => {
    double().on('POST /api/tasks/:/cancel', (asked: Asked) => ({
      body: { task_id: ID, status: 'failed', cancelled: asked.path.includes(ID) },
    }));
    assert.equal((await run(['task', 'cancel', ID, OTHER])).code, 0);
    assert.equal((await run(['task', 'cancel', OTHER])).code, 1);
  });
});
