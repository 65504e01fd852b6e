// What a step of a flow costs: runs of many Pass states against runs of one.
import { inParallel, type Program } from './program.ts';

const LONG = 20;
const RUNS = 100;

function passes(count: number): object {
  const names = Array.from({ length: count }, (_, n) => `S${n}`);
  const states = names.map((name, n) => [
    name,
    {
      Type: 'Pass',
      Parameters: { n },
      ResultPath: `$.r${n}`,
      ...(n === count - 1 ? { End: true } : { Next: names[n + 1] }),
    },
  ]);
  return { StartAt: names[0], States: Object.fromEntries(states) };
}

async function makeFlow(program: Program, count: number): Promise<string> {
  const flow = await program.call<{ id: string }>('POST', '/flows', {
    title: `${count} passes`,
    definition: passes(count),
    input_schema: {},
  });
  return flow.id;
}

async function runOnce(program: Program, flow: string): Promise<void> {
  const run = await program.call<{ run_id: string }>('POST', `/flows/${flow}/run`, { body: {} });
  const ended = await program.call<{ status: string }>('GET', `/runs/${run.run_id}?wait_s=30`);
  if (ended.status !== 'SUCCEEDED') throw new Error(`a run ended ${ended.status}`);
}

async function timeRuns(program: Program, flow: string, at_once: number): Promise<number> {
  const started = performance.now();
  await inParallel(RUNS, at_once, () => runOnce(program, flow));
  return performance.now() - started;
}

export async function measureFlows(
  program: Program,
): Promise<{ readonly step_ms: number; readonly transitions_per_s: number }> {
  const short = await makeFlow(program, 1);
  const long = await makeFlow(program, LONG);
  await timeRuns(program, long, 4);
  const short_ms = await timeRuns(program, short, 1);
  const long_ms = await timeRuns(program, long, 1);
  const busy_ms = await timeRuns(program, long, 16);
  return {
    step_ms: (long_ms - short_ms) / RUNS / (LONG - 1),
    transitions_per_s: (RUNS * LONG) / (busy_ms / 1000),
  };
}
