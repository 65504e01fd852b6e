// The executor's decisions, one at a time.
import assert from 'node:assert/strict';
import { ExecutorRig, framesIn, resultsIn, said } from './support/executor-rig.ts';

const range = (count: number, from = 0): number[] => Array.from({ length: count }, (_, n) => from + n);
const failureOf = (data: Buffer | undefined): { code: string; message: string } =>
  JSON.parse(data?.toString() ?? '{}') as { code: string; message: string };

/** A rig whose function `f` is known to take this long. */
function warm(rig: ExecutorRig, duration_s = 0.00001): ExecutorRig {
  rig.run('warm', [0, 1]);
  for (let frames = framesIn(rig.take()); frames.length > 0; frames = framesIn(rig.take())) {
    for (const { slot, chunk, indexes } of frames) rig.results(slot, chunk, indexes, true, duration_s);
  }
  rig.event({ kind: 'flush' }).take();
  return rig;
}

describe('executor machine: work', () => {
  it('begins with one task per worker, code first, and goes on as they end', () => {
    const rig = new ExecutorRig().up().run('c', range(5));
    const out = rig.take();
    assert.deepEqual(
      out.map(({ kind }) => kind),
      ['function', 'frame', 'function', 'frame'],
    );
    assert.deepEqual(
      framesIn(out).map(({ slot, indexes }) => [slot, indexes]),
      [
        [0, [0]],
        [1, [1]],
      ],
    );
    assert.deepEqual(
      framesIn(rig.results(1, 'c', [1], true, 10).take()).map(({ slot, indexes }) => [slot, indexes]),
      [[1, [2]]],
    );
  });

  it('makes frames of 20 ms and keeps one waiting at each worker when tasks are quick', () => {
    const rig = warm(new ExecutorRig().up(), 0.001);
    const frames = framesIn(rig.run('c', range(100)).take());
    assert.deepEqual(
      frames.map(({ slot, indexes }) => [slot, indexes.length]),
      [
        [0, 20],
        [1, 20],
        [0, 20],
        [1, 20],
      ],
    );
  });

  it('shares fairly what is less than everybody could have', () => {
    const rig = warm(new ExecutorRig().up());
    const [first, second] = framesIn(rig.run('c', range(100)).take());
    assert.deepEqual([first?.indexes.length, second?.indexes.length], [50, 25]);
    assert.deepEqual([first?.slot, second?.slot], [0, 1]);
  });

  it('puts nothing behind a slow task, nor behind one of unknown duration', () => {
    const slow = warm(new ExecutorRig(1).up(), 3);
    assert.equal(framesIn(slow.run('c', range(4)).take()).length, 1);
    const mixed = warm(new ExecutorRig(1).up()).code('g');
    mixed.run('u', [0], { fn: 'g' }).run('c', range(4));
    assert.deepEqual(
      framesIn(mixed.take()).map(({ chunk }) => chunk),
      ['u'],
    );
  });

  it('asks for code it does not have, and again when nobody answers', () => {
    const rig = new ExecutorRig().up().run('c', [0], { fn: 'g' });
    assert.deepEqual(
      said(rig.take(), 'functions.wanted').map(({ function_ids }) => function_ids),
      [['g']],
    );
    assert.equal(said(rig.pass(4_900).take(), 'functions.wanted').length, 0);
    assert.equal(said(rig.pass(300).take(), 'functions.wanted').length, 1);
    assert.equal(framesIn(rig.code('g').take()).length, 1);
  });

  it('takes a task it already has only once', () => {
    const rig = new ExecutorRig().up().run('c', [0]).run('c', [0, 1], { epoch: 2 });
    assert.deepEqual(
      framesIn(rig.take()).flatMap(({ indexes }) => indexes),
      [0, 1],
    );
    rig.results(0, 'c', [0]).results(1, 'c', [1]).event({ kind: 'flush' });
    const [message] = said(rig.take(), 'tasks.results');
    assert.deepEqual(
      message?.slabs.map(({ epoch }) => epoch),
      [2, 2],
    );
  });

  it('sends code and batch again to a worker that lost the code, once', () => {
    const rig = new ExecutorRig(1).up().run('c', [0]).results(0, 'c', [0], true, 1).run('c2', [0]);
    rig.take();
    const out = rig.event({ kind: 'worker.unknown', slot: 0, function_id: 'f' }).take();
    assert.deepEqual(
      out.map(({ kind }) => kind),
      ['function', 'frame'],
    );
    const again = rig.event({ kind: 'worker.unknown', slot: 0, function_id: 'f' }).take();
    assert.ok(again.some((one) => one.kind === 'kill'));
  });

  it('fails tasks whose options no frame can carry', () => {
    const rig = new ExecutorRig()
      .up()
      .run('c', [0], { options: { result_serializers: ['x'.repeat(70_000)] } });
    const [returned] = said(rig.take(), 'tasks.returned');
    assert.deepEqual([returned?.tasks[0]?.blamed, returned?.tasks[0]?.indexes], [true, [0]]);
  });
});

