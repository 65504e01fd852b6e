// The manager's decisions, one at a time.
import assert from 'node:assert/strict';
import { encodeBatch } from '../../../src/protocol/batch.ts';
import { endpointStatus } from '../../../src/endpoint/manager/status.ts';
import { aResult, ManagerRig, resultsIn, sentTo, toExecutors, toService } from './support/manager-rig.ts';
import { encodeSlab } from '../../../src/protocol/slab.ts';

const indexes = (sent: readonly { tasks: readonly { index: number }[] }[]): number[] =>
  sent.flatMap(({ tasks }) => tasks.map(({ index }) => index));

function aRig(): ManagerRig {
  const rig = new ManagerRig().online().hello('p').code('f');
  rig.take();
  return rig;
}

describe('manager machine: tasks', () => {
  it('answers a delivery at once and asks for code it does not have, once', () => {
    const rig = aRig();
    const out = rig.submit('c', 3, { fn: 'g' }).submit('d', 3, { fn: 'g' }).take();
    assert.deepEqual(
      toService(out, 'tasks.accepted').map(({ chunks }) => chunks),
      [[{ chunk: 'c', epoch: 1 }], [{ chunk: 'd', epoch: 1 }]],
    );
    assert.deepEqual(
      toService(out, 'functions.wanted').map(({ function_ids }) => function_ids),
      [['g']],
    );
    assert.deepEqual(sentTo(out, 'p'), []);
    assert.match(endpointStatus(rig.state, rig.now).waiting_reason ?? '', /code of the function/);
    const begun = sentTo(rig.code('g').take(), 'p');
    assert.deepEqual(
      begun.map(({ chunk, tasks }) => [chunk, tasks.length]),
      [['c', 2]],
    );
  });

  it('begins with one task per worker and spreads on from there', () => {
    const rig = aRig();
    assert.deepEqual(indexes(sentTo(rig.submit('c', 100).take(), 'p')), [0, 1]);
    assert.deepEqual(indexes(sentTo(rig.results('p', 'c', [0], 60).take(), 'p')), [2]);
  });

  it('passes a chunk of a quick function on as it came, byte for byte', () => {
    const rig = aRig().warm('p');
    const batch = encodeBatch(
      Array.from({ length: 100 }, (_, index) => ({ index, attempt: 1, payload: Buffer.from([7]) })),
    );
    const part = { chunk: 'c', epoch: 1, function_id: 'f', options: { timeout_s: 9 }, bytes: batch.length };
    const out = rig.service({ kind: 'tasks.submit', batches: [part] }, [batch]).take();
    const [sent] = out.flatMap((one) =>
      one.kind === 'to_executor' && one.message.kind === 'tasks.run' ? [one] : [],
    );
    assert.deepEqual(sent?.message, { kind: 'tasks.run', batches: [part] });
    assert.ok(sent.parts[0] === batch, 'the bytes were copied');
  });

  it('sends code once to each executor, before the first batch', () => {
    const rig = aRig();
    const first = rig.submit('c', 1).take();
    assert.deepEqual(
      first.flatMap((one) => (one.kind === 'to_executor' ? [one.message.kind] : [])),
      ['functions', 'tasks.run'],
    );
    assert.deepEqual(toExecutors(rig.submit('d', 1).take(), 'functions'), []);
    const asked = rig.executor('p', { kind: 'functions.wanted', function_ids: ['f'] }).take();
    assert.equal(toExecutors(asked, 'functions').length, 1);
  });

  it('lets functions take turns', () => {
    const rig = aRig().warm('p', 'f', 0.05).code('g').warm('p', 'g', 0.05);
    rig.submit('slow', 100, { fn: 'f' });
    rig.submit('other', 10, { fn: 'g' });
    const order: string[] = sentTo(rig.take(), 'p').map(({ chunk }) => chunk);
    for (let turn = 0; turn < 40; turn++) {
      const [load] = rig.state.executors.get('x0')?.chunks.keys() ?? [];
      const held = rig.state.chunks.get(load ?? '');
      const index = held?.place.findIndex((place) => place >= 3) ?? 0;
      order.push(
        ...sentTo(rig.results('p', load ?? '', [index], 0.05).take(), 'p').map(({ chunk }) => chunk),
      );
    }
    assert.ok(order.slice(0, 12).includes('other'), order.join());
  });

  it('gathers results into one message and keeps them until they are acknowledged', () => {
    const rig = aRig().warm('p');
    rig.submit('c', 100).take();
    rig.results('p', 'c', [0, 1, 2]).results('p', 'c', [3]);
    const out = rig.event({ kind: 'flush' }).take();
    assert.deepEqual(
      resultsIn(out).map(({ index }) => index),
      [0, 1, 2, 3],
    );
    const [message] = out.filter((one) => one.kind === 'results');
    assert.equal(message?.slabs.length, 2);
    const again = rig.event({ kind: 'service.disconnected' }).online().take();
    assert.deepEqual(
      again.filter((one) => one.kind === 'resend'),
      [{ kind: 'resend', seqs: [message?.seq] }],
    );
    const acked = rig.service({ kind: 'results.ack', seq: message?.seq ?? 0 }).take();
    assert.deepEqual(acked, [{ kind: 'unspool', seq: message?.seq }]);
    assert.deepEqual(rig.service({ kind: 'results.ack', seq: message?.seq ?? 0 }).take(), []);
    assert.equal(rig.state.chunks.get('c')?.spooled, 0);
  });

  it('lets the first result of a task count and drops any other', () => {
    const rig = aRig();
    rig.submit('c', 2).results('p', 'c', [0]).results('p', 'c', [0, 1]).results('p', 'nothing', [5]);
    assert.deepEqual(
      resultsIn(rig.event({ kind: 'flush' }).take()).map(({ index }) => index),
      [0, 1],
    );
  });

  it('ignores malformed results and deliveries', () => {
    const rig = aRig();
    rig.submit('c', 1).take();
    const slabs = [{ chunk: 'c', epoch: 1, worker: 'w', bytes: 3 }];
    rig.executor('p', { kind: 'tasks.results', workers: {}, slabs }, [Buffer.from('abc')]);
    const part = { chunk: 'm', epoch: 1, function_id: 'f', options: {}, bytes: 1 };
    const out = rig.service({ kind: 'tasks.submit', batches: [part] }, [Buffer.from([9, 9, 9])]).take();
    assert.deepEqual(toService(out, 'tasks.accepted'), []);
    assert.equal(rig.state.open, 1);
  });
});

