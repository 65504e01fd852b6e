// The ActionProvider contract as one suite for any provider of ours: over HTTP, in both spellings of the routes,
// on a real database. Clauses: reference ActionProvider API; numbers in the titles are its sections.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Principal } from '../../src/auth/principal.ts';
import type { TestDatabase } from '../support/database.ts';
import { Fault } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import type { ActionProvider, JsonObject } from '../../src/providers/contract.ts';
import type { ActionHost } from '../../src/providers/host.ts';
import { makeApp } from '../../src/service/app.ts';
import { providerRoutes } from '../../src/service/routes/providers.ts';
import type { Authenticate } from '../../src/service/steps/handler.ts';
import {
  GROUP,
  handClock,
  hostOn,
  person,
  taskDesk,
  type HandClock,
  type TaskDesk,
} from '../support/action-host.ts';
import { checkActionStatus, checkError, checkLogPage, checkProvider } from '../support/action-schemas.ts';

export interface Samples {
  /** Ends with SUCCEEDED, at the latest when the desk's tasks are finished. */
  readonly quick: JsonObject;
  /** Stays ACTIVE until it is cancelled. */
  readonly long: JsonObject;
  /** Breaks the input schema or the provider's own checks; and words of the answer. */
  readonly invalid: readonly (readonly [JsonObject, RegExp])[];
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- documents are checked by their schemas
  readonly body: any;
}

const alice = person();
const bob = person();
const carol = person({ groups: [GROUP] });
const PEOPLE: Readonly<Record<string, Principal>> = {
  alice,
  bob,
  carol,
  narrow: person({ scopes: ['openid'] }),
};

