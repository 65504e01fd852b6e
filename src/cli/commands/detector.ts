// `pilotwave detector`: a virtual instrument that writes frames into a folder, for trying triggers by hand.
import { resolve } from 'node:path';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { planFrames, runDetector } from '../../demo/virtual-detector.ts';
import { usageError } from '../exit.ts';
import { firstSignal } from '../stack/signals.ts';

interface DetectorCommandOptions {
  readonly dir: string;
  readonly count: string;
  readonly rate: string;
  readonly seed: string;
  readonly size: string;
  readonly broken: string;
}

/** How long a frame that is written in place grows. */
const SLOW_MS = 1_200;

function numberOf(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= min && value <= max) return value;
  throw usageError(`${name} must be a number from ${min} to ${max}, not ${text}`);
}

async function detect(context: Context, options: DetectorCommandOptions): Promise<void> {
  const { out } = context;
  const size = /^(\d+)x(\d+)$/.exec(options.size);
  if (size === null) throw usageError(`--size must be WIDTHxHEIGHT in pixels, not ${options.size}`);
  const plan = planFrames({
    count: numberOf('--count', options.count, 1, 1_000_000),
    seed: numberOf('--seed', options.seed, 0, Number.MAX_SAFE_INTEGER),
    width: numberOf('the width', size[1] ?? '', 64, 8192),
    height: numberOf('the height', size[2] ?? '', 64, 8192),
    broken_share: numberOf('--broken', options.broken, 0, 1),
  });
  const abort = new AbortController();
  void firstSignal().then(() => abort.abort());
  const written = await runDetector(plan, {
    dir: resolve(options.dir),
    rate_hz: numberOf('--rate', options.rate, 0, 10_000),
    slow_ms: SLOW_MS,
    signal: abort.signal,
    onWritten: ({ frame, bytes }) => {
      const damage = frame.damage === null ? '' : `, ${frame.damage}`;
      out.say(`${frame.name}  ${bytes} bytes  expect a ${frame.expected}${damage}`);
    },
  });
  out.value(
    {
      dir: resolve(options.dir),
      frames: written.map(({ frame, bytes }) => ({ file: frame.name, bytes, expected: frame.expected })),
    },
    `${written.length} frames in ${resolve(options.dir)}`,
  );
  out.next('pilotwave trigger list');
}

export function detectorCommand(cli: Cli): void {
  cli.program
    .command('detector')
    .description('a virtual detector: writes simulated frames into a folder')
    .requiredOption('--dir <dir>', 'folder to write into')
    .option('--count <n>', 'frames to write', '20')
    .option('--rate <hz>', 'frames a second; 0: as fast as they can be made', '4')
    .option('--seed <n>', 'the same seed makes the same frames', '20')
    .option('--size <size>', 'pixels, WIDTHxHEIGHT', '487x619')
    .option('--broken <share>', 'share of frames that are broken on purpose, 0 to 1', '0.12')
    .action(cli.run(detect));
}