describe('manager machine: deliveries made again', () => {
  it('never runs a second copy of a task in hand, and answers under the newer epoch', () => {
    const rig = aRig();
    rig.submit('c', 2).take();
    const out = rig.submit('c', 2, { epoch: 2, attempt: 2 }).take();
    assert.deepEqual(sentTo(out, 'p'), []);
    assert.deepEqual(toService(out, 'tasks.accepted')[0]?.chunks, [{ chunk: 'c', epoch: 2 }]);
    const results = resultsIn(rig.results('p', 'c', [0, 1]).event({ kind: 'flush' }).take());
    assert.deepEqual(
      results.map(({ index, epoch }) => [index, epoch]),
      [
        [0, 2],
        [1, 2],
      ],
    );
  });

  it('does not run again what it has the result of', () => {
    const rig = aRig();
    rig.submit('c', 2).results('p', 'c', [0]).event({ kind: 'flush' }).take();
    rig.submit('c', 2, { epoch: 2 });
    assert.deepEqual(sentTo(rig.take(), 'p'), []);
    assert.equal(rig.state.open, 1);
  });

  it('ignores a delivery older than the one it has', () => {
    const rig = aRig();
    rig.submit('c', 1, { epoch: 3 }).take();
    assert.deepEqual(sentTo(rig.submit('c', 2, { epoch: 2 }).take(), 'p'), []);
    assert.equal(rig.state.chunks.get('c')?.epoch, 3);
  });
});

