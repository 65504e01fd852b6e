// Command lines against a double of the service: what is asked of it, what is shown, and how the program ends.
import assert from 'node:assert/strict';
import { deadUrl } from '../sdk/double.ts';
import { cli } from './cli.ts';
import { task } from './documents.ts';
import { ID, OTHER, withCli } from './with-cli.ts';

describe('cli: usage', () => {
  const { run } = withCli();

  it('an unknown command ends with 2 and names the nearest', async () => {
    const ended = await run(['tsk']);
    assert.equal(ended.code, 2);
    assert.match(ended.err, /unknown command 'tsk'[^]*Did you mean task\?/);
    assert.match((await run(['task', 'lst'])).err, /Did you mean (one of )?.*list/);
    assert.match((await run(['task', 'list', '--lmit', '3'])).err, /Did you mean --limit\?/);
  });

  it('what is missing or wrong ends with 2, and nothing is on standard output', async () => {
    const lines = [
      [],
      ['task'],
      ['task', 'show'],
      ['task', 'list', '--limit', 'many'],
      ['task', 'list', '-o', 'yaml'],
      ['task', 'result', ID, '--timeout', 'soon'],
      ['provider', 'run', 'x'],
      ['trigger', 'create'],
      ['trigger', 'create', 'file', '--flow', 'x'],
      ['flow', 'start', ID, '--input', '{'],
      ['flow', 'start', ID, '--input', '[]'],
      ['flow', 'validate', '/no/such/file.json'],
      ['function', 'run', ID, '--args', '{}'],
      ['function', 'run', ID, '--arg', 'novalue'],
    ];
    for (const line of lines) {
      const ended = await run(line);
      assert.equal(ended.code, 2, line.join(' '));
      assert.equal(ended.out, '', line.join(' '));
      assert.notEqual(ended.err, '', line.join(' '));
    }
  });

  it('help that is asked for is data, and ends with 0', async () => {
    for (const line of [['--help'], ['task', '--help'], ['help', 'trigger'], ['fn', 'run', '--help']]) {
      const ended = await run(line);
      assert.equal(ended.code, 0);
      assert.match(ended.out, /^Usage: pilotwave/);
      assert.equal(ended.err, '');
    }
  });

  it('loads what runs servers only when it is asked for', async () => {
    for (const line of [
      ['up', '--help'],
      ['--home', 'x', 'up', '--help'],
      ['help', 'up'],
      ['-o', 'json', 'help', 'up'],
    ]) {
      assert.match((await run(line)).out, /--ready-file/, line.join(' '));
    }
    assert.match((await run(['serve', '--help'])).out, /--port/);
  });

  it('shows the settings of the servers, and no secret', async () => {
    const env = {
      DATABASE_URL: 'postgres://ada:pa55word@db/x',
      PILOTWAVE_SECRET_KEY: 'f'.repeat(64),
      PILOTWAVE_WORKERS: '3',
    };
    const { code, out } = await run(['settings'], { env });
    assert.equal(code, 0);
    assert.match(out, /^PILOTWAVE_WORKERS +3 +0 /m);
    assert.match(out, /^DATABASE_URL +postgres:\/\/ada:…@db\/x/m);
    assert.doesNotMatch(out, /pa55word|ffff/);
  });

  it('lists every noun and verb of the contract', async () => {
    const verbs: Record<string, string[]> = {
      token: ['create', 'list', 'revoke'],
      endpoint: ['configure', 'start', 'stop', 'list', 'show', 'delete'],
      function: ['register', 'list', 'show', 'run'],
      fn: ['register', 'list', 'show', 'run'],
      task: ['list', 'show', 'result', 'logs', 'cancel'],
      flow: ['validate', 'create', 'list', 'show', 'start'],
      run: ['list', 'show', 'watch', 'logs', 'cancel'],
      trigger: ['create', 'list', 'show', 'events', 'pause', 'resume', 'fire', 'delete'],
      provider: ['list', 'show', 'run', 'status', 'cancel', 'release'],
    };
    const top = (await run(['--help'])).out;
    for (const noun of ['up', 'serve', 'demo', 'detector', 'doctor', 'settings'])
      assert.match(top, new RegExp(`^  ${noun} `, 'm'));
    for (const [noun, wanted] of Object.entries(verbs)) {
      const { out } = await run([noun, '--help']);
      for (const verb of wanted) assert.match(out, new RegExp(`^  ${verb}[ |]`, 'm'), `${noun} ${verb}`);
    }
    const kinds = (await run(['trigger', 'create', '--help'])).out;
    for (const kind of ['file', 'cron', 'webhook']) assert.match(kinds, new RegExp(`^  ${kind} `, 'm'));
  });
});

