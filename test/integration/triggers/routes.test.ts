// The routes of triggers over real HTTP: forms of webhooks, limits, signatures, and what others may not see.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { SCOPES } from '../../../src/auth/scopes.ts';
import { Fault } from '../../../src/errors.ts';
import { silentLogger } from '../../../src/log.ts';
import { hookRoutes, triggerRoutes } from '../../../src/service/routes/triggers.ts';
import { withDatabase } from '../../support/database.ts';
import { eventually, recordingPorts, startHost, type TestHost } from '../../support/trigger-host.ts';

const OWNER = '11111111-1111-4111-8111-111111111111';
const OTHER = '33333333-3333-4333-8333-333333333333';
const FLOW = '22222222-2222-4222-8222-222222222222';

describe('the routes of triggers', () => {
  const database = withDatabase();
  const doors = recordingPorts();
  let started: TestHost;
  let server: Server;
  let base = '';
  before(async () => {
    started = startHost(database().url, doors.ports, { secret_key: randomBytes(32) });
    const authenticate = async (request: express.Request) => {
      const identity = { owner: OWNER, other: OTHER, poor: OWNER }[
        request.get('authorization')?.slice(7) ?? ''
      ];
      if (identity === undefined) throw new Fault('unauthenticated', 'No token.');
      const scopes = new Set(request.get('authorization') === 'Bearer poor' ? [] : [SCOPES.triggers]);
      return { identity, urn: '', username: '', scopes, groups: [], expires_s: 0, token_id: '' };
    };
    const deps = { authenticate, log: silentLogger };
    const app = express();
    app.use('/hooks', hookRoutes(started.host, deps));
    app.use('/api', triggerRoutes(started.host, deps));
    server = app.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    await new Promise((resolve) => server.close(resolve));
    await started.end();
  });

  /** What the tests read of answers. */
  interface Shown {
    readonly [name: string]: unknown;
    readonly id: string;
    readonly event_id: string;
    readonly decision: string;
    readonly run_id: string | null;
    readonly hook: { readonly path: string; readonly signed: boolean };
    readonly stats: { readonly events: number };
    readonly items: readonly { readonly loc: readonly string[] }[];
    readonly message: string;
    readonly events: readonly Shown[];
    readonly triggers: readonly Shown[];
  }
  interface Reply {
    readonly status: number;
    readonly body: Shown;
  }
  const call = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    token = 'owner',
  ): Promise<Reply> => {
    const response = await fetch(base + path, {
      method,
      headers: {
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text === '' ? '{}' : text) as Shown };
  };
  const makeHook = async (extra: object = {}): Promise<Shown> => {
    const made = await call('POST', '/api/triggers', {
      name: 'hook',
      kind: 'webhook',
      flow_id: FLOW,
      config: {},
      input: { 'n.$': '$.data.n' },
      ...extra,
    });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    return made.body;
  };
  const decided = async (id: string, eventId: string): Promise<Shown> => {
    let found: Shown | undefined;
    await eventually(async () => {
      const { body } = await call('GET', `/api/triggers/${id}/events`);
      found = body.events.find((event) => event.event_id === eventId);
      return found !== undefined && found.decision !== 'waiting';
    });
    return found as unknown as Shown;
  };

  it('take events with a token in each form, store them before they answer, and know a repeat', async () => {
    const { id } = await makeHook();
    const path = `/api/triggers/${id}/events`;
    const event = { specversion: '1.0', id: 'A', source: '/beam', type: 'shot', data: { n: 1 } };
    const structured = { 'content-type': 'application/cloudevents+json' };
    const first = await call('POST', path, event, structured);
    assert.deepEqual([first.status, first.body.event_id, first.body.duplicate], [202, 'A', false]);
    const { run_id } = await decided(id, 'A');
    const again = await call('POST', path, event, structured);
    assert.deepEqual(
      [again.status, again.body.duplicate, again.body.decision, again.body.run_id],
      [202, true, 'fired', run_id],
    );
    const elsewhere = await call('POST', path, { ...event, source: '/other' }, structured);
    assert.equal(elsewhere.body.duplicate, false);
    const binary = { 'ce-specversion': '1.0', 'ce-id': 'B', 'ce-source': '/beam', 'ce-type': 'shot' };
    assert.equal((await call('POST', path, { n: 2 }, binary)).body.event_id, 'B');
    const raw = await call('POST', path, { n: 3 }, { 'idempotency-key': 'K' });
    assert.equal(raw.body.event_id, 'K');
    assert.equal((await decided(id, 'K')).decision, 'fired');
    await eventually(() => doors.runs.size === 4);
  });

  it('take events through the secret URL without a token, and nothing with a wrong one', async () => {
    const hook = (await makeHook()).hook.path;
    const ok = await call('POST', hook, { n: 4 }, { 'idempotency-key': 'S' }, '');
    assert.deepEqual([ok.status, ok.body], [202, { event_id: 'S', decision: 'waiting', duplicate: false }]);
    const [, , id, secret] = hook.split('/');
    const wrong = [`/hooks/${id}/${secret}x`, `/hooks/${OTHER}/${secret}`, `/hooks/none/${secret}`];
    const answers = await Promise.all(wrong.map((path) => call('POST', path, { n: 5 }, {}, '')));
    for (const answer of answers) {
      assert.equal(answer.status, 404);
      assert.deepEqual(answer.body, answers[0]?.body);
    }
    const shown = await call('GET', `/api/triggers/${id}`);
    assert.ok(!JSON.stringify(shown.body).includes(secret ?? '?'));
    const rows = await database().db.query('SELECT * FROM triggers');
    assert.ok(!JSON.stringify(rows).includes(secret ?? '?'));
  });

  it('check the signature over the bytes when the trigger has a signing secret', async () => {
    const signing_secret = 'correct horse battery';
    const { hook, id } = await makeHook({
      signing_secret,
      config: { signature_header: 'X-Tiled-Signature' },
    });
    assert.equal(hook.signed, true);
    const body = '{"n":  6}';
    const sign = (text: string): string => createHmac('sha256', signing_secret).update(text).digest('hex');
    const good = await call('POST', hook.path, body, { 'x-tiled-signature': `sha256=${sign(body)}` }, '');
    assert.equal(good.status, 202);
    for (const bad of [{}, { 'x-tiled-signature': sign('{"n":6}') }, { 'x-hub-signature-256': sign(body) }])
      assert.equal((await call('POST', hook.path, body, bad as Record<string, string>, '')).status, 401);
    assert.equal((await call('GET', `/api/triggers/${id}`)).body.stats.events, 1);
    const rows = await database().db.query('SELECT signing_secret FROM triggers');
    assert.ok(!JSON.stringify(rows).includes(Buffer.from(signing_secret).toString('hex')));
  });

  it('answer bad requests with a 4xx that says what is wrong, and store nothing', async () => {
    const { id, hook } = await makeHook();
    const events = `/api/triggers/${id}/events`;
    for (const path of [events, hook.path]) {
      const huge = await call('POST', path, `"${'x'.repeat(11 * 1024 * 1024)}"`);
      assert.deepEqual([huge.status, huge.body.code], [413, 'payload_too_large']);
      const broken = await call('POST', path, '{"a":');
      assert.deepEqual([broken.status, broken.body.code], [400, 'bad_json']);
      const deep = await call('POST', path, `${'['.repeat(100)}${']'.repeat(100)}`);
      assert.deepEqual([deep.status, deep.body.code], [422, 'invalid_request']);
    }
    assert.equal((await call('POST', '/api/triggers', '{"name":')).status, 400);
    const bad = await call('POST', '/api/triggers', { name: 'x', kind: 'cron', flow_id: FLOW, config: {} });
    assert.equal(bad.status, 422);
    assert.deepEqual(bad.body.items[0]?.loc, ['config']);
    assert.match(bad.body.message, /schedule/);
    assert.equal((await call('GET', `${events}?limit=0`)).status, 422);
    assert.equal((await call('GET', `${events}?decision=maybe`)).status, 422);
    assert.equal((await call('GET', `${events}?marker=abc`)).status, 422);
    assert.equal((await call('POST', `/api/triggers/${id}/fire`, { events: 1 })).status, 422);
    assert.equal((await call('GET', `/api/triggers/${id}`)).body.stats.events, 0);
  });

  it('ask for a token with the scope, and show another user nothing', async () => {
    const { id } = await makeHook();
    const one = `/api/triggers/${id}`;
    const routes: readonly (readonly [string, string])[] = [
      ['GET', '/api/triggers'],
      ['POST', '/api/triggers'],
      ['GET', one],
      ['DELETE', one],
      ['POST', `${one}/pause`],
      ['POST', `${one}/resume`],
      ['POST', `${one}/fire`],
      ['GET', `${one}/events`],
      ['POST', `${one}/events`],
    ];
    for (const [method, path] of routes) {
      const body = method === 'POST' ? {} : undefined;
      assert.equal((await call(method, path, body, {}, '')).status, 401, `${method} ${path}`);
      assert.equal((await call(method, path, body, {}, 'poor')).status, 403, `${method} ${path}`);
      if (!path.includes(id)) continue;
      const foreign = await call(method, path, body, {}, 'other');
      const missing = await call(method, path.replace(id, OTHER), body, {}, 'other');
      assert.equal(foreign.status, 404, `${method} ${path}`);
      assert.equal(
        JSON.stringify(foreign.body).replaceAll(id, '*'),
        JSON.stringify(missing.body).replaceAll(OTHER, '*'),
      );
    }
    assert.deepEqual((await call('GET', '/api/triggers', undefined, {}, 'other')).body, { triggers: [] });
  });

  it('list long events without their data, and fire them again with it', async () => {
    const { id } = await makeHook();
    const long = { n: 1, text: 'x'.repeat(100_000) };
    const { event_id } = (await call('POST', `/api/triggers/${id}/events`, long)).body;
    const shown = await decided(id, event_id);
    assert.ok((shown.bytes as number) > 100_000);
    assert.equal((shown.event as { data?: unknown }).data, undefined);
    const again = await call('POST', `/api/triggers/${id}/fire`, { event_id });
    assert.equal(again.body.decision, 'fired');
  });

  it('pause, resume, fire, list and delete', async () => {
    const { id } = await makeHook({ name: 'life' });
    assert.equal((await call('POST', `/api/triggers/${id}/pause`)).body.state, 'paused');
    const note = await call('POST', `/api/triggers/${id}/events`, { n: 1 });
    assert.equal(note.body.decision, 'paused');
    assert.equal((await call('POST', `/api/triggers/${id}/resume`)).body.state, 'active');
    const fired = await call('POST', `/api/triggers/${id}/fire`, { event: { data: { n: 9 } } });
    assert.deepEqual([fired.status, fired.body.decision], [202, 'fired']);
    const listed = await call('GET', '/api/triggers');
    assert.ok(listed.body.triggers.some((one) => one.id === id && one.name === 'life'));
    assert.equal((await call('DELETE', `/api/triggers/${id}`)).status, 204);
    assert.equal((await call('GET', `/api/triggers/${id}`)).status, 404);
  });
});
