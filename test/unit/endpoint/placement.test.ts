import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chooseSeat, roomFor, type Seat } from '../../../src/endpoint/manager/placement.ts';
import { BREAKER_CLOSED, blockFailed, decideScaling } from '../../../src/endpoint/manager/scaling.ts';
import { batchSize, newRunTime, observe, prefetch, type RunTime } from '../../../src/endpoint/run-time.ts';

const QUICK: RunTime = { mean_s: 0.00001 };
const MEDIUM: RunTime = { mean_s: 0.01 };
const SLOW: RunTime = { mean_s: 60 };
const UNKNOWN: RunTime = { mean_s: null };

function seat(slots: number, load: Record<string, number> = {}, long = 0): Seat {
  return { slots, long, load: new Map(Object.entries(load)) };
}

describe('run times', () => {
  it('makes batches of about 20 ms, one task while nothing is known', () => {
    assert.equal(batchSize(UNKNOWN, 64), 1);
    assert.equal(batchSize(QUICK, 64), 64);
    assert.equal(batchSize({ mean_s: 0.001 }, 64), 20);
    assert.equal(batchSize(MEDIUM, 64), 2);
    assert.equal(batchSize(SLOW, 64), 1);
  });

  it('queues nothing behind slow and unknown tasks', () => {
    assert.equal(prefetch(SLOW), 0);
    assert.equal(prefetch(UNKNOWN), 0);
    assert.ok(prefetch(QUICK) > prefetch(MEDIUM) && prefetch(MEDIUM) > 0);
  });

  it('turns careful at once and bold slowly', () => {
    const time = newRunTime();
    observe(time, 100, 0.001);
    observe(time, 1, 60);
    assert.equal(batchSize(time, 64), 1);
    for (let n = 0; n < 10; n++) observe(time, 100, 0.001);
    assert.equal(batchSize(time, 64), 1);
    for (let n = 0; n < 100; n++) observe(time, 100, 0.001);
    assert.equal(batchSize(time, 64), 64);
  });

  it('ignores what cannot be a duration', () => {
    const time = newRunTime();
    observe(time, 0, 1);
    observe(time, 1, Number.NaN);
    observe(time, 1, -1);
    assert.equal(time.mean_s, null);
  });
});

