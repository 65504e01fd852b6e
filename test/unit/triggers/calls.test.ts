// Calls into file systems that do not answer: they are few, whoever waits gives up, and it goes on when they return.
import assert from 'node:assert/strict';
import { callAll } from '../../../src/triggers/files/calls.ts';

type Reply = (error: Error | null, value?: number) => void;

describe('calls into a file system', () => {
  it('are all answered, each with its value or its error', async () => {
    const results = await callAll<number>(100, false, (index, reply) =>
      setImmediate(() => (index === 7 ? reply(new Error('gone')) : reply(null, index))),
    );
    assert.equal(results.length, 100);
    assert.ok(results[7] instanceof Error);
    assert.equal(results[99], 99);
    assert.deepEqual(await callAll(0, true, () => assert.fail('nothing to call')), []);
  });

  it('to a remote one that hangs keep at most two threads, over all callers, until they return', async () => {
    const hung: Reply[] = [];
    const hang = (_: number, reply: Reply): void => void hung.push(reply);
    const answer = (index: number, reply: Reply): void => void setImmediate(() => reply(null, index));
    const callers = [1, 2, 3].map(() => callAll<number>(5, true, hang, 50));
    for (const caller of callers) await assert.rejects(caller, /did not answer/);
    assert.equal(hung.length, 2);
    await assert.rejects(callAll<number>(1, true, answer, 50), /did not answer/);
    // A local file system is not held up.
    assert.deepEqual(await callAll<number>(2, false, answer, 1_000), [0, 1]);
    const waiting = callAll<number>(3, true, answer, 5_000);
    for (const reply of hung) reply(null, 0);
    assert.deepEqual(await waiting, [0, 1, 2]);
    assert.equal(hung.length, 2);
  });

  it('may take long as long as they make progress', async () => {
    let calls = 0;
    const slow = (index: number, reply: Reply): void => {
      calls++;
      setTimeout(() => reply(null, index), 50);
    };
    assert.equal((await callAll<number>(10, true, slow, 200)).length, 10);
    assert.equal(calls, 10);
  });
});