describe('executor machine: deaths', () => {
  it('blames the task that ran and returns the rest unblamed', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', range(30));
    rig.take();
    rig.results(0, 'c', [0, 1], false);
    const out = rig.ended(0, rig.running('c', 2)).take();
    const [returned] = said(out, 'tasks.returned');
    const blamed = returned?.tasks.filter((task) => task.blamed) ?? [];
    assert.deepEqual(
      blamed.map(({ indexes, reason }) => [indexes, reason]),
      [[[2], 'its worker exited with code 9']],
    );
    assert.deepEqual(
      returned?.tasks.flatMap((task) => (task.blamed ? [] : task.indexes)),
      range(27, 3),
    );
  });

  it('blames the next task in line when the worker died between two', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', [4, 5]);
    rig.take();
    const [returned] = said(rig.ended(0).take(), 'tasks.returned');
    assert.deepEqual(
      returned?.tasks.map(({ indexes, blamed }) => [indexes, blamed]),
      [
        [[4], true],
        [[5], false],
      ],
    );
  });

  it('starts a worker anew at once after a death at work, later and later after failed starts', () => {
    const rig = new ExecutorRig(1).up().run('c', [0]);
    rig.ended(0).take();
    assert.deepEqual(
      rig
        .pass(100)
        .take()
        .filter(({ kind }) => kind === 'spawn').length,
      1,
    );
    const spawns: number[] = [];
    for (let n = 0; n < 60; n++) {
      for (const one of rig.pass(100).take()) if (one.kind === 'spawn') spawns.push(n);
      if (rig.state.workers[0]?.phase === 'starting') rig.ended(0);
    }
    const pauses = spawns.slice(1).map((at, n) => at - (spawns[n] ?? 0));
    assert.ok(
      pauses.length >= 2 && pauses.every((pause, n) => n === 0 || pause > (pauses[n - 1] ?? 0)),
      pauses.join(),
    );
  });

  it('gives up, with the reason, when no worker has ever started', () => {
    const rig = new ExecutorRig(1).event({ kind: 'tick' });
    for (let n = 0; n < 3; n++) rig.ended(0, null, 'cannot be started (spawn python3 ENOENT)').pass(2_000);
    const [end] = rig.take().filter((one) => one.kind === 'exit');
    assert.equal(end?.code, 78);
    assert.match(end.reason, /does not start.*ENOENT.*last words/);
  });

  it('ends a worker that breaks the rules of the pipe, and blames what it ran', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', [0, 1]);
    const out = rig.event({ kind: 'worker.broken', slot: 0, why: 'noise' }).take();
    assert.ok(out.some((one) => one.kind === 'kill' && one.signal === 'SIGTERM'));
    const [returned] = said(rig.ended(0, rig.running('c', 0)).take(), 'tasks.returned');
    assert.deepEqual(
      returned?.tasks.map(({ indexes, blamed }) => [indexes, blamed]),
      [
        [[0], true],
        [[1], false],
      ],
    );
  });

  it('takes a batch that ends without its results for a broken worker', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', [0, 1]);
    rig.take();
    assert.ok(
      rig
        .results(0, 'c', [0], true)
        .take()
        .some((one) => one.kind === 'kill'),
    );
    assert.deepEqual(
      said(rig.ended(0).take(), 'tasks.returned')[0]?.tasks.flatMap(({ indexes }) => indexes),
      [1],
    );
  });

  it('uses force after a while', () => {
    const rig = new ExecutorRig(1).up().event({ kind: 'worker.broken', slot: 0, why: 'noise' });
    rig.take();
    const kills = rig
      .pass(3_000)
      .take()
      .filter((one) => one.kind === 'kill');
    assert.deepEqual(kills, [{ kind: 'kill', slot: 0, signal: 'SIGKILL' }]);
  });
});