describe('cli: how it ends when the service says no', () => {
  const { double, run } = withCli();

  it('nothing answers: 69, and how to start it', async () => {
    const env = { PILOTWAVE_URL: await deadUrl() };
    const ended = await run(['task', 'cancel', ID], { env });
    assert.equal(ended.code, 69);
    assert.match(
      ended.err,
      /^error: No answer from http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED.*\n {2}do: +start it with: pilotwave up\n$/,
    );
    assert.equal(
      (await cli(['task', 'list'], { env })).code,
      69,
      'without a token the first news is still that nothing is there',
    );
  });

  it('no token: 3', async () => {
    double().on('GET /api/health', { body: { status: 'ok', version: '1' } });
    const ended = await cli(['task', 'list'], { env: { PILOTWAVE_URL: double().url } });
    assert.equal(ended.code, 3);
    assert.match(ended.err, /there is no token for it here[^]*PILOTWAVE_TOKEN/);
  });

  it('a bad token: 3; not yours or not there: 4; conflict: 1; full: 69', async () => {
    const ends: [number, number][] = [
      [401, 3],
      [403, 4],
      [404, 4],
      [409, 1],
      [422, 2],
      [507, 69],
    ];
    for (const [status, code] of ends) {
      double().on('GET /api/tasks/:', {
        status,
        body: { code: 'x', message: 'The reason.', whose: 'caller', remedy: 'The way out.' },
      });
      const ended = await run(['task', 'show', ID]);
      assert.equal(ended.code, code, String(status));
      assert.match(
        ended.err,
        /^error: The reason\.\n.*GET \/api\/tasks\/.* answered \d+\n.*your request\n.*The way out\.\n$/,
      );
      assert.equal(ended.out, '');
    }
  });

  it('with -o json errors are one line of JSON on standard error', async () => {
    const { code, out, err } = await run(['task', 'show', 'nope', '-o', 'json']);
    assert.equal(code, 4);
    assert.equal(out, '');
    assert.equal(err.trim().split('\n').length, 1);
    const { error } = JSON.parse(err) as { error: { message: string; exit: number; code: string } };
    assert.equal(error.exit, 4);
  });
});

describe('cli: data and the rest', () => {
  const { double, run } = withCli();
  beforeEach(() => double().on('GET /api/tasks', { body: { tasks: [task()], marker: null } }));

  it('tables are aligned, with times as people say them', async () => {
    const { code, out, err } = await run(['task', 'list']);
    assert.equal(code, 0);
    assert.equal(
      out,
      `ID${' '.repeat(36)}STATUS   SUBMITTED  TOOK   REASON\n${ID}  success  2 min ago  1.5 s  done\n`,
    );
    assert.equal(err, '');
  });

  it('--utc makes times absolute', async () => {
    assert.match((await run(['--utc', 'task', 'list'])).out, /2026-06-02 11:58:00 UTC/);
  });

  it('-o json is the documents, wherever it stands', async () => {
    for (const line of [
      ['-o', 'json', 'task', 'list'],
      ['task', 'list', '-o', 'json'],
      ['task', '--output=json', 'list'],
    ]) {
      const { out, err } = await run(line);
      assert.deepEqual(JSON.parse(out), [task()]);
      assert.equal(err, '');
    }
  });

  it('an empty list is empty on standard output', async () => {
    double().on('GET /api/tasks', { body: { tasks: [] } });
    const plain = await run(['task', 'list']);
    assert.equal(plain.out, '');
    assert.match(plain.err, /No tasks/);
    assert.deepEqual(await run(['task', 'list', '-q']), { code: 0, out: '', err: '' });
    assert.equal((await run(['task', 'list', '-o', 'json'])).out, '[]\n');
  });

  it('colours are for terminals that want them', async () => {
    const colour = /\u001b\[/;
    assert.match((await run(['task', 'list'], { tty: true })).out, colour);
    assert.doesNotMatch((await run(['task', 'list'])).out, colour);
    assert.doesNotMatch((await run(['task', 'list'], { tty: true, env: { NO_COLOR: '1' } })).out, colour);
    assert.doesNotMatch((await run(['task', 'list'], { tty: true, env: { TERM: 'dumb' } })).out, colour);
    assert.doesNotMatch((await run(['task', 'list', '-o', 'json'], { tty: true })).out, colour);
  });

  it('after a success the next command is on standard error, unless it disturbs', async () => {
    double().on('GET /api/tasks/:', { body: task() });
    assert.match((await run(['task', 'show', ID])).err, new RegExp(`next: pilotwave task result ${ID}\n`));
    assert.equal((await run(['task', 'show', ID, '--quiet'])).err, '');
    assert.equal((await run(['task', 'show', ID, '-o', 'json'])).err, '');
  });

  it('ids may be shortened as far as they stay unique', async () => {
    double().on('GET /api/tasks', { body: { tasks: [task(), task({ task_id: OTHER })] } });
    double().on('GET /api/tasks/:', { body: task() });
    await run(['task', 'show', '1111']);
    assert.equal(double().at('GET /api/tasks/:')[0]?.path, `/api/tasks/${ID}`);
    assert.equal((await run(['task', 'show', 'ffff'])).code, 4);
  });
});
