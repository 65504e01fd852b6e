// The HTTP face over a real PostgreSQL and real sockets: tokens, bad input, limits, and the Compute routes.
import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { SCOPES, USER_SCOPES } from '../../../src/auth/scopes.ts';
import { openService, type Service } from '../../../src/cli/stack/service.ts';
import { silentLogger } from '../../../src/log.ts';
import { jsonPayload, sourceCode } from '../../../src/protocol/packed.ts';
import { withDatabase } from '../../support/database.ts';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('the HTTP face', () => {
  const database = withDatabase();
  let service: Service;
  let token = '';
  let admin = '';

  before(async () => {
    service = await openService({
      database_url: database().url,
      redis_url: undefined,
      host: '127.0.0.1',
      port: 0,
      public_url: undefined,
      link_bind: 'tcp://127.0.0.1:*',
      direct: true,
      watch_roots: null,
      secret_key: null,
      log: silentLogger,
    });
    token = (await service.tokens.issue({ username: 'ada', name: 'test' })).token;
    admin = (
      await service.tokens.issue({ username: 'root', name: 'test', scopes: [...USER_SCOPES, SCOPES.admin] })
    ).token;
  });
  after(() => service.close());

  const call = async (
    method: string,
    path: string,
    body?: unknown,
    bearer: string | null = token,
  ): Promise<Answer> => {
    const response = await fetch(service.url + path, {
      method,
      headers: bearer === null ? {} : { authorization: `Bearer ${bearer}` },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    };
  };
  const makeFunction = async (): Promise<string> => {
    const made = await call('POST', '/v3/functions', {
      function_name: 'double',
      function_code: sourceCode('double', 'def double(x):\n    return 2 * x'),
      meta: { python_version: '3.11.2', sdk_version: '4.15.0', serde_identifier: 'st' },
    });
    return String(made.body.function_uuid);
  };

  it('is open for health, version and introspection only', async () => {
    assert.equal((await call('GET', '/api/health', undefined, null)).status, 200);
    assert.equal((await call('GET', '/v2/version?service=all', undefined, null)).status, 200);
    assert.equal((await call('GET', '/providers/compute', undefined, null)).status, 200);
    const closed = [
      ['GET', '/api/whoami'],
      ['GET', '/api/tasks'],
      ['GET', '/api/endpoints'],
      ['GET', '/api/triggers'],
      ['GET', '/api/tokens'],
      ['GET', '/v2/endpoints'],
      ['GET', '/flows'],
      ['GET', '/runs'],
      ['POST', '/providers/hello_world/run'],
      ['POST', '/v3/functions'],
    ] as const;
    for (const [method, path] of closed) {
      const answer = await call(method, path, method === 'POST' ? {} : undefined, null);
      assert.equal(answer.status, 401, `${method} ${path}`);
    }
  });

  it('refuses tokens that are forged, revoked or lack the scope', async () => {
    const [head, claims, signature = ''] = token.split('.');
    const forged = [head, claims, `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`].join('.');
    assert.equal((await call('GET', '/api/whoami', undefined, forged)).status, 401);
    assert.equal((await call('GET', '/api/whoami', undefined, 'nonsense')).status, 401);
    const narrow = await call('POST', '/api/tokens', { name: 'narrow', scopes: [SCOPES.flows_all] });
    assert.equal(narrow.status, 201);
    const narrowToken = String(narrow.body.token);
    assert.equal((await call('GET', '/v2/endpoints', undefined, narrowToken)).status, 403);
    assert.equal((await call('GET', '/api/whoami', undefined, narrowToken)).status, 200);
    assert.equal((await call('DELETE', `/api/tokens/${String(narrow.body.id)}`)).status, 200);
    assert.equal(
      (await call('GET', '/api/whoami', undefined, narrowToken)).status,
      401,
      'at once, though it was remembered',
    );
  });

  it('lets nobody give themselves more than they have', async () => {
    assert.equal((await call('POST', '/api/tokens', { name: 'x', scopes: [SCOPES.admin] })).status, 403);
    assert.equal((await call('POST', '/api/tokens', { name: 'x', username: 'root' })).status, 403);
    assert.equal((await call('POST', '/api/tokens', { name: 'x', username: 'eve' }, admin)).status, 201);
  });

  it('answers bad input with a 4xx that says what is wrong, in the dialect of the route', async () => {
    const json = await call('POST', '/v3/functions', '{"function_name": ');
    assert.equal(json.status, 400);
    assert.equal(json.body.code, 'REQUEST_MALFORMED');
    const missing = await call('POST', '/v3/functions', { function_name: 'f' });
    assert.equal(missing.status, 422);
    assert.match(JSON.stringify(missing.body.detail), /function_code/);
    const flow = await call('POST', '/flows', '[1, 2');
    assert.equal(flow.status, 400);
    assert.ok('error' in flow.body);
    const provider = await call('POST', '/providers/hello_world/run', 'nonsense');
    assert.equal(provider.status, 400);
    assert.ok('description' in provider.body);
    const nothing = await call('GET', '/api/nothing-here');
    assert.equal(nothing.status, 404);
    assert.match(String(nothing.body.message), /nothing-here/);
  });

  it('refuses a body of 11 MB with 413, with and without a token', async () => {
    const body = JSON.stringify({ tasks: 'x'.repeat(11 * 1024 * 1024) });
    for (const bearer of [token, null]) {
      const answer = await call('POST', `/v3/endpoints/${crypto.randomUUID()}/submit`, body, bearer);
      assert.equal(answer.status, 413);
    }
  });

  it('takes the absolute form that a client behind a proxy sends', async () => {
    const { hostname, port } = new URL(service.url);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const request = httpRequest(
        { hostname, port, path: 'http://localhost:5000/v2/version' },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      request.on('error', reject);
      request.end();
    });
    assert.equal(status, 200);
  });

  it('keeps functions, hides them from strangers and forgets deleted ones', async () => {
    const id = await makeFunction();
    assert.equal((await call('GET', `/v2/functions/${id}`)).body.function_name, 'double');
    assert.equal((await call('GET', `/v2/functions/${id}`, undefined, admin)).status, 404);
    assert.equal((await call('DELETE', `/v2/functions/${id}`)).body.result, 302);
    const gone = await call('GET', `/v2/functions/${id}`);
    assert.equal(gone.status, 404);
    assert.equal(gone.body.code, 'FUNCTION_NOT_FOUND');
  });

  it('stores all of a submission or none, and echoes ids as they were sent', async () => {
    const id = await makeFunction();
    const made = await call('POST', '/api/endpoints', { name: 'away' });
    const endpoint = String(made.body.endpoint_id);
    const payload = jsonPayload([1], {});
    const shouted = id.toUpperCase();
    const submitted = await call('POST', `/v3/endpoints/${endpoint}/submit`, {
      tasks: { [shouted]: [payload, payload] },
    });
    assert.equal(submitted.status, 200);
    const ids = (submitted.body.tasks as Record<string, string[]>)[shouted] ?? [];
    assert.equal(ids.length, 2);
    const view = await call('GET', `/api/tasks/${ids[0]}`);
    assert.match(String(view.body.reason), /never connected/);
    const state = await call('GET', `/v2/tasks/${ids[0]}`);
    assert.ok(!('completion_t' in state.body));
    assert.equal((await call('GET', `/v2/tasks/${ids[0]}`, undefined, admin)).status, 404);

    const before = (await call('GET', '/api/tasks?limit=1000')).body.tasks as unknown[];
    const partly = await call('POST', `/v3/endpoints/${endpoint}/submit`, {
      tasks: { [id]: [payload], [crypto.randomUUID()]: [payload] },
    });
    assert.equal(partly.status, 404);
    const after = (await call('GET', '/api/tasks?limit=1000')).body.tasks as unknown[];
    assert.equal(after.length, before.length, 'nothing of a refused submission is kept');

    const cancelled = await call('POST', `/api/tasks/${ids[0]}/cancel`);
    assert.equal(cancelled.body.cancelled, true);
    assert.equal((await call('GET', `/v2/tasks/${ids[0]}`)).body.status, 'failed');
    const group = await call('GET', `/api/task_groups/${String(submitted.body.task_group_id)}`);
    assert.deepEqual([group.body.tasks, group.body.done, group.body.failed], [2, 1, 1]);
  });

  it('pages through tasks without losing or repeating any', async () => {
    const id = await makeFunction();
    const endpoint = String((await call('POST', '/api/endpoints', { name: 'pages' })).body.endpoint_id);
    for (let n = 0; n < 7; n++) {
      await call('POST', '/api/tasks', { endpoint_id: endpoint, function_id: id, calls: [{ args: [n] }] });
    }
    const seen: string[] = [];
    let marker: string | null = null;
    do {
      const path = `/api/tasks?function_id=${id}&limit=3${marker === null ? '' : `&marker=${marker}`}`;
      const page: Answer = await call('GET', path);
      seen.push(...(page.body.tasks as { task_id: string }[]).map((task) => task.task_id));
      marker = page.body.marker as string | null;
    } while (marker !== null);
    assert.equal(seen.length, 7);
    assert.equal(new Set(seen).size, 7);
  });

  it('gives an endpoint code once, and for ten minutes', async () => {
    const made = await call('POST', '/api/endpoints', { name: 'coded' });
    const key = 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7';
    const good = { code: made.body.registration_code, curve_public_key: key };
    assert.equal(
      (await call('POST', '/api/endpoints/register', { ...good, curve_public_key: 'short' }, null)).status,
      422,
    );
    const first = await call('POST', '/api/endpoints/register', good, null);
    assert.equal(first.status, 200);
    assert.equal(typeof first.body.secret, 'string');
    assert.equal((await call('POST', '/api/endpoints/register', good, null)).status, 403);
  });
});
