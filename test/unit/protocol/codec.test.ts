// Messages as frames: what is said is heard, a damaged frame is a ProtocolError and never anything worse.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { decodeMessage, encodeMessage, ProtocolError, splitBlob } from '../../../src/protocol/codec.ts';
import {
  PROTOCOL_VERSION,
  type ManagerToService,
  type ServiceToManager,
} from '../../../src/protocol/messages.ts';

const parts = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 });

function isProtocolError(reason: string): (error: unknown) => boolean {
  return (error) => error instanceof ProtocolError && error.reason === reason;
}

describe('messages', () => {
  it('round trip with their blobs', () => {
    fc.assert(
      fc.property(parts, fc.string(), fc.nat(), (given, text, epoch) => {
        const batches = given.map((part) => ({
          chunk: text,
          epoch,
          function_id: 'f',
          options: { result_serializers: [text] },
          bytes: part.length,
        }));
        const sent: ServiceToManager = { kind: 'tasks.submit', batches };
        const frames = encodeMessage(sent, given);
        assert.ok(frames.length <= 2);
        const { message, blob } = decodeMessage<ServiceToManager>(frames);
        assert.deepEqual(message, { v: PROTOCOL_VERSION, ...sent });
        const pieces = splitBlob(blob, batches).map(([, piece]) => Buffer.from(piece));
        assert.deepEqual(
          pieces,
          given.map((part) => Buffer.from(part)),
        );
      }),
    );
  });

  it('without parts are one frame', () => {
    const bye: ManagerToService = { kind: 'link.bye' };
    const frames = encodeMessage(bye);
    assert.equal(frames.length, 1);
    assert.equal(decodeMessage(frames).blob.length, 0);
  });

  it('that are damaged are refused as such', () => {
    const wrong = [[], ['{', ''], ['[]'], ['null'], ['3'], ['{"v":1}'], ['{"v":1,"kind":3}'], ['{}', '', '']];
    for (const frames of wrong) {
      assert.throws(
        () => decodeMessage(frames.map((frame) => Buffer.from(frame))),
        isProtocolError('malformed'),
        JSON.stringify(frames),
      );
    }
  });

  it('of arbitrary bytes are heard or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array(), { maxLength: 4 }), (frames) => {
        try {
          decodeMessage(frames.map((frame) => Buffer.from(frame)));
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
        }
      }),
    );
  });

  it('of another version are refused as that', () => {
    for (const header of [
      '{"kind":"link.bye"}',
      '{"v":2,"kind":"link.bye"}',
      '{"v":"1","kind":"link.bye"}',
    ]) {
      assert.throws(() => decodeMessage([Buffer.from(header)]), isProtocolError('version'), header);
    }
  });
});

describe('a blob', () => {
  it('is exactly as long as its parts', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 10 }),
        fc.nat(200),
        (sizes, length) => {
          const sum = sizes.reduce((total, size) => total + size, 0);
          const cut = (): unknown =>
            splitBlob(
              Buffer.alloc(length),
              sizes.map((size) => ({ bytes: size })),
            );
          if (sum === length) cut();
          else assert.throws(cut, isProtocolError('malformed'));
        },
      ),
    );
  });

  it('has no parts of odd lengths', () => {
    for (const size of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => splitBlob(Buffer.alloc(2), [{ bytes: size }]), isProtocolError('malformed'));
    }
  });
});