describe('manager machine: deaths', () => {
  it('gives a blamed task further attempts, then its end; the others lose none', () => {
    const rig = aRig().warm('p');
    rig.submit('c', 3).take();
    for (const attempt of [2, 3]) {
      const sent = sentTo(rig.returned('p', 'c', [0], true).returned('p', 'c', [1, 2], false).take(), 'p');
      const tasks = new Map(
        sent.flatMap(({ tasks: list }) => list.map((task) => [task.index, task.attempt])),
      );
      assert.deepEqual([...tasks].sort(), [
        [0, attempt],
        [1, 1],
        [2, 1],
      ]);
    }
    const [end] = resultsIn(rig.returned('p', 'c', [0], true).event({ kind: 'flush' }).take());
    assert.deepEqual([end?.index, end?.outcome, end?.attempt], [0, 'system_failure', 3]);
    const failure = JSON.parse(end?.data.toString() ?? '') as { code: string; message: string };
    assert.equal(failure.code, 'KILLED_WORKERS');
    assert.match(failure.message, /started 3 times.*exited with code 9/);
  });

  it('heeds the attempts that a submitter allows', () => {
    const rig = aRig();
    rig.submit('c', 1, { options: { max_attempts: 1 } });
    assert.equal(resultsIn(rig.returned('p', 'c', [0], true).event({ kind: 'flush' }).take()).length, 1);
  });

  it('runs the tasks of a lost executor elsewhere with the next attempt, and tells it to stop when it wakes', () => {
    const rig = new ManagerRig({ blocks: ['b0', 'b1'] })
      .online()
      .code('f')
      .hello('p')
      .hello('q', { id: 'x1', block: 'b1' });
    rig.take();
    rig.submit('c', 4).take();
    for (let second = 0; second < 16; second++)
      rig.pass(1_000).executor('q', { kind: 'executor.heartbeat', idle: 0, queued: 0 });
    const out = rig.take();
    assert.ok(out.some((one) => one.kind === 'cancel_block' && one.block_id === 'b0'));
    assert.equal(rig.state.executors.has('x0'), false);
    const mine = indexes(
      sentTo(
        rig
          .results(
            'q',
            'c',
            [...(rig.state.chunks.get('c')?.place ?? [])].flatMap((p, n) => (p === 4 ? [n] : [])),
          )
          .take(),
        'q',
      ),
    );
    assert.equal(mine.length, 2);
    assert.deepEqual(
      toExecutors(
        rig.executor('p', { kind: 'executor.heartbeat', idle: 2, queued: 0 }).take(),
        'executor.stop',
      ).map(({ peer }) => peer),
      ['p'],
    );
  });

  it('gives up a task whose executors die again and again', () => {
    const rig = new ManagerRig({ blocks: ['b0', 'b1', 'b2'] }).online().code('f');
    rig.submit('c', 1);
    for (const n of [0, 1, 2]) {
      rig.hello(`p${n}`, { id: `x${n}`, block: `b${n}` });
      rig.event({ kind: 'block.ended', block_id: `b${n}`, reason: 'its node was lost' });
    }
    const [end] = resultsIn(rig.event({ kind: 'flush' }).take());
    assert.match(end?.data.toString() ?? '', /EXECUTOR_LOST.*started 3 times.*its node was lost/);
  });

  it('takes back, without an attempt, what an executor that dials again does not have', () => {
    const rig = aRig();
    rig.submit('c', 2).event({ kind: 'executor.unreachable', peer: 'p' }).take();
    const out = rig.hello('p2', { held: [{ chunk: 'c', epoch: 1, indexes: [1] }] }).take();
    assert.deepEqual(
      sentTo(out, 'p2').flatMap(({ tasks }) => tasks),
      [{ index: 0, attempt: 1 }],
    );
  });

  it('sends nothing to an executor whose connection is gone', () => {
    const rig = aRig();
    rig.event({ kind: 'executor.unreachable', peer: 'p' }).take();
    assert.deepEqual(
      rig
        .submit('c', 2)
        .take()
        .filter((one) => one.kind === 'to_executor'),
      [],
    );
  });

  it('does not take the sleep of the whole machine for silence', () => {
    const rig = aRig();
    rig.now += 3_600_000;
    rig.event({ kind: 'tick' });
    assert.equal(rig.state.executors.size, 1);
    assert.ok(!rig.take().some((one) => one.kind === 'relink'));
  });
});

