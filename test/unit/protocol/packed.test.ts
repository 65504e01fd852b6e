// The SDK's packed strings, as Node writes them: lengths count code points, and the values are the SDK's own vectors.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { jsonBuffer, jsonPayload, jsonValue, pack, sourceCode } from '../../../src/protocol/packed.ts';

/** Reads packed buffers the way Python does: by code point. */
function unpack(text: string): string[] {
  const points = Array.from(text);
  const buffers: string[] = [];
  let at = 0;
  while (at < points.length) {
    const line = points.indexOf('\n', at);
    const length = Number(points.slice(at, line).join(''));
    buffers.push(points.slice(line + 1, line + 1 + length).join(''));
    at = line + 1 + length;
  }
  return buffers;
}

// Whole code points of every width; a lone surrogate has no UTF-8 form and cannot be sent.
const text = fc.string({ unit: 'binary' });

describe('packed buffers', () => {
  it('are read back by code point', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 5 }), (buffers) => {
        assert.deepEqual(unpack(pack(buffers)), buffers);
      }),
    );
  });

  it('have the lengths that the SDK gives them', () => {
    assert.equal(sourceCode('f', 'def f(x):\n    return x+1\n'), '30\nst\nf:def f(x):\n    return x+1\n');
    assert.equal(pack(['é😀']), '2\né😀');
    assert.equal(pack([]), '');
    assert.equal(pack(['']), '0\n');
  });

  it('carry a call as two buffers of JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.dictionary(text, fc.jsonValue()), (args, kwargs) => {
        const values = unpack(jsonPayload(args, kwargs)).map((buffer) => jsonValue(buffer)?.value);
        assert.deepEqual(values, JSON.parse(JSON.stringify([args, kwargs])));
      }),
    );
  });
});

describe('a JSON buffer', () => {
  it('is told from one of another strategy', () => {
    assert.deepEqual(jsonValue(jsonBuffer(null)), { value: null });
    assert.equal(jsonValue('00\ngAROLg==\n'), undefined);
  });
});
