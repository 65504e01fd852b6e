// `trigger`, `provider`, `token` and `doctor` against a double of the service.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { startDouble } from '../sdk/double.ts';
import { NOW } from './cli.ts';
import { ID, OTHER, withCli } from './with-cli.ts';

const stats = {
  events: 3,
  fired: 2,
  filtered: 0,
  paused: 0,
  failed: 0,
  waiting: 1,
  last_event_at: '2026-06-02T11:59:00.000Z',
  last_fired_at: null,
  oldest_waiting_at: null,
};
const trigger = (more: object = {}): object => ({
  id: ID,
  name: 'drop',
  kind: 'file',
  config: { dir: '/data' },
  flow_id: OTHER,
  state: 'active',
  input: {},
  label: '',
  created_at: '2026-06-02T11:00:00.000Z',
  stats,
  health: { state: 'watching', open: 1 },
  ...more,
});

describe('cli: trigger', () => {
  const { double, run } = withCli();
  beforeEach(() => double().on('POST /api/triggers', { status: 201, body: trigger() }));

  it('makes a file trigger: an absolute folder, and rules in seconds', async () => {
    const line = [
      'trigger',
      'create',
      'file',
      '--flow',
      OTHER,
      '--dir',
      'drop',
      '--pattern',
      '*.cbf',
      '--settle',
      '500ms',
    ];
    const ended = await run([
      ...line,
      '--input',
      '{"path.$": "$.event.data.path"}',
      '--label',
      '{subject}',
      '--config',
      '{"recursive": true}',
    ]);
    assert.equal(ended.code, 0);
    assert.equal(ended.out, `${ID}\n`);
    assert.deepEqual(double().asked[0]?.body, {
      name: 'drop',
      kind: 'file',
      config: { dir: join(process.cwd(), 'drop'), pattern: '*.cbf', settle_s: 0.5, recursive: true },
      flow_id: OTHER,
      input: { 'path.$': '$.event.data.path' },
      label: '{subject}',
    });
  });

  it('leaves to the service what is not said', async () => {
    await run(['trigger', 'create', 'file', '--flow', OTHER, '--dir', '/data/drop']);
    assert.deepEqual(double().asked[0]?.body, {
      name: 'drop',
      kind: 'file',
      config: { dir: '/data/drop', pattern: '*', settle_s: 3 },
      flow_id: OTHER,
    });
  });

  it('makes a cron trigger in a time zone', async () => {
    await run([
      'trigger',
      'create',
      'cron',
      '--flow',
      OTHER,
      '--schedule',
      '*/5 * * * *',
      '--tz',
      'Europe/Berlin',
      '--name',
      'beam',
      '--max-in-flight',
      '2',
    ]);
    assert.deepEqual(double().asked[0]?.body, {
      name: 'beam',
      kind: 'cron',
      config: { schedule: '*/5 * * * *', timezone: 'Europe/Berlin' },
      flow_id: OTHER,
      max_in_flight: 2,
    });
  });

  it('makes a webhook and prints its secret address as data', async () => {
    double().on('POST /api/triggers', {
      status: 201,
      body: trigger({ kind: 'webhook', hook: { path: `/hooks/${ID}/s3cret`, signed: false } }),
    });
    const line = ['trigger', 'create', 'webhook', '--flow', OTHER, '--subject', '*.h5'];
    assert.equal((await run(line)).out, `${double().url}/hooks/${ID}/s3cret\n`);
    const json = JSON.parse((await run([...line, '-o', 'json'])).out) as { url: string; id: string };
    assert.equal(json.url, `${double().url}/hooks/${ID}/s3cret`);
    assert.equal(json.id, ID);
    assert.deepEqual(double().asked[0]?.body['filter'], { subject: ['*.h5'] });
  });

  it('lists, shows, pauses, resumes and deletes by name', async () => {
    double().on('GET /api/triggers', {
      body: {
        triggers: [
          trigger(),
          trigger({ id: OTHER, name: 'x', health: { state: 'trouble', error: '/data is not there' } }),
        ],
      },
    });
    double().on('GET /api/triggers/:', { body: trigger() });
    double().on('POST /api/triggers/:/pause', { body: trigger({ state: 'paused' }) });
    double().on('POST /api/triggers/:/resume', { body: trigger() });
    double().on('DELETE /api/triggers/:', { status: 204, body: '' });
    const list = (await run(['trigger', 'list'])).out;
    assert.match(list, /drop +file +active +3 +2 +1 min ago +watching\n/);
    assert.match(list, /\/data is not there\n/);
    const shown = (await run(['trigger', 'show', 'drop'])).out;
    assert.match(shown, /^counts +3 events, 2 fired/m);
    assert.match(shown, /^source: open +1$/m);
    assert.equal((await run(['trigger', 'pause', 'drop'])).out, 'drop: paused\n');
    assert.equal((await run(['trigger', 'resume', 'drop'])).out, 'drop: active\n');
    assert.equal((await run(['trigger', 'delete', 'drop'])).code, 0);
    assert.equal(double().at('DELETE /api/triggers/:')[0]?.path, `/api/triggers/${ID}`);
  });

  it('shows events with what was decided and why', async () => {
    const event = {
      event_id: 'e1',
      type: 't',
      subject: 'a.cbf',
      stored_at: '2026-06-02T11:59:30.000Z',
      decision: 'filtered',
      reason: 'does not match',
      run_id: null,
    };
    double().on('GET /api/triggers/:/events', { body: { events: [event], marker: null } });
    const ended = await run(['trigger', 'events', ID, '--decision', 'filtered']);
    assert.match(ended.out, /30 s ago {2}filtered +a\.cbf +does not match\n/);
    assert.deepEqual(double().asked[0]?.query, { limit: '50', decision: 'filtered' });
  });

  it('fires by hand and prints the run', async () => {
    const receipt = { event_id: 'e1', decision: 'fired', run_id: OTHER, duplicate: false, reason: null };
    double().on('POST /api/triggers/:/fire', { body: receipt });
    const fired = await run(['trigger', 'fire', ID, '--subject', 's', '--data', '{"path": "/x"}']);
    assert.equal(fired.out, `${OTHER}\n`);
    assert.match(fired.err, /next: pilotwave run watch/);
    await run(['trigger', 'fire', ID, '--event', 'e0']);
    assert.deepEqual(
      double().asked.map((one) => one.body),
      [{ event: { subject: 's', data: { path: '/x' } } }, { event_id: 'e0' }],
    );
    assert.equal((await run(['trigger', 'fire', ID, '--event', 'e0', '--data', '1'])).code, 2);
    double().on('POST /api/triggers/:/fire', {
      body: { ...receipt, decision: 'failed', run_id: null, reason: 'the flow is gone' },
    });
    const failed = await run(['trigger', 'fire', ID]);
    assert.equal(failed.code, 1);
    assert.match(failed.err, /the flow is gone/);
  });
});