describe('manager machine: cancelling', () => {
  it('drops queued tasks, has running ones ended and sends no result for either', () => {
    const rig = aRig();
    rig.submit('c', 4).take();
    const out = rig.service({ kind: 'tasks.cancel', tasks: [{ chunk: 'c', indexes: [1, 2] }] }).take();
    assert.deepEqual(
      toExecutors(out, 'tasks.cancel').map(({ tasks }) => tasks),
      [[{ chunk: 'c', indexes: [1] }]],
    );
    rig.results('p', 'c', [0, 1]).results('p', 'c', [3]);
    assert.deepEqual(
      resultsIn(rig.event({ kind: 'flush' }).take()).map(({ index }) => index),
      [0, 3],
    );
    assert.equal(rig.state.open, 0);
  });

  it('tells an executor that missed it when that dials again', () => {
    const rig = aRig();
    rig.submit('c', 1).event({ kind: 'executor.unreachable', peer: 'p' });
    rig.service({ kind: 'tasks.cancel', tasks: [{ chunk: 'c', indexes: [0] }] }).take();
    const out = rig.hello('p2', { held: [{ chunk: 'c', epoch: 1, indexes: [0] }] }).take();
    assert.deepEqual(toExecutors(out, 'tasks.cancel')[0]?.tasks, [{ chunk: 'c', indexes: [0] }]);
    assert.equal(rig.state.open, 0);
  });

  it('heeds the list that comes with a welcome', () => {
    const rig = aRig();
    rig.submit('c', 2).take();
    rig.event({ kind: 'service.connected' });
    const out = rig
      .service({ kind: 'link.welcome', heartbeat_ms: 5_000, cancelled: [{ chunk: 'c', indexes: [0, 1] }] })
      .take();
    assert.equal(toExecutors(out, 'tasks.cancel').length, 1);
    assert.equal(rig.state.open, 0);
  });
});

describe('manager machine: after a restart', () => {
  const spooled = [{ seq: 7, refs: [{ chunk: 'c', epoch: 2, indexes: [5] }] }];

  it('waits for its executors before it says what it holds, but not for ever', () => {
    const rig = new ManagerRig({ blocks: ['b0'], spooled }).event({ kind: 'service.connected' });
    assert.deepEqual(toService(rig.pass(1_000).take(), 'link.hello'), []);
    const [hello] = toService(
      rig.hello('p', { held: [{ chunk: 'c', epoch: 2, indexes: [1] }] }).take(),
      'link.hello',
    );
    assert.deepEqual(hello?.held, [{ chunk: 'c', epoch: 2, indexes: [1, 5] }]);
    const other = new ManagerRig({ blocks: ['b0'], spooled }).event({ kind: 'service.connected' });
    assert.equal(toService(other.pass(4_000).take(), 'link.hello').length, 1);
  });

  it('says hello at once when no executor is left from before', () => {
    const rig = new ManagerRig({ blocks: [] }).event({ kind: 'service.connected' });
    assert.deepEqual(toService(rig.take(), 'link.hello')[0]?.held, []);
  });

  it('dials anew when it loses tasks whose payloads it does not have', () => {
    const rig = new ManagerRig().hello('p', { held: [{ chunk: 'c', epoch: 1, indexes: [0] }] }).online();
    rig.take();
    const out = rig.event({ kind: 'block.ended', block_id: 'b0', reason: 'gone' }).take();
    assert.ok(out.some((one) => one.kind === 'relink'));
    rig.event({ kind: 'service.disconnected' }).event({ kind: 'service.connected' });
    assert.deepEqual(toService(rig.take(), 'link.hello')[0]?.held, []);
  });

  it('can run adopted tasks again once they were delivered again', () => {
    const rig = new ManagerRig()
      .hello('p', { held: [{ chunk: 'c', epoch: 1, indexes: [0] }] })
      .online()
      .code('f');
    rig.submit('c', 2, { epoch: 2 }).take();
    const sent = sentTo(rig.returned('p', 'c', [0], true).take(), 'p').flatMap(({ tasks }) => tasks);
    assert.deepEqual(sent, [{ index: 0, attempt: 2 }]);
  });
});

