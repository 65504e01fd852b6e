// Results on their way up: in order, within a window, again when nobody acknowledges.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeHoldingSender } from '../../../src/endpoint/holding-sender.ts';
import { ResultSpool } from '../../../src/endpoint/manager/result-spool.ts';
import { Upstream } from '../../../src/endpoint/manager/upstream.ts';
import { eventually } from '../../integration/endpoint/support/eventually.ts';

describe('upstream', () => {
  let dir: string;
  let spool: ResultSpool;
  let upstream: Upstream;
  let sent: number[];
  let now = 0;
  let queued = 0;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'pilotwave-upstream-'));
    spool = new ResultSpool(dir);
    sent = [];
    now = 0;
    queued = 0;
    upstream = new Upstream({
      spool,
      now: () => now,
      send: ([head]) => sent.push(Number(head?.toString())),
      queuedBytes: () => queued,
    });
  });

  afterEach(() => {
    spool.close();
    rmSync(dir, { recursive: true, force: true });
  });

  function add(seq: number, bytes = 10): void {
    const frames = [Buffer.from(String(seq)), Buffer.alloc(bytes)];
    spool.append(seq, frames);
    upstream.addFresh(seq, frames);
  }

  const range = (count: number, from = 1): number[] => Array.from({ length: count }, (_, n) => from + n);

  it('sends nothing before the service is ready, and then what it is told to', () => {
    for (const seq of range(3)) add(seq);
    assert.deepEqual(sent, []);
    upstream.setUp(true);
    upstream.add(range(3));
    assert.deepEqual(sent, [1, 2, 3]);
  });

  it('keeps a bounded number of messages unacknowledged', () => {
    upstream.setUp(true);
    for (const seq of range(300)) add(seq);
    assert.deepEqual(sent, range(256));
    upstream.acknowledged(1);
    upstream.acknowledged(7);
    assert.deepEqual(sent.slice(256), [257, 258]);
  });

  it('waits while the line is behind', () => {
    upstream.setUp(true);
    queued = 100 * 1024 * 1024;
    add(1);
    assert.deepEqual(sent, []);
    queued = 0;
    upstream.tick();
    assert.deepEqual(sent, [1]);
  });

  it('sends again what is not acknowledged in time, from disk', () => {
    upstream.setUp(true);
    for (const seq of range(3)) add(seq);
    upstream.acknowledged(2);
    now = 29_000;
    upstream.tick();
    assert.equal(sent.length, 3);
    now = 31_000;
    upstream.tick();
    assert.deepEqual(sent, [1, 2, 3, 1, 3]);
  });

  it('starts over with each connection', () => {
    upstream.setUp(true);
    for (const seq of range(300)) add(seq);
    upstream.setUp(false);
    upstream.setUp(true);
    assert.equal(sent.length, 256);
    upstream.add(range(300));
    assert.deepEqual(sent.slice(256), range(256));
  });

  it('passes over what the spool no longer has', () => {
    add(1);
    spool.remove(1);
    upstream.setUp(true);
    upstream.add([1]);
    assert.deepEqual(sent, []);
  });
});

describe('holding sender', () => {
  it('keeps the order of what a full line refused, and offers it again', async () => {
    const taken: string[] = [];
    let full = true;
    const sender = makeHoldingSender(([frame]) => {
      if (!full) taken.push(String(frame));
      return !full;
    });
    for (const text of ['a', 'b', 'c']) sender.send([Buffer.from(text)]);
    assert.equal(sender.heldBytes, 3);
    full = false;
    sender.send([Buffer.from('d')]);
    await eventually('all', () => taken.length === 4);
    assert.deepEqual(taken, ['a', 'b', 'c', 'd']);
    assert.equal(sender.heldBytes, 0);
  });

  it('forgets what it held when told to', async () => {
    const taken: string[] = [];
    let full = true;
    const sender = makeHoldingSender(([frame]) => {
      if (!full) taken.push(String(frame));
      return !full;
    });
    sender.send([Buffer.from('old')]);
    sender.clear();
    full = false;
    sender.send([Buffer.from('new')]);
    await eventually('the new one', () => taken.length > 0);
    assert.deepEqual(taken, ['new']);
  });
});