describe('cli: provider', () => {
  const { double, run } = withCli();
  const action = (more: object = {}): object => ({
    action_id: 'tg_1',
    status: 'SUCCEEDED',
    creator_id: 'urn',
    details: { hello: 'you' },
    ...more,
  });

  it('runs an action and waits for it', async () => {
    double().on('POST /providers/hello_world/run', {
      status: 202,
      body: action({ status: 'ACTIVE', details: {} }),
    });
    double().on('GET /providers/hello_world/tg_1/status', (_, times) => ({
      body: times === 0 ? action({ status: 'ACTIVE', details: {} }) : action(),
    }));
    const ended = await run([
      'provider',
      'run',
      'hello_world',
      '--body',
      '{"echo_string": "you"}',
      '--request-id',
      'r1',
      '--wait',
    ]);
    assert.equal(ended.code, 0);
    assert.match(ended.out, /^status +SUCCEEDED$/m);
    assert.match(ended.err, /next: pilotwave provider release hello_world tg_1/);
    assert.deepEqual(double().asked[0]?.body, { request_id: 'r1', body: { echo_string: 'you' } });
  });

  it('a failed action ends with 1', async () => {
    double().on('POST /providers/x/run', {
      body: action({ status: 'FAILED', details: { code: 'Nope', description: 'It broke.' } }),
    });
    const ended = await run(['provider', 'run', 'x', '--body', '{}']);
    assert.equal(ended.code, 1);
    assert.match(ended.err, /FAILED: It broke\./);
  });

  it('talks to providers elsewhere with their own token only', async () => {
    const other = await startDouble({
      'POST /ap/tg_1/cancel': { body: action({ status: 'FAILED' }) },
      'POST /ap/tg_1/release': { body: action() },
    });
    try {
      await run(['provider', 'cancel', `${other.url}/ap`, 'tg_1']);
      await run(['provider', 'release', `${other.url}/ap`, 'tg_1', '--provider-token', 'theirs']);
      assert.deepEqual(
        other.asked.map((one) => one.headers.authorization),
        [undefined, 'Bearer theirs'],
      );
    } finally {
      await other.close();
    }
  });
});

