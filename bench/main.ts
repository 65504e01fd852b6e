// `npm run bench`: the figures of docs/performance.md, measured on the real program. It starts `pilotwave up` in
// a throw-away home (durable commits), once for each way a delivery can go, and drives it over HTTP from here.
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { measureFlows } from './flows.ts';
import { measureMemory } from './memory.ts';
import { startProgram, type Program } from './program.ts';
import { measureBulk, measureSingles, prepareTasks } from './tasks.ts';
import { measureTrigger } from './triggers.ts';
import { bullmqYardstick } from './yardstick.ts';

interface Way {
  readonly name: string;
  readonly env: Readonly<Record<string, string>>;
}

const REDIS = process.env.REDIS_URL ?? '';

const WAYS: readonly Way[] = [
  { name: 'straight to the link (default)', env: { REDIS_URL: '' } },
  { name: 'through BullMQ on PostgreSQL', env: { REDIS_URL: '', PILOTWAVE_DIRECT: 'off' } },
  ...(REDIS === ''
    ? []
    : [{ name: 'through BullMQ on Redis', env: { REDIS_URL: REDIS, PILOTWAVE_DIRECT: 'off' } }]),
];

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function inHome<T>(work: (home: string) => Promise<T>): Promise<T> {
  const home = mkdtempSync(join(tmpdir(), 'pilotwave-bench-'));
  chmodSync(home, 0o711);
  try {
    return await work(home);
  } finally {
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function measureWay(way: Way, program: Program): Promise<void> {
  const setup = await prepareTasks(program);
  const singles = await measureSingles(program, setup, { clients: 1, calls: 500 });
  const eight = await measureSingles(program, setup, { clients: 8, calls: 2_000 });
  const bulk = await measureBulk(program, setup, { tasks: 20_000, per_call: 1_000, in_flight: 4 });
  print(
    `| ${way.name} | ${singles.p50_ms.toFixed(1)} / ${singles.p99_ms.toFixed(1)} | ${Math.round(eight.per_s)} ` +
      `(${eight.p50_ms.toFixed(1)} / ${eight.p99_ms.toFixed(1)}) | ${Math.round(bulk.per_s)} |`,
  );
}

async function main(): Promise<void> {
  print(
    '| deliveries | warm single call p50 / p99, ms | 8 clients, calls/s (p50 / p99 ms) | 20,000 no-op tasks, tasks/s |',
  );
  print('| --- | --- | --- | --- |');
  for (const way of WAYS) {
    await inHome(async (home) => {
      const program = await startProgram(home, way.env);
      try {
        await measureWay(way, program);
      } finally {
        await program.stop();
      }
    });
  }
  await inHome(async (home) => {
    const program = await startProgram(home, { REDIS_URL: '' });
    try {
      print('\n| process, idle | RSS, MiB |');
      print('| --- | --- |');
      for (const { name, rss_mib } of await measureMemory(program.pid))
        print(`| ${name} | ${rss_mib.toFixed(0)} |`);
      const flows = await measureFlows(program);
      const trigger = await measureTrigger(program, home, 200);
      print('\n| flows and triggers | |');
      print('| --- | --- |');
      print(`| one Pass state more, one run at a time | ${flows.step_ms.toFixed(2)} ms |`);
      print(`| transitions, many runs at once | ${Math.round(flows.transitions_per_s)}/s |`);
      print(
        `| file settled → run started, p50 / p99 (${trigger.files} files at once) | ${trigger.p50_ms.toFixed(0)} / ${trigger.p99_ms.toFixed(0)} ms |`,
      );
    } finally {
      await program.stop();
    }
  });
  print('\n| yardstick in the same run: BullMQ alone, a job per no-op task, add and work | jobs/s |');
  print('| --- | --- |');
  for (const { name, per_s } of await bullmqYardstick(REDIS)) print(`| ${name} | ${Math.round(per_s)} |`);
}

await main();
process.exit(0);
