// The program of an executor: one per node of a block, started by a scheduler's script. Exit 0: it was stopped or
// its manager is gone; 78: its Python workers cannot be started, the reason is the last line on stderr.
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemChance, systemClock } from '../../clock.ts';
import { messageOf } from '../../errors.ts';
import { makeLogger } from '../../log.ts';
import { VERSION } from '../../paths.ts';
import type { KeyPair } from '../../transport/link.ts';
import { openLine } from '../../transport/zmq.ts';
import { startExecutor, type ExecutorShellOptions } from './shell.ts';

const DEFAULT_SILENCE_S = 60;

function required(values: Readonly<Record<string, string | undefined>>, name: string): string {
  const value = values[name];
  if (value === undefined || value === '') throw new Error(`--${name} is missing`);
  return value;
}

function positive(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0)
    throw new Error(`--${name} must be a positive number, not ${text}`);
  return value;
}

/** The command line → options. Throws an Error whose message is for the user. */
function parseOptions(argv: readonly string[]): ExecutorShellOptions {
  const names = [
    'manager',
    'server-key',
    'key-file',
    'executor-id',
    'block-id',
    'slots',
    'python',
    'dir',
    'cwd',
    'silence-s',
  ];
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ args: [...argv], options });
  const block_id = required(values, 'block-id');
  const executor_id =
    values['executor-id'] ?? `${block_id}.${hostname()}.${systemChance.bytes(4).toString('hex')}`;
  const slots =
    values.slots === undefined ? availableParallelism() : Math.floor(positive(values.slots, 'slots'));
  return {
    manager: {
      address: required(values, 'manager'),
      server_key: required(values, 'server-key'),
      keys: JSON.parse(readFileSync(required(values, 'key-file'), 'utf8')) as KeyPair,
    },
    executor_id,
    block_id,
    version: VERSION,
    host: hostname(),
    slots: Math.max(1, slots),
    python: values.python ?? 'python3',
    dir: join(required(values, 'dir'), executor_id),
    cwd: required(values, 'cwd'),
    silence_ms: positive(values['silence-s'] ?? String(DEFAULT_SILENCE_S), 'silence-s') * 1000,
    log: makeLogger('executor', process.env.PILOTWAVE_LOG_LEVEL ?? 'info'),
    clock: systemClock,
    openLine,
  };
}

async function main(): Promise<number> {
  const executor = startExecutor(parseOptions(process.argv.slice(2)));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, () => executor.stop(`it got ${signal}`));
  }
  const { code, reason } = await executor.finished;
  process.stderr.write(`executor ended: ${reason}\n`);
  return code;
}

try {
  process.exit(await main());
} catch (error) {
  process.stderr.write(`executor cannot run: ${messageOf(error)}\n`);
  process.exit(78);
}
