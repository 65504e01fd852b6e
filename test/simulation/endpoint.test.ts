// A whole endpoint in one process on a driven clock: manager, executors and their pretended workers over links
// that break, with processes that die. Whatever happens, every task ends exactly once. A failure names its seed;
// SIMULATION_SEED=n runs that one alone, SIMULATION_RUNS=n more of them.
import assert from 'node:assert/strict';
import { systemChance } from '../../src/clock.ts';
import { makeMemoryNet } from '../../src/transport/memory.ts';
import { SimEndpoint } from './support/sim-manager.ts';
import { SimService, type SimChunk, type TaskPlan } from './support/sim-service.ts';
import { World } from './support/world.ts';

const RUNS = Number(process.env.SIMULATION_RUNS ?? 12);
const FAULTS_MS = 90_000;
/** A task over its limit is ended within this. */
const GRACE_MS = 500;
/** After the last fault everything ends within this. */
const HEAL_MS = 600_000;

interface Run {
  readonly world: World;
  readonly service: SimService;
  readonly endpoint: SimEndpoint;
  readonly cutting: { rate: number };
  readonly runs: Map<string, number>;
}

function makeRun(seed: number, blocks: number, slots: number): Run {
  const world = new World(seed);
  const cutting = { rate: 0 };
  const net = makeMemoryNet({
    schedule: (action, delay_ms) => world.after(delay_ms, action),
    fate: () => (world.random() < cutting.rate ? 'cut' : world.between(0, 3)),
  });
  const service = new SimService(world, net);
  const runs = new Map<string, number>();
  const onRun = (chunk: string, index: number): void => {
    const name = `${chunk} ${index}`;
    runs.set(name, (runs.get(name) ?? 0) + 1);
  };
  return {
    world,
    service,
    cutting,
    runs,
    endpoint: new SimEndpoint({ world, net, service, blocks, slots, halts: seed % 4 !== 0, onRun }),
  };
}

function somePlan(world: World): TaskPlan {
  const dice = world.random();
  if (dice < 0.01) return { duration_ms: world.between(0, 50), poison: true };
  if (dice < 0.04) return { duration_ms: world.between(5_000, 40_000) };
  if (dice < 0.2) return { duration_ms: world.between(50, 1_000) };
  return { duration_ms: world.between(0, 3) };
}

function submitSome({ world, service }: Run): void {
  const slow = world.random() < 0.3;
  const plans = Array.from({ length: world.between(1, slow ? 8 : 100) }, () => somePlan(world));
  const options = world.random() < 0.2 ? { timeout_s: 10 } : {};
  service.submit(`function-${world.between(1, 4)}`, plans, options);
}

function cancelSome({ world, service }: Run): void {
  const chunks = [...service.chunks.values()];
  const chunk = chunks[world.between(0, chunks.length - 1)];
  if (chunk !== undefined) service.cancel(chunk, world.between(0, chunk.plans.length - 1));
}

function strike(run: Run): void {
  const { world, service, endpoint } = run;
  const ids = [...endpoint.executors.keys()];
  const block = ids[world.between(0, ids.length - 1)];
  const dice = world.random();
  if (dice < 0.35 && block !== undefined) endpoint.executors.get(block)?.killWorker(world.between(0, 3));
  else if (dice < 0.55 && block !== undefined) endpoint.crashBlock(block, world.random() < 0.5);
  else if (dice < 0.75) {
    if (!endpoint.manager.dead) endpoint.restartManager(world.between(10, 5_000));
  } else if (dice < 0.85) {
    service.crash();
    world.after(world.between(10, 5_000), () => service.open());
  } else {
    run.cutting.rate = 0.02;
    world.after(world.between(100, 3_000), () => (run.cutting.rate = 0));
  }
}

function describeLeft(chunks: Iterable<SimChunk>): string {
  const left = [...chunks].flatMap((chunk) =>
    chunk.plans.flatMap((plan, index) => {
      const ended = chunk.results.has(index) || chunk.cancelled.has(index);
      return ended ? [] : [`${chunk.id} ${index} ${JSON.stringify(plan)}`];
    }),
  );
  return `${left.length} tasks never ended: ${left.slice(0, 3).join('; ')}`;
}