describe('executor machine: long tasks', () => {
  it('announces a task once it has run for a moment, and only once', () => {
    const rig = new ExecutorRig(1).up().run('c', [0]);
    const task = rig.running('c', 0);
    rig.take();
    assert.ok(
      !rig
        .pass(200)
        .take()
        .some(({ kind }) => kind === 'look'),
    );
    assert.ok(
      rig
        .pass(100)
        .take()
        .some(({ kind }) => kind === 'look'),
    );
    assert.deepEqual(said(rig.watched(0, task).take(), 'tasks.started')[0]?.tasks, [
      { ...task, worker: 'node:100' },
    ]);
    assert.deepEqual(said(rig.watched(0, task).take(), 'tasks.started'), []);
  });

  it('ends a task over its time and settles it, and only it', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', range(3), { options: { timeout_s: 1 } });
    const task = rig.running('c', 0);
    rig.pass(900).watched(0, task);
    assert.ok(!rig.take().some(({ kind }) => kind === 'kill'));
    rig.pass(200).watched(0, task);
    assert.ok(rig.take().some(({ kind }) => kind === 'kill'));
    const out = rig.ended(0, task, 'was killed by signal SIGTERM').event({ kind: 'flush' }).take();
    const [result, ...more] = resultsIn(out);
    assert.deepEqual(more, []);
    assert.equal(failureOf(result?.data).code, 'TASK_TIMEOUT');
    assert.deepEqual([result?.index, result?.outcome], [0, 'system_failure']);
    assert.deepEqual(
      said(out, 'tasks.returned')[0]?.tasks.map(({ indexes, blamed }) => [indexes, blamed]),
      [[[1, 2], false]],
    );
  });

  it('does not settle a task whose result came after all', () => {
    const rig = new ExecutorRig(1).up().run('c', [0], { options: { timeout_s: 1 } });
    const task = rig.running('c', 0);
    rig.pass(1_200).watched(0, task).results(0, 'c', [0], true).ended(0, null);
    const results = resultsIn(rig.event({ kind: 'flush' }).take());
    assert.deepEqual(
      results.map(({ outcome }) => outcome),
      ['success'],
    );
  });

  it('takes back what waits behind a long task once the worker surely leaves it alone', () => {
    const rig = warm(new ExecutorRig(2).up(true), 0.001).run('c', range(40));
    const task = rig.running('c', 0);
    const stuck: number[] = [];
    // The other worker ends all it is given.
    for (let frames = framesIn(rig.take()); frames.length > 0; frames = framesIn(rig.take())) {
      for (const { slot, indexes } of frames) {
        if (slot === 0) stuck.push(...indexes);
        else rig.results(1, 'c', indexes);
      }
    }
    assert.ok(stuck.length > 20 && stuck[0] === 0, 'nothing waits behind the long task');
    rig.pass(300).take();
    const halts = rig
      .watched(0, task)
      .take()
      .filter(({ kind }) => kind === 'halt');
    assert.deepEqual(halts, [{ kind: 'halt', slot: 0, halted: true }]);
    assert.deepEqual(framesIn(rig.watched(0, task).take()), [], 'it did not wait');
    rig.pass(100).watched(0, task);
    const taken: number[] = [];
    for (let frames = framesIn(rig.take()); frames.length > 0; frames = framesIn(rig.take())) {
      for (const { slot, indexes } of frames) {
        assert.equal(slot, 1);
        taken.push(...indexes);
        rig.results(1, 'c', indexes);
      }
    }
    assert.deepEqual(
      taken.sort((a, b) => a - b),
      stuck.slice(1).sort((a, b) => a - b),
    );
  });

  it('lets a halted worker go on when it is done', () => {
    const rig = warm(new ExecutorRig(1).up(true), 0.001).run('c', range(3));
    const task = rig.running('c', 0);
    rig.pass(300).watched(0, task).pass(100).watched(0, task).take();
    // It ends its batch with the one result; the others were taken back.
    const out = rig.results(0, 'c', [0], true, 5).take();
    assert.deepEqual(out.map(({ kind }) => kind).slice(0, 2), ['halt', 'frame']);
    assert.deepEqual(out[0], { kind: 'halt', slot: 0, halted: false });
    assert.deepEqual(framesIn(out)[0]?.indexes, [1]);
  });

  it('waits when the worker is seen at another task than before', () => {
    const rig = warm(new ExecutorRig(1).up(true), 0.001).run('c', range(3));
    rig
      .pass(300)
      .watched(0, rig.running('c', 0, 300))
      .pass(400)
      .take();
    rig.watched(0, rig.running('c', 1, 300));
    assert.equal(rig.state.functions.get('f')?.queued, 0);
  });

  it('does not halt workers that do not know how', () => {
    const rig = warm(new ExecutorRig(1).up(false), 0.001).run('c', range(3));
    const task = rig.running('c', 0);
    rig.pass(300).watched(0, task).pass(100).watched(0, task);
    assert.ok(!rig.take().some(({ kind }) => kind === 'halt'));
  });

  it('gives queued tasks back when every worker is at a long one', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', range(60));
    rig.take();
    rig
      .pass(300)
      .watched(0, rig.running('c', 0, 300))
      .pass(100);
    const [returned] = said(rig.take(), 'tasks.returned');
    assert.deepEqual(
      returned?.tasks.map(({ indexes, blamed }) => [indexes.length, blamed]),
      [[20, false]],
    );
  });
});

