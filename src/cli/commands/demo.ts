// `pilotwave demo`: an instrument's files become results, for real, in a throw-away home.
import { chmod, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { copyFrames } from '../../demo/copy-frames.ts';
import { planFrames, runDetector } from '../../demo/virtual-detector.ts';
import { messageOf } from '../../errors.ts';
import { makeLogger } from '../../log.ts';
import { makeClient } from '../../sdk/client.ts';
import { demoPlaces, makeObserver, setUp } from '../demo/scenario.ts';
import { endingText, makeProgressLine, progressText, summaryTable } from '../demo/show.ts';
import { allEnded, figuresOf, tally, type FrameResult } from '../demo/tally.ts';
import { CliError, EXIT, usageError, type ExitCode } from '../exit.ts';
import { readSettings } from '../stack/settings.ts';
import { firstSignal } from '../stack/signals.ts';
import { startStack } from '../stack/stack.ts';

interface DemoOptions {
  readonly input?: string;
  readonly json?: boolean;
  readonly keep?: boolean;
  readonly frames: string;
}

const LOOK_MS = 200;
/** Frames the virtual detector takes a second, and how long one that is written in place grows. */
const RATE_HZ = 4;
const SLOW_MS = 1_200;
/** After the last file, results are waited for so long. */
const PATIENCE_MS = 120_000;

interface Written {
  /** File name → when it was whole. */
  readonly files: Map<string, number>;
  readonly skipped: { readonly source: string; readonly why: string }[];
  done: boolean;
}

/** Runs the detector, or copies the user's frames, into the drop folder. */
function startDetector(
  options: DemoOptions,
  dir: string,
  signal: AbortSignal,
): { written: Written; finished: Promise<void> } {
  const written: Written = { files: new Map(), skipped: [], done: false };
  const work = async (): Promise<void> => {
    if (options.input === undefined) {
      await runDetector(planFrames({ count: Number(options.frames), seed: 20 }), {
        dir,
        rate_hz: RATE_HZ,
        slow_ms: SLOW_MS,
        signal,
        onWritten: (frame) => written.files.set(frame.frame.name, frame.written_at),
      });
    } else {
      const copied = await copyFrames(resolve(options.input), {
        dir,
        rate_hz: 0,
        signal,
        onWritten: (frame) => written.files.set(frame.name, frame.written_at),
      });
      written.skipped.push(...copied.skipped);
    }
    written.done = true;
  };
  return { written, finished: work() };
}

interface Outcome {
  readonly results: readonly FrameResult[];
  readonly tasks: number;
  readonly written: Written;
}

/** Watches until every file has its result, showing how it goes. */
async function watch(
  detector: ReturnType<typeof startDetector>,
  look: ReturnType<typeof makeObserver>,
  signal: AbortSignal,
): Promise<Outcome> {
  const { written, finished } = detector;
  const line = makeProgressLine(process.stderr, () => performance.now());
  let failure: Error | null = null;
  finished.catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(messageOf(error));
  });
  let last_change_ms = performance.now();
  let shown = '';
  for (;;) {
    const seen = await look();
    const results = tally(written.files, seen.events, seen.runs);
    const text = progressText(figuresOf(results), seen.tasks);
    line.show(text);
    if (text !== shown) last_change_ms = performance.now();
    shown = text;
    // Set by the handler above, which the compiler does not follow.
    if ((failure as Error | null) !== null) throw failure as unknown as Error;
    const over = written.done && allEnded(results);
    if (over || signal.aborted || performance.now() - last_change_ms > PATIENCE_MS) {
      line.end();
      return { results, tasks: seen.tasks, written };
    }
    await new Promise((wake) => setTimeout(wake, LOOK_MS));
  }
}

/** The previews outlive the home, in a folder of their own. */
async function savePreviews(from: string): Promise<string> {
  const to = await mkdtemp(join(tmpdir(), 'pilotwave-previews-'));
  await cp(from, to, { recursive: true }).catch(() => undefined);
  return to;
}

function jsonLine({ results, tasks }: Outcome): string {
  return JSON.stringify({
    ...figuresOf(results),
    tasks,
    results: results.map(({ file, spots, status, reason }) => ({
      file,
      spots,
      status,
      ...(reason === null ? {} : { reason }),
    })),
  });
}

async function show(
  options: DemoOptions,
  outcome: Outcome,
  home: string,
  preview_dir: string,
): Promise<void> {
  const figures = figuresOf(outcome.results);
  const kept = options.keep === true;
  const ending = {
    figures,
    tasks: outcome.tasks,
    preview_dir: kept || figures.hits === 0 ? preview_dir : await savePreviews(preview_dir),
    kept_home: kept ? home : null,
    skipped: outcome.written.skipped,
  };
  const table = `${summaryTable(outcome.results)}\n${endingText(ending)}`;
  // With --json the standard output holds the one line of JSON and nothing after it.
  if (options.json === true) process.stderr.write(table);
  else process.stdout.write(table);
  if (options.json === true) process.stdout.write(`${jsonLine(outcome)}\n`);
}

async function run(options: DemoOptions, home: string, signal: AbortSignal): Promise<ExitCode> {
  const say = (what: string): boolean => process.stderr.write(`${what} …\n`);
  const stack = await startStack({
    home,
    port: 0,
    settings: readSettings(process.env),
    disposable: true,
    log: makeLogger('service', 'info', join(home, 'log', 'service.log')),
    onProgress: say,
  });
  try {
    const client = makeClient({ url: stack.service.url, token: stack.token });
    const places = demoPlaces(home);
    say('registering the functions, the flow and the trigger');
    const scenario = await setUp(client, { ...places, endpoint_id: stack.endpoint_id });
    say(
      options.input === undefined
        ? 'the virtual detector writes frames'
        : `copying frames from ${options.input}`,
    );
    const detector = startDetector(options, places.drop_dir, signal);
    const outcome = await watch(detector, makeObserver(client, scenario), signal);
    if (signal.aborted) return EXIT.interrupted;
    await show(options, outcome, home, places.preview_dir);
    if (outcome.results.length === 0) {
      throw new CliError(EXIT.failed, 'There was no frame to work on.', {
        remedy: 'give a folder with frames: npm run demo -- --input DIR',
      });
    }
    return allEnded(outcome.results) ? EXIT.ok : EXIT.failed;
  } finally {
    await stack.stop();
  }
}

async function demo(options: DemoOptions): Promise<void> {
  const frames = Number(options.frames);
  if (!Number.isInteger(frames) || frames < 1 || frames > 100_000) {
    throw usageError(`--frames is not a number of frames: ${options.frames}`);
  }
  const home = await mkdtemp(join(tmpdir(), 'pilotwave-demo-'));
  // As root, PostgreSQL runs as another user and must be able to enter.
  await chmod(home, 0o711);
  const abort = new AbortController();
  void firstSignal().then(() => abort.abort());
  let code: ExitCode = EXIT.failed;
  try {
    code = await run(options, home, abort.signal);
  } finally {
    if (options.keep !== true) await rm(home, { recursive: true, force: true, maxRetries: 5 });
  }
  process.exit(code);
}

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('show all of it in a throw-away home: frames in, analysis out')
    .option('--input <dir>', 'work on copies of the frames in this folder instead of simulated ones')
    .option('--frames <n>', 'frames the virtual detector writes', '24')
    .option('--json', 'end with one line of JSON')
    .option('--keep', 'keep the home, to look into it')
    .action(demo);
}