function checkOutcomes(run: Run): void {
  for (const chunk of run.service.chunks.values()) {
    for (const [index, entry] of chunk.results) {
      const plan = chunk.plans[index];
      assert.ok(plan, 'a result of a task that was never submitted');
      const name = `task ${index} of ${chunk.id} ${JSON.stringify(plan)}`;
      const limit_ms = (chunk.options.timeout_s ?? Number.POSITIVE_INFINITY) * 1000;
      if (entry.outcome === 'success') {
        assert.notEqual(plan.poison, true, `${name} succeeded`);
        assert.ok(plan.duration_ms < limit_ms + GRACE_MS, `${name} ran longer than its ${limit_ms} ms`);
        assert.equal(entry.data.toString(), String(index));
        continue;
      }
      assert.equal(entry.outcome, 'system_failure', name);
      const { code } = JSON.parse(entry.data.toString()) as { code: string };
      if (code === 'TASK_TIMEOUT') assert.ok(plan.duration_ms >= limit_ms, `${name} timed out`);
      else assert.match(code, /^(KILLED_WORKERS|EXECUTOR_LOST)$/, name);
    }
  }
}

describe('simulated endpoint', () => {
  const only = process.env.SIMULATION_SEED;
  const seeds = only === undefined ? Array.from({ length: RUNS }, (_, n) => n + 1) : [Number(only)];
  if (only === undefined) seeds.push(systemChance.bytes(4).readUInt32LE(0));

  for (const seed of seeds) {
    it(`ends every task exactly once under faults, seed ${seed}`, () => {
      const run = makeRun(seed, 3, 4);
      run.world.run(5_000, () => false);
      const { world } = run;
      const end_ms = world.now_ms + FAULTS_MS;
      const going = (): boolean => world.now_ms < end_ms;
      world.every(700, going, () => submitSome(run));
      world.every(1_900, going, () => cancelSome(run));
      world.every(2_300, going, () => strike(run));
      world.run(FAULTS_MS, () => false);
      assert.ok(
        world.run(HEAL_MS, () => run.service.allEnded),
        describeLeft(run.service.chunks.values()),
      );
      checkOutcomes(run);
      // What the service has stored is forgotten at the endpoint.
      assert.ok(
        world.run(60_000, () => run.endpoint.manager.state.chunks.size === 0),
        'tasks are kept for ever',
      );
      assert.equal(run.endpoint.disk.size, 0);
    });
  }

  it('lets no slow task hold back others of its function, wherever it stands', () => {
    const run = makeRun(3, 1, 2);
    run.world.run(5_000, () => false);
    run.service.submit(
      'function',
      Array.from({ length: 100 }, () => ({ duration_ms: 1 })),
      {},
    );
    assert.ok(run.world.run(10_000, () => run.service.allEnded));
    const plans = Array.from({ length: 100 }, (_, n) => ({ duration_ms: n === 40 ? 60_000 : 1 }));
    const { results } = run.service.submit('function', plans, {});
    assert.ok(
      run.world.run(2_000, () => results.size === 99),
      `${results.size} results after 2 s`,
    );
    assert.ok(!results.has(40));
    assert.ok(run.world.run(70_000, () => run.service.allEnded));
    const twice = [...run.runs].filter(([, count]) => count !== 1);
    assert.deepEqual(twice, []);
  });

  it('lets no task wait at an executor that is busy for long while another has nothing to do', () => {
    const run = makeRun(5, 2, 1);
    run.world.run(5_000, () => false);
    run.service.submit(
      'function',
      Array.from({ length: 100 }, () => ({ duration_ms: 2 })),
      {},
    );
    assert.ok(run.world.run(10_000, () => run.service.allEnded));
    const plans = Array.from({ length: 100 }, (_, n) => ({ duration_ms: n === 3 ? 60_000 : 2 }));
    const { results } = run.service.submit('function', plans, {});
    assert.ok(
      run.world.run(3_000, () => results.size === 99),
      `${results.size} results after 3 s`,
    );
  });

  it('runs every task exactly once when nothing fails', () => {
    const run = makeRun(7, 3, 4);
    run.world.run(5_000, () => false);
    for (let count = 0; count < 50; count++) {
      const plans = Array.from({ length: 100 }, () => ({ duration_ms: run.world.between(0, 5) }));
      run.service.submit(`function-${count % 5}`, plans, {});
    }
    assert.ok(run.world.run(60_000, () => run.service.allEnded));
    assert.equal(run.runs.size, 5_000);
    assert.ok([...run.runs.values()].every((count) => count === 1));
    assert.equal(run.service.repeats, 0);
  });
});
