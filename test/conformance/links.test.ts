// What every link transport must do, whatever carries it.
import assert from 'node:assert/strict';
import type { Hub, HubOptions, KeyPair, Line, LineOptions, PeerId } from '../../src/transport/link.ts';
import { makeMemoryKeys, makeMemoryNet } from '../../src/transport/memory.ts';
import { makeKeys, openHub, openLine } from '../../src/transport/zmq.ts';
import { eventually } from '../integration/endpoint/support/eventually.ts';

interface Transport {
  readonly openHub: (options: HubOptions) => Promise<Hub>;
  readonly openLine: (options: LineOptions) => Line;
  readonly makeKeys: () => KeyPair;
}

let names = 0;
const TRANSPORTS: Record<string, () => Transport> = {
  zmq: () => ({ openHub, openLine, makeKeys }),
  memory: () => ({ ...makeMemoryNet(), makeKeys: () => makeMemoryKeys(`key ${names++}`) }),
};

interface HubEnd {
  readonly hub: Hub;
  readonly got: { peer: PeerId; text: string[] }[];
  readonly unreachable: PeerId[];
  readonly refused: string[];
}

interface LineEnd {
  readonly line: Line;
  readonly got: string[][];
  readonly log: string[];
}

for (const [name, makeTransport] of Object.entries(TRANSPORTS)) {
  describe(`link over ${name}`, () => {
    const open: { close(): Promise<void> }[] = [];
    let transport: Transport;
    let serverKeys: KeyPair;
    let clientKeys: KeyPair;

    async function listen(bind = 'tcp://127.0.0.1:*', allow = (key: string) => key === clientKeys.publicKey) {
      const end: Omit<HubEnd, 'hub'> = { got: [], unreachable: [], refused: [] };
      const hub = await transport.openHub({
        bind,
        keys: serverKeys,
        allow,
        events: {
          onMessage: (peer, frames) => end.got.push({ peer, text: frames.map(String) }),
          onUnreachable: (peer) => end.unreachable.push(peer),
          onRefused: (why) => end.refused.push(why),
        },
      });
      open.push(hub);
      return { ...end, hub };
    }

    function dial(address: string, keys = clientKeys, serverKey = serverKeys.publicKey): LineEnd {
      const end: Omit<LineEnd, 'line'> = { got: [], log: [] };
      const line = transport.openLine({
        address,
        keys,
        serverKey,
        events: {
          onMessage: (frames) => end.got.push(frames.map(String)),
          onConnect: () => end.log.push('connect'),
          onDisconnect: () => end.log.push('disconnect'),
          onRefused: (why) => end.log.push(`refused: ${why}`),
        },
      });
      open.push(line);
      return { ...end, line };
    }

    const connected = (end: LineEnd) => eventually('a connection', () => end.log.includes('connect'));

    beforeEach(() => {
      transport = makeTransport();
      serverKeys = transport.makeKeys();
      clientKeys = transport.makeKeys();
    });

    afterEach(async () => {
      await Promise.all(open.splice(0).map((end) => end.close()));
    });

    it('carries messages both ways, in order, frames intact', async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      for (let n = 0; n < 1000; n++) assert.ok(client.line.send([Buffer.from(`m${n}`), Buffer.from('')]));
      await eventually('1000 messages', () => got.length === 1000);
      assert.deepEqual(
        got.map(({ text }) => text),
        Array.from({ length: 1000 }, (_, n) => [`m${n}`, '']),
      );
      const peer = got[0]?.peer ?? '';
      for (let n = 0; n < 1000; n++) assert.ok(hub.send(peer, [Buffer.from(`r${n}`)]));
      await eventually('1000 answers', () => client.got.length === 1000);
      assert.deepEqual(
        client.got,
        Array.from({ length: 1000 }, (_, n) => [`r${n}`]),
      );
      assert.equal(hub.queuedBytes, 0);
      assert.equal(client.line.queuedBytes, 0);
    });

    it('carries a large frame unchanged', async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      const big = 'x'.repeat(9 * 1024 * 1024);
      assert.ok(client.line.send([Buffer.from('head'), Buffer.from(big)]));
      await eventually('the large frame', () => got.length === 1);
      assert.ok(got[0]?.text[1] === big);
    });

    it('tells peers apart and answers only the one that asked', async () => {
      const { hub, got } = await listen();
      const [first, second] = [dial(hub.address), dial(hub.address)];
      await Promise.all([connected(first), connected(second)]);
      first.line.send([Buffer.from('first')]);
      second.line.send([Buffer.from('second')]);
      await eventually('both', () => got.length === 2);
      const peerOf = (text: string) => got.find((message) => message.text[0] === text)?.peer ?? '';
      assert.notEqual(peerOf('first'), peerOf('second'));
      hub.send(peerOf('second'), [Buffer.from('for the second')]);
      await eventually('the answer', () => second.got.length === 1);
      assert.deepEqual(second.got, [['for the second']]);
      assert.deepEqual(first.got, []);
    });

    it('turns an unknown key away and says so on both sides', async () => {
      const { hub, got, refused } = await listen();
      const stranger = dial(hub.address, transport.makeKeys());
      await eventually('refusal at the line', () => stranger.log.length > 0);
      await eventually('refusal at the hub', () => refused.length > 0);
      assert.match(stranger.log[0] ?? '', /refused: .*key/);
      assert.match(refused[0] ?? '', /unknown key/);
      assert.equal(stranger.line.send([Buffer.from('let me in')]), false);
      assert.deepEqual(got, []);
    });

    it('lets a key in that was refused before, once it is allowed', async () => {
      let allowed = false;
      const { hub, got } = await listen('tcp://127.0.0.1:*', () => allowed);
      const client = dial(hub.address);
      await eventually('refusal', () => client.log.some((line) => line.startsWith('refused')));
      allowed = true;
      await connected(client);
      client.line.send([Buffer.from('in at last')]);
      await eventually('the message', () => got.length === 1);
    });

    it('refuses to speak to a hub with another key than expected', async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address, clientKeys, transport.makeKeys().publicKey);
      await eventually('refusal', () => client.log.some((line) => line.startsWith('refused')));
      assert.ok(!client.log.includes('connect'));
      assert.deepEqual(got, []);
    });

    it('redials a hub that comes back, as a new peer; nothing is queued meanwhile', async () => {
      const before = await listen();
      const client = dial(before.hub.address);
      await connected(client);
      client.line.send([Buffer.from('before')]);
      await eventually('first message', () => before.got.length === 1);
      await before.hub.close();
      await eventually('loss noticed', () => client.log.includes('disconnect'));
      assert.equal(client.line.send([Buffer.from('nobody hears this')]), false);
      const after = await listen(before.hub.address);
      await eventually('reconnection', () => client.log.filter((line) => line === 'connect').length === 2);
      client.line.send([Buffer.from('after')]);
      await eventually('second message', () => after.got.length === 1);
      assert.deepEqual(after.got[0]?.text, ['after']);
    });

    it('gives a reconnected line a new peer id', async () => {
      const { hub, got } = await listen();
      for (const text of ['one', 'two']) {
        const client = dial(hub.address);
        await connected(client);
        client.line.send([Buffer.from(text)]);
        await eventually(text, () => got.some((message) => message.text[0] === text));
        await client.line.close();
      }
      assert.notEqual(got[0]?.peer, got[1]?.peer);
    });

    it('reports a peer that is gone', async () => {
      const { hub, got, unreachable } = await listen();
      const client = dial(hub.address);
      await connected(client);
      client.line.send([Buffer.from('hello')]);
      await eventually('hello', () => got.length === 1);
      const peer = got[0]?.peer ?? '';
      await client.line.close();
      await eventually('the report', () => {
        if (unreachable.length === 0) hub.send(peer, [Buffer.from('are you there?')]);
        return unreachable.length > 0;
      });
      assert.equal(unreachable[0], peer);
    });

    it('says no instead of queueing without end, and delivers what it took', async () => {
      const { hub, got } = await listen();
      const client = dial(hub.address);
      await connected(client);
      client.line.send([Buffer.from('hello')]);
      await eventually('hello', () => got.length === 1);
      const megabyte = Buffer.alloc(1024 * 1024);
      let taken = 0;
      while (taken < 1000 && hub.send(got[0]?.peer ?? '', [megabyte])) taken++;
      assert.ok(taken >= 16 && taken < 1000, `took ${taken} MiB`);
      assert.ok(hub.queuedBytes <= 80 * 1024 * 1024);
      await eventually('all that was taken', () => client.got.length === taken);
    });

    it('refuses an address that is taken', async () => {
      const { hub } = await listen();
      await assert.rejects(listen(hub.address), /cannot listen on/);
    });
  });
}