describe('cli: token', () => {
  const { double, run } = withCli();

  it('prints a new token, and nothing else, on standard output', async () => {
    double().on('POST /api/tokens', {
      status: 201,
      body: {
        id: ID,
        name: 'ci',
        token: 'ey.new',
        expires_at: '2026-07-02T12:00:00.000000+00:00',
        scopes: [],
      },
    });
    const ended = await run(['token', 'create', 'ci', '--expires', '30d', '--scope', 'a', '--scope', 'b']);
    assert.equal(ended.out, 'ey.new\n');
    assert.match(ended.err, /"ci".*in 30 d/);
    assert.deepEqual(double().asked[0]?.body, { name: 'ci', scopes: ['a', 'b'], expires_in_s: 2_592_000 });
  });

  it('tells revoked and expired ones from good ones, and revokes by name', async () => {
    const token = (id: string, name: string, more: object = {}): object => ({
      id,
      name,
      username: 'ada',
      scopes: [],
      created_at: '2026-06-01T12:00:00.000000+00:00',
      expires_at: '2026-06-03T12:00:00.000000+00:00',
      revoked_at: null,
      ...more,
    });
    double().on('GET /api/tokens', {
      body: {
        tokens: [
          token(ID, 'ci'),
          token(OTHER, 'ci', { revoked_at: '2026-06-01T13:00:00.000000+00:00' }),
          token('c', 'old', { expires_at: '2026-06-02T11:00:00.000000+00:00' }),
        ],
      },
    });
    double().on('DELETE /api/tokens/:', { body: { revoked: true } });
    const { out } = await run(['token', 'list']);
    assert.match(out, new RegExp(`${ID}  ci +ada +ok +`));
    assert.match(out, new RegExp(`${OTHER}  ci +ada +revoked +`));
    assert.match(out, /^c +old +ada +expired +/m);
    assert.equal((await run(['token', 'revoke', 'ci'])).code, 0);
    assert.equal(double().at('DELETE /api/tokens/:')[0]?.path, `/api/tokens/${ID}`);
  });
});

describe('cli: doctor', () => {
  const { double, run } = withCli();
  const states = async (): Promise<{ code: number; checks: Record<string, string> }> => {
    const { code, out } = await run(['doctor', '-o', 'json'], { env: { PILOTWAVE_HOME: process.cwd() } });
    const checks = JSON.parse(out) as { name: string; state: string }[];
    return { code, checks: Object.fromEntries(checks.map((check) => [check.name, check.state])) };
  };

  it('all is well: 0', async () => {
    const date = new Date(NOW).toUTCString();
    double().on('GET /api/health', { headers: { date }, body: { status: 'ok', version: '0.1.0' } });
    double().on('GET /api/whoami', { body: { identity: ID, username: 'ada', scopes: [] } });
    double().on('GET /api/endpoints', {
      body: { endpoints: [{ id: ID, name: 'a', status: 'online', workers: 4 }] },
    });
    const { code, checks } = await states();
    assert.deepEqual(
      [checks['service'], checks['clock'], checks['token'], checks['endpoint']],
      ['ok', 'ok', 'ok', 'ok'],
    );
    assert.deepEqual([checks['node'], checks['python'], checks['home']], ['ok', 'ok', 'ok']);
    assert.equal(code, checks['disk'] === 'fail' ? 1 : 0);
  });

  it('what is wrong: 1, with what to do; what hangs on it is skipped', async () => {
    double().on('GET /api/health', {
      headers: { date: new Date(NOW - 600_000).toUTCString() },
      body: { status: 'ok', version: '9.9.9' },
    });
    double().on('GET /api/whoami', {
      status: 401,
      body: { code: 'invalid_token', message: 'The token has expired.' },
    });
    const { code, checks } = await states();
    assert.equal(code, 1);
    assert.deepEqual(
      [checks['service'], checks['clock'], checks['token'], checks['endpoint']],
      ['warn', 'fail', 'fail', 'skip'],
    );
    await double().close();
    const gone = await states();
    assert.equal(gone.code, 1);
    assert.deepEqual([gone.checks['service'], gone.checks['token']], ['fail', 'skip']);
    assert.match((await run(['doctor'])).out, /start it with: pilotwave up/);
  });
});