interface Stage {
  readonly host: ActionHost;
  readonly clock: HandClock;
  readonly desk: TaskDesk;
  call(who: string | null, method: string, path: string, body?: unknown): Promise<Answer>;
  close(): Promise<void>;
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function setStage({ db }: TestDatabase, provider: ActionProvider): Promise<Stage> {
  const clock = handClock();
  const desk = taskDesk(() => clock.now());
  const host = hostOn(db, [provider], desk.ports, clock);
  const authenticate: Authenticate = (request) => {
    const name = /^Bearer (\w+)$/.exec(request.headers.authorization ?? '')?.[1];
    const who = name === undefined ? undefined : PEOPLE[name];
    if (who === undefined) return Promise.reject(new Fault('unauthenticated', 'A bearer token is needed.'));
    return Promise.resolve(who);
  };
  const routes = providerRoutes(host, { authenticate, log: silentLogger });
  const server = createServer(makeApp([{ at: '/providers', router: routes }], silentLogger));
  const base = `http://127.0.0.1:${await listen(server)}/providers/${provider.name}`;
  return {
    host,
    clock,
    desk,
    async call(who, method, path, body) {
      const response = await fetch(base + path, {
        method,
        headers: {
          ...(who === null ? {} : { authorization: `Bearer ${who}` }),
          // Bodies are JSON whatever the header says.
          ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
        },
        ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? null : JSON.parse(text),
      };
    },
    async close() {
      await host.stop();
      await new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
    },
  };
}

/** Old and new spelling of the routes of one action. */
function pathsOf(
  id: string,
): Readonly<Record<'status' | 'cancel' | 'release' | 'log' | 'resume', [string, string][]>> {
  const both = (verb: string): [string, string][] => [
    ['POST', `/${id}/${verb}`],
    ['POST', `/actions/${id}/${verb}`],
  ];
  return {
    status: [
      ['GET', `/${id}/status`],
      ['GET', `/actions/${id}`],
    ],
    cancel: both('cancel'),
    resume: both('resume'),
    release: [
      ['POST', `/${id}/release`],
      ['DELETE', `/actions/${id}`],
    ],
    log: [
      ['GET', `/${id}/log`],
      ['GET', `/actions/${id}/log`],
    ],
  };
}

/** Registers the suite for one provider; `database` comes from withDatabase(). */
export function exercise(
  name: string,
  provider: ActionProvider,
  samples: Samples,
  database: () => TestDatabase,
): void {
  describe(`ActionProvider contract: ${name}`, () => {
    let stage: Stage;
    before(async () => {
      stage = await setStage(database(), provider);
    });
    after(() => stage.close());

    const request = (body: JsonObject, more: JsonObject = {}): Record<string, unknown> => ({
      request_id: randomUUID(),
      body,
      ...more,
    });
    const refused = (answer: Answer, status: number, code: string): void => {
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      checkError(answer.body);
      assert.equal(answer.body.code, code);
    };
    const document = (answer: Answer, status = 200): Answer['body'] => {
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      checkActionStatus(answer.body);
      return answer.body;
    };
    const run = async (who: string, sent: unknown, path = '/run'): Promise<Answer['body']> =>
      document(await stage.call(who, 'POST', path, sent), 202);
    /** Brings an action to its end. */
    const ended = async (who: string, id: string): Promise<Answer['body']> => {
      stage.desk.finishAll();
      return document(await stage.call(who, 'GET', `/${id}/status`));
    };

    describe('1, 8: introspection', () => {
      it('is open, with and without a slash, to browsers of any origin', async () => {
        for (const path of ['', '/']) {
          const answer = await stage.call(null, 'GET', path);
          assert.equal(answer.status, 200);
          assert.equal(answer.headers.get('access-control-allow-origin'), '*');
          checkProvider(answer.body);
        }
      });
      it('answers OPTIONS', async () => {
        for (const path of ['', '/']) {
          const answer = await stage.call(null, 'OPTIONS', path);
          assert.equal(answer.status, 204);
          assert.equal(answer.body, null);
          assert.equal(answer.headers.get('access-control-allow-methods'), 'GET, OPTIONS');
          assert.equal(answer.headers.get('access-control-allow-origin'), '*');
          assert.equal(answer.headers.get('access-control-expose-headers'), '*');
        }
      });
    });

    describe('6: refusals', () => {
      it('of a caller without a token, or without the scope', async () => {
        for (const path of ['/run', '/actions']) {
          refused(await stage.call(null, 'POST', path, request(samples.quick)), 401, 'UnauthorizedRequest');
          refused(
            await stage.call('narrow', 'POST', path, request(samples.quick)),
            403,
            'UnauthorizedRequest',
          );
        }
        refused(await stage.call(null, 'GET', '/actions'), 401, 'UnauthorizedRequest');
        refused(await stage.call(null, 'GET', '/some-id/status'), 401, 'UnauthorizedRequest');
      });
      it('of what is no JSON object', async () => {
        refused(await stage.call('alice', 'POST', '/run', '{"request_id": '), 400, 'BadActionRequest');
        refused(await stage.call('alice', 'POST', '/run', '[1]'), 400, 'BadActionRequest');
        refused(await stage.call('alice', 'POST', '/run'), 422, 'RequestValidationError');
      });
      it('of a bad ActionRequest, naming the field', async () => {
        const bad: [unknown, RegExp][] = [
          [{ body: {} }, /^Field 'request_id': field required$/],
          [{ request_id: '1' }, /^Field 'body': field required$/],
          [request(samples.quick, { label: '' }), /^Field 'label'/],
          [request(samples.quick, { label: 'x'.repeat(65) }), /^Field 'label'/],
          [request(samples.quick, { monitor_by: ['bob'] }), /^Field 'monitor_by\.0'/],
          [request(samples.quick, { manage_by: ['public'] }), /^Field 'manage_by\.0'/],
          [request(samples.quick, { release_after: '30 days' }), /^Field 'release_after'/],
          [request(samples.quick, { deadline: 'tomorrow' }), /^Field 'deadline'/],
          [request(samples.quick, { deadline: '2020-01-01T00:00:00+00:00' }), /past/],
          [request(samples.quick, { deadline: '2999-01-01T00:00:00+00:00' }), /P30D/],
          [request(samples.quick, { request_id: 'a\u0000b' }), /^Field 'request_id'/],
        ];
        for (const [sent, words] of bad) {
          const answer = await stage.call('alice', 'POST', '/run', sent);
          refused(answer, 422, 'RequestValidationError');
          assert.match(answer.body.description as string, words);
        }
      });
      it('of a body that breaks the input schema', async () => {
        for (const [body, words] of samples.invalid) {
          const answer = await stage.call('alice', 'POST', '/actions', request(body));
          refused(answer, 422, 'RequestValidationError');
          assert.match(answer.body.description as string, words);
        }
      });
    });

    describe('5: request_id', () => {
      it('answers the same request with the same action, whoever is in between', async () => {
        const sent = request(samples.quick, { label: 'once', unknown_key: [1] });
        const first = await run('alice', sent);
        const again = document(await stage.call('alice', 'POST', '/actions', sent), 200);
        assert.equal(again.action_id, first.action_id);
        assert.equal(first.label, 'once');
        const theirs = await run('bob', sent);
        assert.notEqual(theirs.action_id, first.action_id);
        const other = { ...sent, label: 'twice' };
        refused(await stage.call('alice', 'POST', '/run', other), 409, 'ActionConflict');
        const ours = await ended('alice', first.action_id as string);
        assert.equal(document(await stage.call('alice', 'POST', '/run', sent), 200).status, ours.status);
      });
      it('starts one action for many of the same at once', async () => {
        const sent = request(samples.long);
        const answers = await Promise.all(
          Array.from({ length: 12 }, () => stage.call('alice', 'POST', '/run', sent)),
        );
        assert.equal(new Set(answers.map((answer) => answer.body.action_id as string)).size, 1);
        assert.deepEqual(answers.map((answer) => answer.status).sort(), [...Array(11).fill(200), 202]);
      });
    });

    describe('4: life cycle', () => {
      it('ends, says when, and never changes again', async () => {
        const { action_id } = await run('alice', request(samples.quick));
        const done = await ended('alice', action_id as string);
        assert.equal(done.status, 'SUCCEEDED');
        assert.ok(Date.parse(done.completion_time as string) >= Date.parse(done.start_time as string));
        stage.clock.turn(60_000);
        const paths = pathsOf(action_id as string);
        for (const [method, path] of paths.status) {
          assert.deepEqual(document(await stage.call('alice', method, path)), done);
        }
        for (const [method, path] of [...paths.cancel, ...paths.resume]) {
          refused(await stage.call('alice', method, path), 409, 'ActionConflict');
        }
        assert.deepEqual(document(await stage.call('alice', 'GET', `/${action_id}/status`)), done);
      });
      it('is ACTIVE until it is cancelled, then FAILED and says by whom', async () => {
        for (const spelling of [0, 1]) {
          const { action_id, status } = await run('alice', request(samples.long));
          assert.equal(status, 'ACTIVE');
          const paths = pathsOf(action_id as string);
          for (const [method, path] of paths.release) {
            refused(await stage.call('alice', method, path), 409, 'ActionConflict');
          }
          for (const [method, path] of paths.resume) {
            assert.equal(document(await stage.call('alice', method, path)).status, 'ACTIVE');
          }
          const [method, path] = paths.cancel[spelling] ?? ['', ''];
          const gone = document(await stage.call('alice', method, path));
          assert.equal(gone.status, 'FAILED');
          assert.equal(gone.details.code, 'Cancelled');
          assert.match(gone.details.description as string, new RegExp(alice.urn));
          assert.match(gone.display_status as string, new RegExp(alice.identity));
          stage.desk.finishAll();
          assert.deepEqual(document(await stage.call('alice', 'GET', `/${action_id}/status`)), gone);
        }
      });
      it('is released once: then nothing of it is left and its request_id is free', async () => {
        for (const spelling of [0, 1]) {
          const sent = request(samples.quick);
          const { action_id } = await run('alice', sent);
          const done = await ended('alice', action_id as string);
          const paths = pathsOf(action_id as string);
          const [method, path] = paths.release[spelling] ?? ['', ''];
          assert.deepEqual(document(await stage.call('alice', method, path)), done);
          for (const [verb, where] of Object.values(paths).flat()) {
            refused(await stage.call('alice', verb, where), 404, 'ActionNotFound');
          }
          assert.notEqual((await run('alice', sent)).action_id, action_id);
        }
      });
      it('is released by itself when release_after is over', async () => {
        const { action_id, release_after } = await run(
          'alice',
          request(samples.quick, { release_after: 'PT2H' }),
        );
        assert.equal(release_after, 'PT2H');
        await ended('alice', action_id as string);
        stage.clock.turn(2 * 3_600_000 - 1);
        while (await stage.host.sweep());
        assert.equal((await stage.call('alice', 'GET', `/${action_id}/status`)).status, 200);
        stage.clock.turn(1);
        while (await stage.host.sweep());
        refused(await stage.call('alice', 'GET', `/${action_id}/status`), 404, 'ActionNotFound');
      });
      it('fails at its deadline', async () => {
        const deadline = new Date(stage.clock.now() + 60_000).toISOString();
        const { action_id } = await run('alice', request(samples.long, { deadline }));
        stage.clock.turn(59_999);
        while (await stage.host.sweep());
        assert.equal(document(await stage.call('alice', 'GET', `/${action_id}/status`)).status, 'ACTIVE');
        stage.clock.turn(1);
        while (await stage.host.sweep());
        const late = document(await stage.call('alice', 'GET', `/${action_id}/status`));
        assert.equal(late.status, 'FAILED');
        assert.equal(late.details.code, 'DeadlineExceeded');
      });
    });

    describe('7: who may', () => {
      it('hides an action from strangers', async () => {
        const { action_id } = await run('alice', request(samples.long));
        for (const [method, path] of Object.values(pathsOf(action_id as string)).flat()) {
          refused(await stage.call('bob', method, path), 404, 'ActionNotFound');
          refused(await stage.call(null, method, path), 401, 'UnauthorizedRequest');
        }
        refused(await stage.call('alice', 'GET', '/no-such-action/status'), 404, 'ActionNotFound');
        refused(await stage.call('alice', 'GET', '/%00/status'), 404, 'ActionNotFound');
        refused(await stage.call('alice', 'GET', `/${'x'.repeat(500)}/status`), 404, 'ActionNotFound');
      });
      it('lets monitors look and managers end, and neither do both', async () => {
        const sent = request(samples.long, {
          monitor_by: [bob.urn],
          manage_by: [GROUP.toUpperCase().replace('URN:GLOBUS:GROUPS:ID', 'urn:globus:groups:id')],
        });
        const { action_id } = await run('alice', sent);
        const paths = pathsOf(action_id as string);
        for (const [method, path] of [...paths.status, ...paths.log]) {
          assert.equal((await stage.call('bob', method, path)).status, 200);
          refused(await stage.call('carol', method, path), 403, 'UnauthorizedRequest');
        }
        for (const [method, path] of [...paths.cancel, ...paths.release]) {
          refused(await stage.call('bob', method, path), 403, 'UnauthorizedRequest');
        }
        assert.equal(document(await stage.call('carol', 'POST', `/${action_id}/cancel`)).status, 'FAILED');
        document(await stage.call('carol', 'POST', `/${action_id}/release`));
        refused(await stage.call('alice', 'GET', `/${action_id}/status`), 404, 'ActionNotFound');
      });
    });

    describe('9: log', () => {
      it('tells start, cancel and end, in pages, forwards and backwards', async () => {
        const { action_id } = await run('alice', request(samples.long));
        stage.clock.turn(1_000);
        await stage.call('alice', 'POST', `/${action_id}/cancel`);
        for (const [method, path] of pathsOf(action_id as string).log) {
          const page = await stage.call('alice', method, path);
          assert.equal(page.status, 200);
          checkLogPage(page.body);
          assert.equal(page.body.has_next_page, false);
          assert.equal('marker' in page.body, false);
          const codes = (page.body.entries as { code: string }[]).map((entry) => entry.code);
          assert.deepEqual(codes, ['Started', 'CancelRequested', 'Failed']);
        }
        const backwards = `/${action_id}/log?reverse_order=true&limit=2`;
        const first = await stage.call('alice', 'GET', backwards);
        assert.equal(first.body.has_next_page, true);
        const rest = await stage.call('alice', 'GET', `${backwards}&pagination_token=${first.body.marker}`);
        checkLogPage(rest.body);
        const all = [...first.body.entries, ...rest.body.entries] as { code: string }[];
        assert.deepEqual(
          all.map((entry) => entry.code),
          ['Failed', 'CancelRequested', 'Started'],
        );
        refused(await stage.call('alice', 'GET', `/${action_id}/log?limit=x`), 422, 'RequestValidationError');
      });
    });

    describe('10: enumerate', () => {
      it('answers an array, by role and status, active and own by default', async () => {
        const ids = async (who: string, query: string): Promise<string[]> => {
          const answer = await stage.call(who, 'GET', `/actions${query}`);
          assert.equal(answer.status, 200);
          for (const one of answer.body as unknown[]) checkActionStatus(one);
          return (answer.body as { action_id: string }[]).map((one) => one.action_id);
        };
        const { action_id: mine } = await run('alice', request(samples.long, { monitor_by: [bob.urn] }));
        const { action_id: shared } = await run('alice', request(samples.long, { manage_by: [GROUP] }));
        const { action_id: over } = await run('alice', request(samples.long));
        await stage.call('alice', 'POST', `/${over}/cancel`);
        const has = (list: string[], ...wanted: string[]): boolean => wanted.every((id) => list.includes(id));
        const active = await ids('alice', '');
        assert.ok(has(active, mine, shared) && !has(active, over));
        assert.ok(has(await ids('alice', '?status=FAILED,active'), mine, shared, over));
        assert.ok(has(await ids('alice', '?status=nonsense'), mine));
        assert.ok(has(await ids('bob', '?roles=monitor_by'), mine));
        assert.equal(has(await ids('bob', ''), mine), false);
        assert.equal(has(await ids('bob', '?roles=manage_by'), mine), false);
        assert.ok(has(await ids('carol', '?roles=MANAGE_BY,creator_id&status='), shared));
      });
    });
  });
}