describe('executor machine: cancelling', () => {
  it('drops what waits and ends what runs', () => {
    const rig = new ExecutorRig(1).up().run('c', range(3));
    const task = rig.running('c', 0);
    rig.take();
    const out = rig.message({ kind: 'tasks.cancel', tasks: [{ chunk: 'c', indexes: [0, 1] }] }).take();
    assert.deepEqual(out, [{ kind: 'look', slot: 0 }]);
    assert.deepEqual(
      rig
        .watched(0, task)
        .take()
        .filter(({ kind }) => kind === 'kill').length,
      1,
    );
    const end = rig.ended(0, task, 'was killed by signal SIGTERM').pass(100).ready(0).take();
    assert.deepEqual(said(end, 'tasks.returned'), []);
    assert.deepEqual(
      framesIn(end).map(({ indexes }) => indexes),
      [[2]],
    );
  });

  it('lets a cancelled task that has not begun pass, and ends it when it begins', () => {
    const rig = warm(new ExecutorRig(1).up(), 0.001).run('c', range(3));
    rig.message({ kind: 'tasks.cancel', tasks: [{ chunk: 'c', indexes: [1] }] });
    assert.ok(
      !rig
        .watched(0, rig.running('c', 0))
        .take()
        .some(({ kind }) => kind === 'kill'),
    );
    assert.ok(
      rig
        .watched(0, rig.running('c', 1))
        .take()
        .some(({ kind }) => kind === 'kill'),
    );
  });
});

