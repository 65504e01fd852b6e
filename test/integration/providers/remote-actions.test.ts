// The flow engine's client: our providers in process, others over real HTTP, and what it refuses to call.
import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Fault, type FaultCode } from '../../../src/errors.ts';
import { silentLogger } from '../../../src/log.ts';
import type { ActionClient } from '../../../src/flows/ports.ts';
import { helloWorld } from '../../../src/providers/hello-world.ts';
import type { ActionHost } from '../../../src/providers/host.ts';
import { guardedLookup, isRefusedAddress, send } from '../../../src/service/outbound.ts';
import { localProvider, makeActionClient } from '../../../src/service/remote-actions.ts';
import { handClock, hostOn, person, taskDesk } from '../../support/action-host.ts';
import { withDatabase } from '../../support/database.ts';

const alice = person();
const BASES = ['http://127.0.0.1:5000', 'https://lab.example.org/pilot'];

function faultOf(code: FaultCode, words?: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.code, code, error.message);
    if (words !== undefined) assert.match(error.message, words);
    return true;
  };
}

describe('which URLs are ours', () => {
  const known: [string, string | null][] = [
    ['/providers/compute', 'compute'],
    ['/providers/compute/', 'compute'],
    ['http://127.0.0.1:5000/providers/compute', 'compute'],
    ['http://localhost:5000/providers/hello_world/', 'hello_world'],
    ['http://[::1]:5000/providers/compute', 'compute'],
    ['https://lab.example.org/pilot/providers/compute', 'compute'],
    ['https://LAB.example.org:443/pilot/providers/compute', 'compute'],
    ['https://lab.example.org/providers/compute', null],
    ['http://localhost:5001/providers/compute', null],
    ['https://localhost:5000/providers/compute', null],
    ['https://elsewhere.example.org/providers/compute', null],
    ['//127.0.0.1:5000/providers/compute', null],
    ['/flows/x', null],
    ['nonsense', null],
  ];
  for (const [url, name] of known) {
    it(`${url} → ${name ?? 'elsewhere'}`, () => assert.equal(localProvider(url, BASES), name));
  }
});

describe('addresses that are never called', () => {
  it('are link-local, metadata and multicast ones, however spelled', () => {
    const refused = [
      '169.254.169.254',
      '::ffff:169.254.169.254',
      'fd00:ec2::254',
      'fe80::1',
      '0.0.0.0',
      '64:ff9b::a9fe:a9fe',
      '224.0.0.1',
      '::',
    ];
    for (const address of refused) assert.equal(isRefusedAddress(address), true, address);
    for (const address of ['127.0.0.1', '10.1.2.3', '192.168.0.9', '::1', 'fd12::1', '93.184.216.34']) {
      assert.equal(isRefusedAddress(address), false, address);
    }
  });
  it('are found in URLs', async () => {
    const limits = { method: 'GET', timeout_ms: 1_000, limit_bytes: 1_000 } as const;
    for (const url of [
      'http://169.254.169.254/latest',
      'http://0xA9FEA9FE/',
      'http://[fd00:ec2::254]/',
      'http://2852039166/',
    ]) {
      await assert.rejects(send({ ...limits, url }), faultOf('invalid_request', /never called/));
    }
    for (const url of ['ftp://host/x', 'file:///etc/passwd', 'http://user:pass@host/', 'x']) {
      await assert.rejects(send({ ...limits, url }), faultOf('invalid_request'));
    }
  });
  it('are found when a name resolves to one, also among others', async () => {
    const answer = (...addresses: string[]): Promise<unknown> =>
      new Promise((resolve) => {
        const resolver = (
          _name: string,
          _options: object,
          done: (error: null, found: object[]) => void,
        ): void =>
          done(
            null,
            addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
          );
        guardedLookup(resolver as never)('name.example.org', { all: true }, (error, found) =>
          resolve(error ?? found),
        );
      });
    assert.ok((await answer('93.184.216.34', '169.254.169.254')) instanceof Fault);
    assert.deepEqual(await answer('10.0.0.7'), [{ address: '10.0.0.7', family: 4 }]);
    assert.ok((await answer()) instanceof Fault);
  });
});