describe('manager machine: the service', () => {
  it('dials anew when the service falls silent, and greets it again', () => {
    const rig = aRig();
    const out = rig.pass(16_000).take();
    assert.ok(out.some((one) => one.kind === 'relink'));
    assert.ok(toService(out, 'link.heartbeat').length >= 3);
  });

  it('repeats a hello that is not answered, slowly when it was refused', () => {
    const rig = new ManagerRig({ blocks: [] }).event({ kind: 'service.connected' });
    rig.take();
    assert.equal(toService(rig.pass(25_000).take(), 'link.hello').length, 2);
    rig.service({ kind: 'link.refused', code: 'bad_secret', reason: 'no' }).take();
    assert.equal(toService(rig.pass(29_000).take(), 'link.hello').length, 0);
    assert.equal(toService(rig.pass(2_000).take(), 'link.hello').length, 1);
  });

  it('gives up only when no later attempt can help', () => {
    for (const code of ['bad_secret', 'version']) {
      const out = aRig().service({ kind: 'link.refused', code, reason: 'no' }).take();
      assert.ok(!out.some((one) => one.kind === 'exit'), code);
    }
    for (const code of ['unknown_endpoint', 'endpoint_deleted']) {
      const out = aRig().service({ kind: 'link.refused', code, reason: 'no' }).take();
      assert.ok(
        out.some((one) => one.kind === 'exit' && one.code === 78),
        code,
      );
    }
  });

  it('takes no more than it can hold, and leaves the rest unanswered', () => {
    const rig = aRig();
    rig.state.held_bytes = 2 ** 40;
    assert.deepEqual(toService(rig.submit('c', 1).take(), 'tasks.accepted'), []);
    rig.state.held_bytes = 0;
  });

  it('begins nothing while results cannot be put on disk', () => {
    const rig = aRig().event({ kind: 'disk', trouble: 'ENOSPC' });
    assert.deepEqual(sentTo(rig.submit('c', 1).take(), 'p'), []);
    assert.match(endpointStatus(rig.state, rig.now).waiting_reason ?? '', /ENOSPC/);
    assert.equal(sentTo(rig.event({ kind: 'disk', trouble: null }).take(), 'p').length, 1);
  });

  it('tells again which tasks run long', () => {
    const rig = aRig();
    const task = { chunk: 'c', index: 0, attempt: 1, worker: 'w', started_s: 1 };
    rig.submit('c', 1).executor('p', { kind: 'tasks.started', tasks: [task] });
    assert.deepEqual(
      toService(rig.take(), 'tasks.started').map(({ tasks }) => tasks),
      [[task]],
    );
    assert.deepEqual(
      toService(rig.event({ kind: 'service.disconnected' }).online().take(), 'tasks.started')[0]?.tasks,
      [task],
    );
    rig.results('p', 'c', [0]);
    assert.deepEqual(
      toService(rig.event({ kind: 'service.disconnected' }).online().take(), 'tasks.started'),
      [],
    );
  });
});

