import assert from 'node:assert/strict';
import { makeClient } from '../../../src/sdk/client.ts';
import {
  ApiError,
  RequestTimeoutError,
  UnexpectedAnswerError,
  UnreachableError,
} from '../../../src/sdk/errors.ts';
import { deadUrl, startDouble, withDouble } from './double.ts';

const ACTION = { action_id: 'a', status: 'ACTIVE', creator_id: 'u', details: {} };

describe('sdk: requests', () => {
  const double = withDouble();
  const client = (more: { timeout_ms?: number } = {}) =>
    makeClient({ url: double().url, token: 'secret-token', ...more });

  it('sends the token as a bearer token, and JSON as JSON', async () => {
    double().on('POST /api/tokens', {
      status: 201,
      body: { id: 'i', name: 'n', token: 't', expires_at: null, scopes: [] },
    });
    await client().tokens.create({ name: 'n' });
    const [asked] = double().asked;
    assert.equal(asked?.headers.authorization, 'Bearer secret-token');
    assert.equal(asked?.headers['content-type'], 'application/json');
    assert.deepEqual(asked?.body, { name: 'n' });
  });

  it('asks for health without the token', async () => {
    double().on('GET /api/health', { body: { status: 'ok', version: '1.2.3' } });
    const health = await client().health();
    assert.equal(health.version, '1.2.3');
    assert.ok(Math.abs((health.server_time ?? 0) - Date.now()) < 60_000);
    assert.equal(double().asked[0]?.headers.authorization, undefined);
  });

  it("keeps its token from a provider elsewhere, and sends that provider's own", async () => {
    const other = await startDouble({ 'GET /ap/7/status': { body: ACTION } });
    try {
      await client().providers.status(`${other.url}/ap/`, '7');
      await client().providers.status(`${other.url}/ap/`, '7', { token: 'theirs' });
      assert.deepEqual(
        other.asked.map((one) => one.headers.authorization),
        [undefined, 'Bearer theirs'],
      );
    } finally {
      await other.close();
    }
  });

  it('follows no redirect', async () => {
    const other = await startDouble({ 'GET /api/whoami': { body: { username: 'x' } } });
    double().on('GET /api/whoami', { status: 302, headers: { location: `${other.url}/api/whoami` } });
    try {
      await assert.rejects(client().whoami(), UnreachableError);
      assert.deepEqual(other.asked, []);
    } finally {
      await other.close();
    }
  });

  it('keeps a path prefix of its address, and escapes ids', async () => {
    double().on('GET /behind/proxy/runs/:', { body: { run_id: 'r' } });
    await makeClient({ url: `${double().url}/behind/proxy/`, token: 't' }).runs.get('a/b');
    assert.equal(double().asked[0]?.path, '/behind/proxy/runs/a%2Fb');
  });

  it('repeats a read while the service starts, and a write never', async () => {
    double().on('GET /api/whoami', (_, times) =>
      times < 2 ? { status: 503, body: {} } : { body: { username: 'ada' } },
    );
    assert.equal((await client().whoami()).username, 'ada');
    assert.equal(double().at('GET /api/whoami').length, 3);

    double().on('POST /api/tasks', {
      status: 503,
      body: { code: 'unavailable', message: 'later', whose: 'system' },
    });
    const submission = { endpoint_id: 'e', function_id: 'f', calls: [{}] };
    await assert.rejects(client().tasks.submit(submission), ApiError);
    assert.equal(double().at('POST /api/tasks').length, 1);
  });

  it('says which address is silent', async () => {
    const url = await deadUrl();
    await assert.rejects(makeClient({ url, token: 't' }).tasks.cancel('x'), (error: unknown) => {
      assert.ok(error instanceof UnreachableError);
      assert.match(error.message, /^No answer from http:\/\/127\.0\.0\.1:\d+: connect ECONNREFUSED/);
      return true;
    });
  });

  it('gives up on a service that does not answer', async () => {
    double().on('GET /api/whoami', { silent: true });
    await assert.rejects(client({ timeout_ms: 50 }).whoami(), RequestTimeoutError);
  });

  it('knows an answer that is none of the service', async () => {
    double().on('GET /api/whoami', { body: '<html>a proxy</html>' });
    await assert.rejects(client().whoami(), UnexpectedAnswerError);
    double().on('GET /api/whoami', { body: '7' });
    await assert.rejects(client().whoami(), UnexpectedAnswerError);
  });
});

describe('sdk: error bodies of every protocol', () => {
  const double = withDouble();

  const problemFor = async (status: number, body: unknown) => {
    double().on('POST /flows', { status, body });
    const flow = { title: 't', definition: {}, input_schema: {} };
    const error = await makeClient({ url: double().url, token: 't' })
      .flows.create(flow)
      .then(
        () => assert.fail('was accepted'),
        (error: unknown) => error,
      );
    assert.ok(error instanceof ApiError);
    return error.problem;
  };

  it('ours', async () => {
    const items = [{ loc: ['calls', 3], msg: 'must be an object', type: 'type' }];
    const problem = await problemFor(422, {
      code: 'invalid_request',
      message: 'no',
      whose: 'caller',
      retry: false,
      remedy: 'look',
      items,
    });
    assert.deepEqual(problem, {
      http: 422,
      code: 'invalid_request',
      message: 'no',
      whose: 'caller',
      remedy: 'look',
      items,
      request: 'POST /flows',
    });
  });

  it('Compute', async () => {
    const problem = await problemFor(404, {
      status: 'Failed',
      code: 'TASK_NOT_FOUND',
      error_args: ['x'],
      http_status_code: 404,
      detail: 'Task x not found',
      reason: 'Task x not found',
    });
    assert.equal(problem.code, 'TASK_NOT_FOUND');
    assert.equal(problem.message, 'Task x not found');
    assert.equal(problem.whose, 'caller');
  });

  it('Flows, with a list of problems', async () => {
    const detail = [{ loc: ['definition', 'States', 'A'], msg: 'has no Next', type: 'value_error' }];
    const problem = await problemFor(422, {
      error: { code: 'UNPROCESSABLE_ENTITY', detail, message: '1 validation error' },
      debug_id: 'd',
    });
    assert.equal(problem.code, 'UNPROCESSABLE_ENTITY');
    assert.equal(problem.message, '1 validation error');
    assert.deepEqual(problem.items, detail);
  });

  it('ActionProvider', async () => {
    const problem = await problemFor(409, {
      code: 'ActionConflict',
      description: 'Cannot release incomplete Action',
    });
    assert.equal(problem.message, 'Cannot release incomplete Action');
  });

  it('none at all: a proxy in between', async () => {
    const problem = await problemFor(500, '<html>oops</html>');
    assert.equal(problem.code, 'http_500');
    assert.equal(problem.whose, 'system');
    assert.match(problem.message, /status 500/);
  });
});