type Reply = (request: IncomingMessage, body: string, response: ServerResponse) => void;

/** A provider elsewhere: answers as the test says, and keeps what it was asked. */
async function elsewhere(): Promise<{
  url: string;
  seen: string[];
  reply: Reply;
  close: () => Promise<void>;
}> {
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      remote.seen.push(`${request.method} ${request.url}`);
      remote.reply(request, body, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const remote = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ap/`,
    seen: [] as string[],
    reply: ((_request, _body, response) => response.writeHead(404).end()) as Reply,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
  return remote;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

const STATUS = { action_id: 'a1', status: 'ACTIVE', creator_id: alice.urn, details: {} };

describe('action client', () => {
  const database = withDatabase();
  let host: ActionHost;
  let client: ActionClient;
  let remote: Awaited<ReturnType<typeof elsewhere>>;
  beforeEach(async () => {
    const clock = handClock();
    host = hostOn(database().db, [helloWorld], taskDesk(() => clock.now()).ports, clock);
    client = makeActionClient({ host, baseUrls: () => BASES, log: silentLogger });
    remote = await elsewhere();
  });
  afterEach(() => remote.close());

  it('runs, looks, cancels and releases at our own providers, under the same rules', async () => {
    const url = 'http://localhost:5000/providers/hello_world/';
    const ended: string[] = [];
    client.onEnded((id) => ended.push(id));
    const request = { request_id: 'run-1/state-2/visit-1', body: { sleep_time: 60 }, label: 'l'.repeat(100) };
    const begun = await client.run(url, alice, request);
    assert.equal((await client.run('/providers/hello_world', alice, request)).action_id, begun.action_id);
    assert.equal((begun.label as string).length, 64);
    assert.equal((await client.status(url, alice, begun.action_id)).status, 'ACTIVE');
    await assert.rejects(client.status(url, person(), begun.action_id), faultOf('action_not_found'));
    await assert.rejects(client.release(url, alice, begun.action_id), faultOf('state_conflict'));
    assert.equal((await client.cancel(url, alice, begun.action_id)).status, 'FAILED');
    assert.deepEqual(ended, [begun.action_id]);
    await client.release(url, alice, begun.action_id);
    await assert.rejects(client.status(url, alice, begun.action_id), faultOf('action_not_found'));
    const bad = { request_id: 'r', body: { sleep_time: 'long' } };
    await assert.rejects(client.run(url, alice, bad), faultOf('invalid_request', /\$\.sleep_time/));
    await assert.rejects(client.run('/providers/nope', alice, request), faultOf('provider_not_found'));
  });

  it('speaks the old spelling first', async () => {
    remote.reply = (request, body, response) => {
      const sent = body === '' ? {} : (JSON.parse(body) as object);
      json(response, request.url === '/ap/run' ? 202 : 200, { ...STATUS, status: 'active', sent });
    };
    const begun = await client.run(remote.url, alice, { request_id: 'r', body: { x: 1 } });
    assert.equal(begun.status, 'ACTIVE');
    assert.deepEqual(begun.sent, { request_id: 'r', body: { x: 1 } });
    await client.status(remote.url, alice, 'tg_a/1');
    await client.cancel(remote.url, alice, 'a1');
    await client.release(remote.url, alice, 'a1');
    assert.deepEqual(remote.seen, [
      'POST /ap/run',
      'GET /ap/tg_a%2F1/status',
      'POST /ap/a1/cancel',
      'POST /ap/a1/release',
    ]);
  });

  it('finds out that a provider speaks the new one, and remembers', async () => {
    remote.reply = (request, _body, response) =>
      /^\/ap\/actions/.test(request.url ?? '') ? json(response, 200, STATUS) : json(response, 404, {});
    await client.run(remote.url, alice, { request_id: 'r', body: {} });
    await client.status(remote.url, alice, 'a1');
    await client.release(remote.url, alice, 'a1');
    assert.deepEqual(remote.seen, [
      'POST /ap/run',
      'POST /ap/actions',
      'GET /ap/actions/a1',
      'DELETE /ap/actions/a1',
    ]);
  });

  it('tells refusals apart, in the words of the provider', async () => {
    const answers: [number, unknown, FaultCode, RegExp][] = [
      [
        401,
        { code: 'UnauthorizedRequest', description: 'no token' },
        'unauthenticated',
        /UnauthorizedRequest: no token/,
      ],
      [403, {}, 'forbidden', /403/],
      [404, {}, 'action_not_found', /404/],
      [409, { code: 'ActionConflict', description: 'over' }, 'state_conflict', /over/],
      [422, { error: 'bad field' }, 'invalid_request', /bad field/],
      [429, {}, 'too_many_requests', /429/],
      [500, 'not even JSON', 'unavailable', /500/],
      [200, { hello: 'world' }, 'unavailable', /no action status/],
      [200, { ...STATUS, status: 'CANCELLED' }, 'unavailable', /no action status/],
    ];
    for (const [status, body, code, words] of answers) {
      remote.reply = (_request, _body, response) => json(response, status, body);
      await assert.rejects(client.status(remote.url, alice, 'a1'), faultOf(code, words));
    }
    remote.reply = (_request, _body, response) => json(response, 401, {});
    await assert.rejects(client.run(remote.url, alice, { request_id: 'r', body: {} }), (error: unknown) => {
      assert.match((error as Fault).extras.remedy ?? '', /token/);
      return faultOf('unauthenticated')(error);
    });
    remote.reply = (_request, _body, response) => json(response, 404, {});
    const other = `${remote.url}other`;
    await assert.rejects(
      client.run(other, alice, { request_id: 'r', body: {} }),
      faultOf('provider_not_found'),
    );
  });

  it('takes details that are a text', async () => {
    remote.reply = (_request, _body, response) => json(response, 200, { ...STATUS, details: 'soon' });
    assert.deepEqual((await client.status(remote.url, alice, 'a1')).details, { description: 'soon' });
  });

  it('follows redirects within the origin only', async () => {
    remote.reply = (request, _body, response) =>
      request.url === '/ap/run'
        ? response.writeHead(308, { location: '/new/run' }).end()
        : json(response, 202, STATUS);
    assert.equal((await client.run(remote.url, alice, { request_id: 'r', body: {} })).action_id, 'a1');
    assert.deepEqual(remote.seen, ['POST /ap/run', 'POST /new/run']);
    for (const location of ['http://127.0.0.2:1/x', 'http://169.254.169.254/x', 'file:///etc/passwd']) {
      remote.reply = (_request, _body, response) => response.writeHead(307, { location }).end();
      await assert.rejects(client.status(remote.url, alice, 'a1'), faultOf('invalid_request'));
    }
    remote.reply = (request, _body, response) => response.writeHead(307, { location: request.url }).end();
    await assert.rejects(client.status(remote.url, alice, 'a1'), faultOf('unavailable', /redirects more/));
  });

  it('gives up on a provider that is away, too slow or too talkative', async () => {
    const limits = { method: 'GET', timeout_ms: 200, limit_bytes: 1_000 } as const;
    remote.reply = () => undefined;
    await assert.rejects(
      send({ ...limits, url: remote.url }),
      faultOf('unavailable', /no answer within 0\.2 s/),
    );
    remote.reply = (_request, _body, response) => void response.writeHead(200).write('{');
    await assert.rejects(send({ ...limits, url: remote.url }), faultOf('unavailable'));
    remote.reply = (_request, _body, response) => void response.end('x'.repeat(100_000));
    await assert.rejects(
      send({ ...limits, timeout_ms: 5_000, url: remote.url }),
      faultOf('unavailable', /more than 1000 bytes/),
    );
    const gone = await elsewhere();
    await gone.close();
    await assert.rejects(client.status(gone.url, alice, 'a1'), faultOf('unavailable', /ECONNREFUSED/));
  });
});