describe('manager machine: executors and blocks', () => {
  it('answers a heartbeat only after the results before it are put away', () => {
    const rig = aRig();
    rig.submit('c', 1).results('p', 'c', [0]).take();
    const out = rig.executor('p', { kind: 'executor.heartbeat', idle: 2, queued: 0 }).take();
    assert.deepEqual(
      out.map((one) => one.kind),
      ['results', 'to_executor'],
    );
  });

  it('refuses executors of another version or of a block that is not wanted', () => {
    const rig = aRig();
    const reasons = [
      ...toExecutors(rig.hello('q', { id: 'y', version: '2' }).take(), 'executor.refused'),
      ...toExecutors(rig.hello('r', { id: 'z', block: 'other' }).take(), 'executor.refused'),
    ].map(({ reason }) => reason);
    assert.match(reasons[0] ?? '', /version 2/);
    assert.match(reasons[1] ?? '', /no longer wanted/);
  });

  it('ignores words of a peer that has not said hello', () => {
    const rig = aRig();
    const slab = encodeSlab([aResult(0)]);
    rig.submit('c', 1).take();
    const slabs = [{ chunk: 'c', epoch: 1, worker: 'w', bytes: slab.length }];
    rig.executor('stranger', { kind: 'tasks.results', workers: {}, slabs }, [slab]);
    assert.deepEqual(rig.take(), []);
    assert.equal(rig.state.open, 1);
  });

  it('starts a block when there is none, waits longer after each that dies young, and says why', () => {
    const rig = new ManagerRig({ blocks: [] }).event({ kind: 'tick' });
    const ids: string[] = [];
    const started_s: number[] = [];
    for (let second = 0; second < 40; second++) {
      for (const one of rig.pass(1_000).take()) {
        if (one.kind !== 'submit_block') continue;
        ids.push(one.block_id);
        started_s.push(second);
        rig.event({
          kind: 'block.ended',
          block_id: one.block_id,
          reason: 'python3 not found; it exited with code 78',
        });
      }
    }
    assert.equal(new Set(ids).size, ids.length);
    const pauses = started_s.slice(1).map((at, n) => at - (started_s[n] ?? 0));
    assert.ok(
      pauses.length >= 4 && pauses.every((pause, n) => n === 0 || pause > (pauses[n - 1] ?? 0)),
      pauses.join(),
    );
    assert.match(
      endpointStatus(rig.state, rig.now).waiting_reason ?? '',
      /python3 not found.*(next try in|tried again)/,
    );
  });

  it('forgets past failures once work is done', () => {
    const rig = new ManagerRig({ blocks: [] }).event({ kind: 'tick' });
    const [first] = rig.take().filter((one) => one.kind === 'submit_block');
    rig.event({ kind: 'block.ended', block_id: first?.block_id ?? '', reason: 'bad luck' }).pass(2_000);
    const [second] = rig.take().filter((one) => one.kind === 'submit_block');
    rig
      .online()
      .code('f')
      .hello('p', { block: second?.block_id ?? '' })
      .submit('c', 1)
      .results('p', 'c', [0]);
    assert.equal(rig.state.breaker.failures, 0);
    assert.equal(endpointStatus(rig.state, rig.now).waiting_reason, null);
  });

  it('tells executors to stop when it stops, and begins nothing more', () => {
    const rig = aRig();
    rig.submit('c', 1).results('p', 'c', [0]);
    const out = rig.event({ kind: 'stop', why: 'SIGTERM' }).take();
    assert.equal(resultsIn(out).length, 1);
    assert.equal(toExecutors(out, 'executor.stop').length, 1);
    assert.deepEqual(
      rig.event({ kind: 'block.ended', block_id: 'b0', reason: 'stopped' }).pass(5_000).take(),
      [],
    );
  });

  it('behaves the same each time for the same seed', () => {
    const trace = (): string => {
      const rig = new ManagerRig({ blocks: ['b0', 'b1', 'b2'], seed: 7 }).online().code('f');
      for (const n of [0, 1, 2]) rig.hello(`p${n}`, { id: `x${n}`, block: `b${n}` });
      for (let n = 0; n < 20; n++) rig.submit(`c${n}`, 3);
      return JSON.stringify(rig.take());
    };
    assert.equal(trace(), trace());
  });
});
