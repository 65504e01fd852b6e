import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Outbox } from '../../../src/transport/outbox.ts';
import { encodeZ85, isKeyPair, isZ85Key } from '../../../src/transport/z85.ts';

describe('outbox', () => {
  it('is a queue within its limits, whatever is done to it', () => {
    const command = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constant('shift' as const));
    fc.assert(
      fc.property(fc.array(command, { maxLength: 3_000 }), (commands) => {
        const outbox = new Outbox({ bytes: 100, messages: 10 });
        const model: number[] = [];
        for (const what of commands) {
          if (what === 'shift') {
            assert.equal(outbox.peek()?.bytes, model[0]);
            outbox.shift();
            model.shift();
          } else {
            const bytes = model.reduce((sum, size) => sum + size, 0);
            const fits = model.length === 0 || (model.length < 10 && bytes + what <= 100);
            assert.equal(outbox.push([Buffer.alloc(what)]), fits);
            if (fits) model.push(what);
          }
          assert.equal(outbox.length, model.length);
          assert.equal(
            outbox.bytes,
            model.reduce((sum, size) => sum + size, 0),
          );
        }
      }),
      { numRuns: 50 },
    );
  });

  it('takes one message of any size when it is empty', () => {
    const outbox = new Outbox({ bytes: 10, messages: 10 });
    assert.ok(outbox.push([Buffer.alloc(1000)]));
    assert.ok(!outbox.push([Buffer.alloc(1)]));
  });
});

describe('z85', () => {
  it('writes the example of its specification', () => {
    assert.equal(encodeZ85(Buffer.from('864fd26fb559f75b', 'hex')), 'HelloWorld');
  });

  it('tells keys from other text', () => {
    const key = encodeZ85(Buffer.alloc(32, 7));
    assert.ok(isZ85Key(key));
    assert.ok(!isZ85Key(`${key}0`));
    assert.ok(!isZ85Key(key.replace(/.$/, '~')));
    assert.ok(isKeyPair({ publicKey: key, secretKey: key }));
    assert.ok(!isKeyPair({ publicKey: key }));
  });

  it('refuses lengths it cannot write', () => {
    assert.throws(() => encodeZ85(Buffer.alloc(3)), RangeError);
  });
});
