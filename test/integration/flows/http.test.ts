// The Flows API over HTTP: shapes, codes, lists and their pages, roles, errors, long polls, old spellings.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { flowScope, SCOPES, USER_SCOPES } from '../../../src/auth/scopes.ts';
import { Fault } from '../../../src/errors.ts';
import type { FlowEngine } from '../../../src/flows/engine.ts';
import { silentLogger } from '../../../src/log.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { makeApp } from '../../../src/service/app.ts';
import { flowRoutes } from '../../../src/service/routes/flows.ts';
import { runRoutes } from '../../../src/service/routes/runs.ts';
import { withDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';
import { makeDouble, type DoubleAction } from './support/double.ts';
import { ADA, action, BOB, flowOf, makeEngine } from './support/engine.ts';

const PASS: JsonObject = { P: { Type: 'Pass', Parameters: { 'twice.=': 'n * 2' }, End: true } };
const WAIT: JsonObject = { W: { Type: 'Wait', Seconds: 3_600, End: true } };
const NO_RUN = '99999999-9999-4999-8999-999999999999';

interface Reply {
  readonly status: number;
  readonly body: JsonObject;
}

describe('the Flows API', function () {
  this.timeout(60_000);
  const database = withDatabase();
  const double = makeDouble();
  let engine: FlowEngine;
  let server: Server;
  let url = '';

  before(async () => {
    engine = makeEngine(database(), double.client);
    await engine.start();
    const deps = {
      log: silentLogger,
      authenticate: async (request: { headers: Record<string, string | string[] | undefined> }) => {
        const [name, ...scopes] = String(request.headers['authorization'] ?? '').split(' ');
        const person = name === 'ada' ? ADA : name === 'bob' ? BOB : null;
        if (person === null) throw new Fault('unauthenticated', 'This route needs a bearer token.');
        return { ...person, token_id: 't', scopes: new Set(scopes.length === 0 ? USER_SCOPES : scopes) };
      },
    };
    server = createServer(
      makeApp(
        [
          { at: '/', router: flowRoutes(engine, deps) },
          { at: '/', router: runRoutes(engine, deps) },
        ],
        silentLogger,
      ),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await engine.stop();
  });

  async function call(method: string, path: string, body?: unknown, who = 'ada'): Promise<Reply> {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: who },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as JsonObject };
  }
  async function make(states: JsonObject, more: JsonObject = {}): Promise<string> {
    const { status, body } = await call('POST', '/flows', { ...flowOf(states), ...more });
    assert.equal(status, 201, JSON.stringify(body));
    return body['id'] as string;
  }
  async function run(flow: string, body: JsonObject = { n: 1 }, more: JsonObject = {}): Promise<string> {
    const { status, body: made } = await call('POST', `/flows/${flow}/run`, { body, ...more });
    assert.equal(status, 201, JSON.stringify(made));
    return made['run_id'] as string;
  }
  const errorOf = ({ body }: Reply): JsonObject => body['error'] as JsonObject;

  it("creates, shows, changes and deletes a flow in the contract's shape", async () => {
    const definition = flowOf(PASS)['definition'] as JsonObject;
    const created = await call('POST', '/flows', {
      title: 'T',
      definition,
      input_schema: { type: 'object' },
      keywords: ['k'],
      subscription_id: null,
      flow_viewers: ['public'],
      flow_starters: [],
      flow_administrators: [],
      run_managers: [],
      run_monitors: [],
    });
    assert.equal(created.status, 201);
    const id = created.body['id'] as string;
    const shown = (await call('GET', `/flows/${id}`)).body;
    assert.deepEqual(shown, created.body);
    assert.deepEqual(shown['definition'], definition);
    assert.equal(shown['globus_auth_scope'], flowScope(id));
    assert.equal(shown['flow_url'], `http://localhost:5000/flows/${id}`);
    assert.deepEqual(
      [shown['user_role'], shown['user_roles']],
      ['flow_owner', ['flow_owner', 'flow_viewer']],
    );
    assert.match(shown['created_at'] as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
    const open = (await (await fetch(`${url}/flows/${id}`)).json()) as JsonObject;
    assert.deepEqual(
      [open['globus_auth_scope'], open['flow_administrators'], open['user_roles']],
      [flowScope(id), [], ['flow_viewer']],
    );
    const changed = await call('PUT', `/flows/${id}`, {
      title: 'U',
      visible_to: [],
      runnable_by: ['all_authenticated_users'],
    });
    assert.equal(changed.status, 200);
    assert.deepEqual(
      [changed.body['title'], changed.body['flow_viewers'], changed.body['flow_starters']],
      ['U', [], ['all_authenticated_users']],
    );
    assert.deepEqual(changed.body['definition'], definition);
    assert.equal((await fetch(`${url}/flows/${id}`)).status, 401, 'not public any more');
    const deleted = await call('DELETE', `/flows/${id}`);
    assert.deepEqual([deleted.status, deleted.body['id'], deleted.body['DELETED']], [200, id, true]);
    assert.equal((await call('GET', `/flows/${id}`)).status, 404);
  });

  it('keeps the definition of a run as it was when the run started', async () => {
    const flow = await make(WAIT);
    const id = await run(flow);
    await call('PUT', `/flows/${flow}`, { definition: flowOf(PASS)['definition'] });
    const frozen = (await call('GET', `/runs/${id}/definition`)).body;
    assert.deepEqual([frozen['flow_id'], frozen['definition']], [flow, flowOf(WAIT)['definition']]);
    await call('POST', `/runs/${id}/cancel`);
  });

  it('validates, and says every problem with its place', async () => {
    const good = await call('POST', '/flows/validate', {
      definition: {
        StartAt: 'A',
        States: {
          A: action({ ActionScope: 'urn:s', Next: 'B', End: undefined as never }),
          B: { Type: 'Pass', End: true },
        },
      },
    });
    assert.deepEqual(
      [good.status, good.body],
      [200, { scopes: { User: ['urn:s'] }, analysis: { number_of_possibilities: 1 }, warnings: [] }],
    );
    const bad = await call('POST', '/flows/validate', {
      definition: { StartAt: 'A', States: { A: { Type: 'Action', ActionUrl: 'https://x.org' } } },
      input_schema: { type: 'objekt' },
    });
    assert.equal(bad.status, 422);
    const error = errorOf(bad);
    assert.equal(error['code'], 'UNPROCESSABLE_ENTITY');
    assert.deepEqual((error['detail'] as JsonObject[])[0], {
      loc: ['definition', 'States', 'A'],
      msg: `A state of type 'Action' must be defined as either terminal ("End": true) or transitional ("Next": "NextStateId")`,
      type: 'value_error',
    });
    assert.match(
      error['message'] as string,
      /^\d validation errors? in body\. \$\.definition\.States\.A: A state of type 'Action'/,
    );
    const empty = await call('POST', '/flows', {});
    assert.deepEqual(
      (errorOf(empty)['detail'] as JsonObject[]).map((item) => item['loc']),
      [['definition'], ['title']],
    );
    assert.equal((await call('POST', '/flows', { ...flowOf(PASS), flow_starters: ['bob'] })).status, 422);
    assert.equal((await call('POST', '/flows', { ...flowOf(PASS), title: 'x'.repeat(129) })).status, 422);
  });

  it('starts a run, shows its life, and its log in pages', async () => {
    const flow = await make({ A: action({ End: undefined as never, Next: 'P' }), ...PASS });
    const started = await call('POST', `/flows/${flow}/run`, {
      body: { n: 4 },
      label: 'L',
      tags: [' a   b '],
      run_managers: [],
      run_monitors: [],
    });
    assert.equal(started.status, 201);
    const { run_id, action_id, status, details, tags } = started.body;
    assert.deepEqual([action_id, status, tags], [run_id, 'ACTIVE', ['a b']]);
    assert.deepEqual(details, {
      code: 'FlowStarting',
      description: 'The Flow is starting execution',
      details: { input: { n: 4 } },
    });
    const one = await until<DoubleAction>('the action', () =>
      double.started.find((candidate) => candidate.request_id.startsWith(run_id as string)),
    );
    const active = await until('its state', async () => {
      const { body } = await call('GET', `/runs/${run_id as string}`);
      return (body['details'] as JsonObject)['state_name'] === 'A' && body;
    });
    assert.equal((active['details'] as JsonObject)['code'], 'ActionStarted');
    double.end(one, 'SUCCEEDED');
    const { body: final } = await call(
      'GET',
      `/runs/${run_id as string}?wait_s=20&include_flow_description=True`,
    );
    assert.deepEqual(final['details'], {
      code: 'FlowSucceeded',
      description: 'The Flow run reached a successful completion state',
      output: { twice: 8 },
    });
    assert.equal((final['flow_description'] as JsonObject)['id'], flow);
    assert.ok((final['completion_time'] as string) >= (final['start_time'] as string));

    const codes: unknown[] = [];
    let path = `/runs/${run_id as string}/log?limit=4&reverse_order=False`;
    for (let pages = 1; ; pages += 1) {
      const { body: page } = await call('GET', path);
      codes.push(...(page['entries'] as JsonObject[]).map((entry) => entry['code']));
      assert.equal(page['limit'], 4);
      assert.equal(page['has_next_page'], page['marker'] !== undefined);
      if (page['marker'] === undefined) {
        assert.equal(pages, 2);
        break;
      }
      path = `/runs/${run_id as string}/log?marker=${page['marker'] as string}`;
    }
    assert.deepEqual(codes, [
      'FlowStarted',
      'ActionStarted',
      'ActionCompleted',
      'PassStarted',
      'PassCompleted',
      'FlowSucceeded',
    ]);
    const reversed = (await call('GET', `/runs/${run_id as string}/log?limit=2&reverse_order=true`)).body;
    assert.deepEqual(
      (reversed['entries'] as JsonObject[]).map((entry) => entry['code']),
      ['FlowSucceeded', 'PassCompleted'],
    );
  });

  it('checks the input against the schema, and lets no schema hurt', async () => {
    const schema = {
      type: 'object',
      required: ['b'],
      properties: { b: { type: 'boolean' }, p: { type: 'string', pattern: '^(a+)+$' } },
      additionalProperties: false,
    };
    const flow = await make(PASS, { input_schema: schema });
    const wrong = await call('POST', `/flows/${flow}/run`, { body: { b: 'no' } });
    assert.equal(wrong.status, 400);
    assert.deepEqual(errorOf(wrong)['detail'], [
      { loc: ['$.b'], msg: 'is not of a type(s) boolean', type: 'InvalidActionInput' },
    ]);
    assert.deepEqual(
      [errorOf(wrong)['code'], errorOf(wrong)['message']],
      ['FLOW_INPUT_ERROR', 'Input failed schema validation with 1 error.'],
    );
    const began = performance.now();
    assert.equal(
      (await call('POST', `/flows/${flow}/run`, { body: { b: true, p: 'a'.repeat(5_000) + 'b' } })).status,
      400,
    );
    assert.ok(performance.now() - began < 2_000);
    assert.equal(
      (await call('POST', `/flows/${flow}/validate_run`, { body: { b: true, p: 'aa' } })).status,
      200,
    );
    assert.equal((await call('POST', `/flows/${flow}/validate_run`, { body: { b: 1 } })).status, 400);
    assert.equal((await call('POST', `/flows/${flow}/run`, { body: [] })).status, 422);
    assert.equal((await call('POST', `/flows/${flow}/run`, {})).status, 422);
    const huge = await call('POST', `/flows/${await make(PASS)}/run`, { body: { n: 'x'.repeat(300_000) } });
    assert.match(JSON.stringify(huge.body), /may have 200 KB/);
    const open = await call('POST', '/flows', {
      ...flowOf(PASS),
      input_schema: { properties: { a: { pattern: '(?=x)y' } } },
    });
    assert.match(JSON.stringify(open.body), /lookahead and lookbehind are not supported/);
    const bomb: Record<string, JsonObject> = {};
    for (let level = 0; level < 30; level += 1)
      bomb[`a${level}`] = {
        allOf: [{ $ref: `#/definitions/a${level + 1}` }, { $ref: `#/definitions/a${level + 1}` }],
      };
    bomb['a30'] = { type: 'object' };
    const blown = await call('POST', '/flows', {
      ...flowOf(PASS),
      input_schema: { definitions: bomb, $ref: '#/definitions/a0' },
    });
    assert.match(JSON.stringify(blown.body), /does not come to an end/);
  });

  it('lists in pages that neither repeat nor skip, with filters and orders', async () => {
    const flow = await make(WAIT, { title: 'Paged 100%' });
    const ids: string[] = [];
    for (let n = 0; n < 7; n += 1) ids.push(await run(flow, { n }, { label: `label ${n % 2}` }));
    const seen: string[] = [];
    let path = `/runs?filter_flow_id=${flow}&per_page=3&orderby=label ASC,start_time DESC&filter_roles=`;
    for (;;) {
      const { status, body } = await call('GET', path);
      assert.equal(status, 200, JSON.stringify(body));
      seen.push(...(body['runs'] as JsonObject[]).map((one) => one['run_id'] as string));
      // A run that comes in between pages disturbs nothing.
      await run(flow, {}, { label: 'a' });
      if (body['has_next_page'] !== true) break;
      path = `/runs?per_page=99&marker=${body['marker'] as string}`;
    }
    assert.deepEqual(
      seen,
      [6, 4, 2, 0, 5, 3, 1].map((n) => ids[n]),
    );
    const count = async (query: string): Promise<number> =>
      ((await call('GET', `/runs?filter_flow_id=${flow}&${query}`)).body['runs'] as []).length;
    assert.equal(await count('filter_label=LABEL 1'), 3);
    assert.equal(await count('filter_status=SUCCEEDED,FAILED'), 0);
    assert.equal(await count('filter_status=ACTIVE'), 10);
    assert.equal(await count('filter_flow_title=100%25'), 10);
    assert.equal(await count('filter_flow_title=1000'), 0);
    assert.equal(await count('filter_start_time=2100-01-01T00:00:00'), 0);
    assert.equal(await count('filter_start_time=,2100-01-01T00:00:00'), 10);
    assert.equal(await count('filter_start_time=2000-01-01'), 10);
    assert.equal(await count('filter_roles=run_monitors'), 0);
    assert.equal(await count('filter_roles=flow_run_manager'), 10);
    assert.equal((await call('GET', `/flows/${flow}/runs`)).body['actions'] !== undefined, true);

    const flows = (await call('GET', '/flows?filter_title=paged 100%25')).body;
    assert.deepEqual(
      (flows['flows'] as JsonObject[]).map((one) => one['id']),
      [flow],
    );
    assert.deepEqual([flows['has_next_page'], flows['marker']], [false, undefined]);
    assert.ok(
      ((await call('GET', '/flows?filter_fulltext=PAGED&orderby=title DESC')).body['flows'] as []).length >=
        1,
    );
    assert.equal(
      ((await call('GET', '/flows?filter_roles=flow_viewer', undefined, 'bob')).body['flows'] as []).length,
      0,
    );
    const keyed = await make(PASS, { keywords: ['xray', 'ssx'] });
    assert.deepEqual(
      ((await call('GET', '/flows?filter_keywords=SS,none')).body['flows'] as JsonObject[]).map(
        (one) => one['id'],
      ),
      [keyed],
    );
    for (const id of ids) await call('POST', `/runs/${id}/cancel`);
  });

  it('refuses queries and markers that are not right', async () => {
    const forged = (content: unknown): string => Buffer.from(JSON.stringify(content)).toString('base64url');
    for (const query of [
      'orderby=label;drop',
      'orderby=nope ASC',
      'filter_status=DONE',
      'filter_roles=king',
      'per_page=0',
      'per_page=x',
      'filter_flow_id=1',
      'filter_start_time=soon',
      'marker=zzz',
      `marker=${forged({ kind: 'flows', query: {}, after: ['a', 'b'] })}`,
      `marker=${forged({ kind: 'runs', query: { per_page: '1; drop table runs' }, after: ['a', 'b'] })}`,
      `marker=${forged({ kind: 'runs', query: {}, after: ['not a time', 'not a uuid'] })}`,
    ]) {
      const reply = await call('GET', `/runs?${query}`);
      assert.equal(reply.status, 422, `${query}: ${JSON.stringify(reply.body)}`);
      assert.equal(errorOf(reply)['code'], 'UNPROCESSABLE_ENTITY');
    }
  });

  it('keeps people apart', async () => {
    const hidden = await make({
      S: { Type: 'Pass', Parameters: { open: 1, key: 'k3y', __Private_Parameters: ['key'] }, End: true },
    });
    const id = await run(hidden);
    for (const [method, path] of [
      ['GET', `/flows/${hidden}`],
      ['PUT', `/flows/${hidden}`],
      ['DELETE', `/flows/${hidden}`],
      ['POST', `/flows/${hidden}/run`],
      ['GET', `/runs/${id}`],
      ['GET', `/runs/${id}/log`],
      ['GET', `/runs/${id}/definition`],
      ['POST', `/runs/${id}/cancel`],
      ['POST', `/runs/${id}/release`],
      ['PUT', `/runs/${id}`],
      ['GET', `/runs/${NO_RUN}`],
      ['GET', '/runs/x'],
    ] as const) {
      const reply = await call(method, path, method === 'GET' ? undefined : { body: {} }, 'bob');
      assert.equal(reply.status, 404, `${method} ${path}`);
      assert.equal(errorOf(reply)['code'], 'NOT_FOUND');
      assert.ok(errorOf(reply)['detail'] !== undefined, 'clients read error.detail');
    }
    await call('PUT', `/flows/${hidden}`, {
      flow_starters: [BOB.urn.toUpperCase().replace('URN:GLOBUS:AUTH:IDENTITY', 'urn:globus:auth:identity')],
    });
    const seen = (await call('GET', `/flows/${hidden}`, undefined, 'bob')).body;
    assert.deepEqual([seen['flow_starters'], seen['user_role']], [[], 'flow_starter']);
    assert.doesNotMatch(JSON.stringify(seen), /k3y/);
    const forbidden = await call('PUT', `/flows/${hidden}`, { title: 'x' }, 'bob');
    assert.deepEqual([forbidden.status, errorOf(forbidden)['code']], [403, 'FORBIDDEN']);
    const bobs = await call('POST', `/flows/${hidden}/run`, { body: {} }, 'bob');
    assert.equal(bobs.status, 201);
    const bobsRun = bobs.body['run_id'] as string;
    await call('GET', `/runs/${bobsRun}?wait_s=10`, undefined, 'bob');
    assert.doesNotMatch(
      JSON.stringify((await call('GET', `/runs/${bobsRun}/definition`, undefined, 'bob')).body),
      /k3y/,
    );
    assert.doesNotMatch(
      JSON.stringify((await call('GET', `/runs/${bobsRun}/log`, undefined, 'bob')).body),
      /k3y/,
    );
    assert.equal(
      (await call('GET', `/runs/${bobsRun}`)).body['user_role'],
      'flow_run_manager',
      "the flow's owner manages its runs",
    );
    assert.equal((await call('POST', `/runs/${bobsRun}/resume`)).status, 403, 'but may not resume them');
    const monitored = await run(await make(WAIT), {}, { run_monitors: [BOB.urn] });
    assert.equal(
      (await call('GET', `/runs/${monitored}`, undefined, 'bob')).body['user_role'],
      'run_monitor',
    );
    assert.equal((await call('POST', `/runs/${monitored}/cancel`, undefined, 'bob')).status, 403);
    await call('POST', `/runs/${monitored}/cancel`);
  });

  it('asks for the right scopes', async () => {
    const flow = await make(PASS);
    const only = (...scopes: string[]): string => ['ada', ...scopes].join(' ');
    const missing = await call('GET', '/flows', undefined, only(SCOPES.flows_run_status));
    assert.deepEqual(
      [missing.status, errorOf(missing)['code'], errorOf(missing)['detail']],
      [403, 'MISSING_SCOPE', `This action requires the following scope: ${SCOPES.flows_view}`],
    );
    assert.equal((await call('POST', '/flows', flowOf(PASS), only(SCOPES.flows_view))).status, 403);
    assert.equal(
      (await call('POST', `/flows/${flow}/run`, { body: { n: 1 } }, only(SCOPES.flows_view))).status,
      403,
    );
    assert.equal(
      (await call('POST', `/flows/${flow}/run`, { body: { n: 1 } }, only(flowScope(flow)))).status,
      201,
    );
    assert.equal((await call('GET', '/runs', undefined, only(SCOPES.flows_run_manage))).status, 200);
    assert.equal((await call('GET', '/runs', undefined, 'nobody')).status, 401);
  });

  it('cancels, releases, relabels, and answers the old spellings', async () => {
    const flow = await make(WAIT);
    const id = await run(flow);
    const early = await call('POST', `/runs/${id}/release`);
    assert.equal(early.status, 409);
    assert.equal(
      errorOf(early)['detail'],
      `Run ${id} has status 'ACTIVE' but must have status in {'ENDED', 'SUCCEEDED', 'FAILED'} for requested operation`,
    );
    const relabelled = await call('PUT', `/runs/${id}`, { label: 'new', tags: ['t'] });
    assert.deepEqual(
      [relabelled.status, relabelled.body['label'], relabelled.body['tags']],
      [200, 'new', ['t']],
    );
    assert.equal((await call('GET', `/flows/${flow}/${id}/status`)).body['status'], 'ACTIVE');
    assert.equal((await call('POST', `/flows/${flow}/${id}/cancel`)).status, 202);
    const final = (await call('GET', `/runs/${id}?wait_s=10`)).body;
    assert.deepEqual(
      [final['status'], (final['details'] as JsonObject)['code'], final['label']],
      ['FAILED', 'FlowCanceled', 'new'],
    );
    assert.equal((await call('POST', `/runs/${id}/cancel`)).status, 202);
    assert.equal((await call('POST', `/runs/${id}/release`)).status, 200);
    assert.equal((await call('GET', `/runs/${id}`)).status, 404);
    const many = [await run(flow), await run(flow)];
    assert.equal(
      (
        await call('POST', '/batch/runs', {
          filters: { run_ids: many },
          set: { status: 'cancel', tags: ['bye'] },
        })
      ).status,
      202,
    );
    for (const one of many) {
      const { body } = await call('GET', `/runs/${one}?wait_s=10`);
      assert.deepEqual([body['status'], body['tags']], ['FAILED', ['bye']]);
    }
    assert.equal((await call('POST', '/batch/runs', { filters: { run_ids: ['x'] } })).status, 422);
  });

  it('holds a request until the run ends, and no longer than asked', async () => {
    const flow = await make({ W: { Type: 'Wait', SecondsPath: '$.s', End: true } });
    const short = await run(flow, { s: 1 });
    const began = performance.now();
    assert.equal((await call('GET', `/runs/${short}?wait_s=30`)).body['status'], 'SUCCEEDED');
    const took = performance.now() - began;
    assert.ok(took > 500 && took < 2_500, `${took} ms`);
    const long = await run(flow, { s: 600 });
    assert.equal((await call('GET', `/runs/${long}?wait_s=1`)).body['status'], 'ACTIVE');
    await call('POST', `/runs/${long}/cancel`);
  });
});