describe('placement', () => {
  it('gives slow and unknown tasks one per worker', () => {
    for (const time of [SLOW, UNKNOWN]) {
      assert.equal(roomFor(seat(4), time, 100, () => time).tasks, 4);
      assert.equal(roomFor(seat(4, { f: 3 }), time, 100, () => time).tasks, 1);
      assert.equal(roomFor(seat(4, { f: 4 }), time, 100, () => time).tasks, 0);
    }
  });

  it('keeps workers with long tasks out of account', () => {
    assert.equal(roomFor(seat(4, {}, 3), SLOW, 100, () => SLOW).tasks, 1);
    assert.equal(roomFor(seat(4, {}, 4), QUICK, 100, () => QUICK).tasks, 0);
    assert.equal(roomFor(seat(2, {}, 1), QUICK, 100, () => QUICK).tasks, 100);
  });

  it('sends quick tasks in batches, and only worthwhile ones to busy executors', () => {
    assert.equal(roomFor(seat(2), QUICK, 1000, () => QUICK).tasks, 256);
    const nearlyFull = seat(2, { f: 1000 });
    assert.equal(roomFor(nearlyFull, QUICK, 1000, () => QUICK).tasks, 0);
    assert.ok(roomFor(nearlyFull, QUICK, 5, () => QUICK).tasks === 5);
  });

  it('lets no backlog of a quicker function shut a slower or unknown one out', () => {
    const times: Record<string, RunTime> = { quick: QUICK, medium: MEDIUM, slow: SLOW, unknown: UNKNOWN };
    const timeOf = (id: string): RunTime => times[id] ?? UNKNOWN;
    const full = (id: string): Seat => {
      const most = roomFor(seat(2), timeOf(id), 1e6, timeOf).tasks * (1 + prefetch(timeOf(id)));
      return seat(2, { [id]: most });
    };
    assert.ok(roomFor(full('quick'), MEDIUM, 10, timeOf).tasks > 0);
    assert.ok(roomFor(full('quick'), UNKNOWN, 10, timeOf).tasks > 0);
    assert.ok(roomFor(full('medium'), UNKNOWN, 10, timeOf).tasks > 0);
    assert.ok(roomFor(full('slow'), QUICK, 10, timeOf).tasks > 0);
    assert.equal(roomFor(full('slow'), UNKNOWN, 10, timeOf).tasks, 0);
  });

  it('never gives more than the bound', () => {
    const times: Record<string, RunTime> = { quick: QUICK, medium: MEDIUM, slow: SLOW, unknown: UNKNOWN };
    const names = fc.constantFrom(...Object.keys(times));
    const load = fc.dictionary(names, fc.integer({ min: 1, max: 3000 }));
    const timeOf = (id: string): RunTime => times[id] ?? UNKNOWN;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        load,
        names,
        fc.integer({ min: 1, max: 10_000 }),
        (slots, has, name, waiting) => {
          const { tasks } = roomFor(seat(slots, has), timeOf(name), waiting, timeOf);
          const batch = batchSize(timeOf(name), 128);
          assert.ok(tasks <= waiting && tasks <= slots * batch);
          const others = Object.entries(has)
            .filter(([id]) => prefetch(timeOf(id)) <= prefetch(timeOf(name)))
            .reduce((sum, [id, count]) => sum + count / batchSize(timeOf(id), 128), 0);
          if (tasks > 0) assert.ok(others + tasks / batch <= slots * (1 + prefetch(timeOf(name))) + 1e-6);
        },
      ),
    );
  });

  it('chooses the least busy executor, at random among equals', () => {
    const rooms = [
      { tasks: 5, busy: 2 },
      { tasks: 3, busy: 1 },
      { tasks: 9, busy: 1 },
      { tasks: 0, busy: 0 },
    ];
    const chosen = new Set<number>();
    for (let n = 0; n < 200; n++) {
      const choice = chooseSeat([0, 1, 2, 3], (place) => rooms[place] ?? assert.fail(), Math.random);
      assert.equal(choice?.tasks, rooms[choice?.seat ?? 0]?.tasks);
      chosen.add(choice?.seat ?? -1);
    }
    assert.deepEqual([...chosen].sort(), [1, 2]);
  });

  it('finds the only executor with room among many', () => {
    const seats = Array.from({ length: 500 }, (_, n) => n);
    const choice = chooseSeat(seats, (n) => ({ tasks: n === 321 ? 1 : 0, busy: 0 }), Math.random);
    assert.deepEqual(choice, { seat: 321, tasks: 1 });
    assert.equal(
      chooseSeat(seats, () => ({ tasks: 0, busy: 0 }), Math.random),
      null,
    );
  });
});

describe('scaling', () => {
  const limits = { min_blocks: 1, max_blocks: 4, slots_per_block: 10, idle_ms: 60_000 };
  const block = (block_id: string, tasks: number, idle_since_ms: number | null) => ({
    block_id,
    tasks,
    idle_since_ms,
  });

  it('keeps the minimum running and says why', () => {
    const decision = decideScaling([], 0, limits, 0, 0);
    assert.equal(decision.submit, 1);
    assert.match(decision.why, /0 tasks and 0 blocks: 1 are wanted/);
  });

  it('grows with the tasks up to the maximum, and not before the breaker allows', () => {
    const one = [block('a', 10, null)];
    assert.equal(decideScaling(one, 25, limits, 0, 0).submit, 2);
    assert.equal(decideScaling(one, 1000, limits, 0, 0).submit, 3);
    assert.equal(decideScaling(one, 1000, limits, 500, 499).submit, 0);
  });

  it('gives back only blocks that have long been idle, never below the minimum', () => {
    const blocks = [block('a', 0, 0), block('b', 0, 50_000), block('c', 3, null), block('d', 0, 10)];
    assert.deepEqual(decideScaling(blocks, 3, limits, 0, 70_000).cancel, ['a', 'd']);
    assert.deepEqual(decideScaling([block('a', 0, 0)], 0, limits, 0, 1e9).cancel, []);
  });

  it('waits longer after each block that dies young, up to a minute', () => {
    let breaker = BREAKER_CLOSED;
    const pauses: number[] = [];
    for (let n = 0; n < 10; n++) {
      breaker = blockFailed(breaker, 'no python', 1000);
      pauses.push(breaker.not_before_ms - 1000);
    }
    assert.deepEqual(pauses.slice(0, 4), [1000, 2000, 4000, 8000]);
    assert.equal(pauses.at(-1), 60_000);
    assert.equal(breaker.reason, 'no python');
  });
});
