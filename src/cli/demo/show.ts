// How the demo shows itself: a line of progress while it runs, a table and the next steps at the end.
import Table from 'cli-table3';
import pc from 'picocolors';
import type { Figures, FrameResult, FrameStatus } from './tally.ts';

const PAINT: Readonly<Record<FrameStatus, (text: string) => string>> = {
  waiting: (text) => pc.dim(text),
  running: (text) => pc.cyan(text),
  hit: (text) => pc.green(text),
  miss: (text) => text,
  failed: (text) => pc.red(text),
};

/** Rows of the summary table; more frames than this are counted only. */
const MOST_ROWS = 40;
/** Files left out that are named; more are counted only. */
const MOST_SKIPPED = 5;
/** Without a terminal, progress is written this seldom. */
const QUIET_LINE_MS = 2_000;

const ms = (value: number | null): string => (value === null ? '–' : `${Math.round(value)} ms`);

export function progressText(figures: Figures, tasks: number): string {
  return (
    `files ${figures.files} · runs ${figures.runs} · tasks ${tasks} · hits ${figures.hits} · misses ${figures.misses} · ` +
    `failures ${figures.failed} · latency p50 ${ms(figures.latency_ms.p50)} p99 ${ms(figures.latency_ms.p99)}`
  );
}

export interface ProgressLine {
  show(text: string): void;
  end(): void;
}

/** One line that is written over on a terminal, and now and then a line elsewhere. */
export function makeProgressLine(stream: NodeJS.WriteStream, now: () => number): ProgressLine {
  let last = '';
  let written_ms = -Infinity;
  return {
    show(text) {
      if (text === last) return;
      last = text;
      if (stream.isTTY) stream.write(`\r\x1b[2K${text.slice(0, Math.max(20, stream.columns - 1))}`);
      else if (now() - written_ms >= QUIET_LINE_MS) {
        written_ms = now();
        stream.write(`${text}\n`);
      }
    },
    end() {
      if (stream.isTTY && last !== '') stream.write('\n');
    },
  };
}

export function summaryTable(results: readonly FrameResult[]): string {
  const table = new Table({
    head: ['frame', 'result', 'spots', 'latency', ''],
    colAligns: ['left', 'left', 'right', 'right', 'left'],
    style: { head: [], border: [], compact: true },
  });
  for (const result of results.slice(0, MOST_ROWS)) {
    table.push([
      result.file,
      PAINT[result.status](result.status),
      result.spots ?? '',
      ms(result.latency_ms),
      result.reason?.slice(0, 70) ??
        (result.preview === null ? '' : (result.preview.split('/').at(-1) ?? '')),
    ]);
  }
  const more = results.length - MOST_ROWS;
  return more > 0 ? `${table.toString()}\n… and ${more} more` : table.toString();
}

export interface Ending {
  readonly figures: Figures;
  readonly tasks: number;
  readonly preview_dir: string;
  readonly kept_home: string | null;
  readonly skipped: readonly { readonly source: string; readonly why: string }[];
}

export function endingText(ending: Ending): string {
  const { figures } = ending;
  const lines = [
    '',
    `${figures.files} files started ${figures.runs} runs with ${ending.tasks} tasks: ${figures.hits} hits, ` +
      `${figures.misses} misses, ${figures.failed} failed. From a whole file to its result: ` +
      `p50 ${ms(figures.latency_ms.p50)}, p99 ${ms(figures.latency_ms.p99)}.`,
  ];
  for (const { source, why } of ending.skipped.slice(0, MOST_SKIPPED))
    lines.push(`left out: ${source} (${why})`);
  const unseen = ending.skipped.length - MOST_SKIPPED;
  if (unseen > 0) lines.push(`left out: ${unseen} more`);
  if (figures.hits > 0) lines.push(`Previews with the spots marked: ${ending.preview_dir}`);
  if (ending.kept_home !== null) lines.push(`Everything is kept in ${ending.kept_home}`);
  lines.push(
    '',
    'Try next:',
    '  npm run demo -- --input DIR      the same over your own frames (CBF, TIFF, EDF, SMV, HDF5)',
    '  npm start                        the same stack for use; then, in another terminal:',
    '  npm run pilotwave -- doctor      is everything there?',
    '  examples/stills.py               the function that ran; examples/stills-flow.json, the flow',
    '',
  );
  return lines.join('\n');
}