describe('executor machine: the manager', () => {
  it('sends again what may not have arrived, and says so in its hello', () => {
    const rig = new ExecutorRig(1).up().run('c', [0, 1]).results(0, 'c', [0]).event({ kind: 'flush' });
    rig.take();
    rig.event({ kind: 'disconnected' }).event({ kind: 'connected' });
    const [hello] = said(rig.take(), 'executor.hello');
    const held = hello?.held.flatMap(({ indexes }) => indexes).sort() ?? [];
    assert.deepEqual(held, [0, 1]);
    assert.deepEqual(
      resultsIn(rig.message({ kind: 'executor.welcome', heartbeat_ms: 5_000 }).take()).map(
        ({ index }) => index,
      ),
      [0],
    );
  });

  it('forgets results once a heartbeat after them was answered', () => {
    const rig = new ExecutorRig(1).up().run('c', [0, 1]).results(0, 'c', [0]).event({ kind: 'flush' });
    rig.pass(5_000).results(0, 'c', [1]).event({ kind: 'flush' });
    assert.equal(rig.state.unconfirmed.length, 2);
    rig.message({ kind: 'executor.heartbeat' });
    assert.deepEqual(
      rig.state.unconfirmed.map(({ indexes }) => indexes),
      [[1]],
    );
  });

  it('bounds what it keeps to send again', () => {
    const rig = new ExecutorRig(1).up();
    const slab = Buffer.alloc(1024 * 1024);
    for (let n = 0; n < 40; n++) {
      rig.state.slabs.push({
        part: { chunk: `c${n}`, epoch: 1, worker: '', bytes: slab.length },
        indexes: [0],
        slab,
        facts: null,
      });
      rig.state.slab_bytes += slab.length;
      rig.event({ kind: 'flush' });
    }
    assert.ok(rig.state.unconfirmed_bytes <= 16 * 1024 * 1024);
    assert.ok(said(rig.take(), 'executor.heartbeat').length > 0, 'it did not ask for confirmation');
  });

  it('keeps working without a connection, and sends what ended meanwhile', () => {
    const rig = new ExecutorRig(1).up().event({ kind: 'disconnected' }).run('c', [0, 1]);
    rig.results(0, 'c', [0]).results(0, 'c', [1]).event({ kind: 'flush' });
    assert.deepEqual(resultsIn(rig.take()), []);
    rig.event({ kind: 'connected' }).message({ kind: 'executor.welcome', heartbeat_ms: 5_000 });
    assert.deepEqual(
      resultsIn(rig.take()).map(({ index }) => index),
      [0, 1],
    );
  });

  it('ends itself and its workers when the manager is silent for too long', () => {
    const rig = new ExecutorRig(2).up().run('c', [0]);
    rig.pass(59_000);
    assert.equal(rig.state.stopping, null);
    const out = rig.pass(2_000).take();
    assert.equal(out.filter((one) => one.kind === 'kill' && one.signal === 'SIGTERM').length, 2);
    const [end] = rig
      .ended(0)
      .ended(1)
      .take()
      .filter((one) => one.kind === 'exit');
    assert.match(end?.reason ?? '', /silent for 60 s/);
  });

  it('does not take the sleep of the whole machine for silence', () => {
    const rig = new ExecutorRig(1).up();
    rig.now += 3_600_000;
    rig.event({ kind: 'tick' });
    assert.equal(rig.state.stopping, null);
  });

  it('stops when asked: workers end, tasks go back, bye is said', () => {
    const rig = new ExecutorRig(1).up().run('c', range(2));
    rig.take();
    assert.ok(
      rig
        .message({ kind: 'executor.stop' })
        .take()
        .some(({ kind }) => kind === 'kill'),
    );
    const out = rig.ended(0, rig.running('c', 0)).take();
    const returned = said(out, 'tasks.returned').flatMap(({ tasks }) => tasks);
    assert.deepEqual(
      returned.map(({ indexes, blamed }) => [indexes, blamed]),
      [
        [[0], false],
        [[1], false],
      ],
    );
    assert.deepEqual(
      out.slice(-2).map((one) => (one.kind === 'send' ? one.message.kind : one.kind)),
      ['executor.bye', 'exit'],
    );
  });

  it('says hello again when nobody answers', () => {
    const rig = new ExecutorRig(1).event({ kind: 'connected' });
    assert.equal(said(rig.take(), 'executor.hello').length, 1);
    assert.equal(said(rig.pass(11_000).take(), 'executor.hello').length, 2);
    rig.message({ kind: 'executor.welcome', heartbeat_ms: 5_000 });
    assert.equal(said(rig.pass(11_000).take(), 'executor.hello').length, 0);
  });

  it('does not know every word, and goes on', () => {
    const rig = new ExecutorRig(1).up();
    rig.message({ kind: 'executor.dance' } as never);
    assert.equal(rig.take().length, 0);
  });
});
