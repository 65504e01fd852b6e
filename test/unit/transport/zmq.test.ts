// The ZeroMQ transport against peers that are no peers: strangers, other protocols, noise.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { Dealer } from 'zeromq';
import { systemChance } from '../../../src/clock.ts';
import type { Hub, Line } from '../../../src/transport/link.ts';
import { makeKeys, openHub, openLine } from '../../../src/transport/zmq.ts';
import { eventually } from '../../integration/endpoint/support/eventually.ts';

describe('zmq transport', () => {
  const open: (Hub | Line)[] = [];

  afterEach(async () => {
    await Promise.all(open.splice(0).map((end) => end.close()));
  });

  async function listen(allowed: string) {
    const keys = makeKeys();
    const got: string[] = [];
    const refused: string[] = [];
    const hub = await openHub({
      bind: 'tcp://127.0.0.1:*',
      keys,
      allow: (key) => key === allowed,
      events: {
        onMessage: (_peer, frames) => got.push(frames.join('|')),
        onRefused: (why) => refused.push(why),
      },
    });
    open.push(hub);
    return { hub, keys, got, refused };
  }

  /** Sends a message over a new line and waits until the hub has it: it still works. */
  async function works(
    site: Awaited<ReturnType<typeof listen>>,
    keys: ReturnType<typeof makeKeys>,
  ): Promise<void> {
    const before = site.got.length;
    const line: Line = openLine({
      address: site.hub.address,
      keys,
      serverKey: site.keys.publicKey,
      events: {
        onMessage: () => undefined,
        onConnect: () => void line.send([Buffer.from('still'), Buffer.from('here')]),
      },
    });
    open.push(line);
    await eventually('the message', () => site.got.length > before);
    assert.equal(site.got.at(-1), 'still|here');
  }

  /** Opens a plain TCP connection, writes, and waits until the hub hangs up or says nothing more. */
  function pour(address: string, bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(Number(address.split(':').at(-1)), '127.0.0.1');
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
      socket.resume();
      socket.setTimeout(100, () => socket.destroy());
      socket.write(bytes);
    });
  }

  it('is not harmed by a browser', async () => {
    const keys = makeKeys();
    const site = await listen(keys.publicKey);
    await pour(site.hub.address, Buffer.from('GET / HTTP/1.1\r\nHost: pilotwave\r\n\r\n'));
    await works(site, keys);
    assert.equal(site.got.length, 1);
  });

  it('is not harmed by noise, with or without a plausible greeting', async () => {
    const keys = makeKeys();
    const site = await listen(keys.publicKey);
    const greeting = Buffer.concat([
      Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1]),
      Buffer.from('CURVE'),
      Buffer.alloc(47),
    ]);
    for (let round = 0; round < 20; round++) {
      const noise = systemChance.bytes(1 + round * 500);
      await pour(site.hub.address, round % 2 === 0 ? noise : Buffer.concat([greeting, noise]));
    }
    await works(site, keys);
    assert.equal(site.got.length, 1);
  });

  it('turns away a peer that speaks without encryption', async () => {
    const keys = makeKeys();
    const site = await listen(keys.publicKey);
    const plain = new Dealer({ linger: 0 });
    plain.connect(site.hub.address);
    await plain.send('hello');
    await works(site, keys);
    assert.deepEqual(site.got, ['still|here']);
    plain.close();
  });

  it('lets several hubs of one process keep lists of their own', async () => {
    const [first, second] = [makeKeys(), makeKeys()];
    const sites = [await listen(first.publicKey), await listen(second.publicKey)] as const;
    await works(sites[0], first);
    await works(sites[1], second);
    const refused: string[] = [];
    open.push(
      openLine({
        address: sites[1].hub.address,
        keys: first,
        serverKey: sites[1].keys.publicKey,
        events: { onMessage: () => undefined, onRefused: (why) => refused.push(why) },
      }),
    );
    await eventually('refusal', () => refused.length > 0 && sites[1].refused.length > 0);
    assert.match(refused[0] ?? '', /does not accept our key/);
    assert.deepEqual(sites[0].refused, []);
  });

  it('makes keys that fit together and differ each time', () => {
    const [one, other] = [makeKeys(), makeKeys()];
    assert.equal(one.publicKey.length, 40);
    assert.notEqual(one.publicKey, other.publicKey);
    assert.notEqual(one.publicKey, one.secretKey);
  });
});
