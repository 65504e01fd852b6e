// The pipe to a Python worker: what is written can be read by its twin's rules, what is read survives any cutting.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { FrameReader, functionFrame, optionsText, taskFrame } from '../../../src/endpoint/executor/frames.ts';
import { parseState, workerEnvironment } from '../../../src/endpoint/executor/worker-process.ts';
import { encodeBatch } from '../../../src/protocol/batch.ts';
import { encodeSlab } from '../../../src/protocol/slab.ts';

const CHUNK = '0f1e2d3c-4b5a-8978-8695-a4b3c2d10000';
const FUNCTION = '11111111-2222-4333-8444-555555555555';
const hex = (uuid: string): string => uuid.replaceAll('-', '');

function frame(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32LE(body.length + 1, 0);
  head.write(type, 4, 'latin1');
  return Buffer.concat([head, body]);
}

function resultFrame(epoch: number, last: boolean, slab: Buffer): Buffer {
  const head = Buffer.alloc(21);
  head.write(hex(CHUNK), 0, 'hex');
  head.writeUInt32LE(epoch, 16);
  head.writeUInt8(last ? 1 : 0, 20);
  return frame('R', Buffer.concat([head, slab]));
}

describe('worker frames', () => {
  it('writes a batch as the worker reads it', () => {
    const options = optionsText({ timeout_s: 5 }) ?? assert.fail();
    const batch = encodeBatch([{ index: 3, attempt: 2, payload: Buffer.from('args') }]);
    const bytes = Buffer.concat(taskFrame(CHUNK, 7, FUNCTION, options, batch));
    const expected = Buffer.concat([
      Buffer.from(hex(CHUNK), 'hex'),
      Buffer.from([7, 0, 0, 0]),
      Buffer.from(hex(FUNCTION), 'hex'),
      Buffer.from([options.length, 0]),
      options,
      batch,
    ]);
    assert.deepEqual(bytes, frame('T', expected));
  });

  it('writes a function as the worker reads it', () => {
    const bytes = Buffer.concat(functionFrame(FUNCTION, Buffer.from('code')));
    assert.deepEqual(
      bytes,
      frame('F', Buffer.concat([Buffer.from(hex(FUNCTION), 'hex'), Buffer.from('code')])),
    );
  });

  it('has no frame for options that do not fit', () => {
    assert.equal(optionsText({ result_serializers: ['x'.repeat(70_000)] }), null);
  });

  it('reads frames however the pipe cuts them', () => {
    const slab = encodeSlab([]);
    const stream = Buffer.concat([
      frame('H', Buffer.from('{"host":"h"}')),
      resultFrame(1, false, Buffer.concat([slab, Buffer.alloc(300, 1)])),
      resultFrame(2, true, slab),
      frame(
        'N',
        Buffer.concat([
          Buffer.from(hex(FUNCTION), 'hex'),
          Buffer.from(hex(CHUNK), 'hex'),
          Buffer.from([9, 0, 0, 0]),
        ]),
      ),
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1 }), (sizes) => {
        const reader = new FrameReader();
        const frames = [];
        for (let at = 0, n = 0; at < stream.length; n++) {
          const size = sizes[n % sizes.length] ?? 1;
          frames.push(...reader.push(stream.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(
          frames.map(({ type }) => type),
          ['H', 'R', 'R', 'N'],
        );
        const [, first, second, unknown] = frames;
        assert.ok(first?.type === 'R' && first.chunk === CHUNK && !first.last && first.slab.length === 302);
        assert.ok(second?.type === 'R' && second.epoch === 2 && second.last);
        assert.ok(unknown?.type === 'N' && unknown.function_id === FUNCTION && unknown.epoch === 9);
      }),
    );
  });

  it('refuses a stream that is none of a worker', () => {
    assert.throws(() => new FrameReader().push(Buffer.from('Traceback (most recent call last)')), RangeError);
    assert.throws(() => new FrameReader().push(frame('Z', Buffer.alloc(3))), RangeError);
    assert.throws(() => new FrameReader().push(Buffer.alloc(4)), RangeError);
    assert.throws(() => new FrameReader().push(frame('R', Buffer.alloc(3))), RangeError);
  });

  it("keeps the service's secrets from functions", () => {
    const env = {
      PATH: '/bin',
      DATABASE_URL: 'x',
      PILOTWAVE_TOKEN: 'x',
      REDIS_URL: 'x',
      PGPASSWORD: 'x',
      MY_PILOTWAVE: 'y',
    };
    assert.deepEqual(workerEnvironment(env), { PATH: '/bin', MY_PILOTWAVE: 'y' });
  });

  it('reads the state file', () => {
    const bytes = Buffer.alloc(32);
    bytes.write(hex(CHUNK), 0, 'hex');
    bytes.writeUInt8(5, 16);
    bytes.writeUInt16LE(2, 18);
    bytes.writeDoubleLE(1234.5, 20);
    assert.equal(parseState(bytes), null);
    bytes.writeUInt8(1, 17);
    assert.deepEqual(parseState(bytes), { chunk: CHUNK, index: 5, attempt: 2, started_s: 1234.5 });
    assert.equal(parseState(Buffer.alloc(0)), null);
  });
});
