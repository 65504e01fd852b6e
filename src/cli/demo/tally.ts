// What the demo knows of each frame so far, and the figures made from it. Pure.
import type { Json, JsonObject, RunDocument, TriggerEvent } from '../../sdk/documents.ts';

export type FrameStatus = 'waiting' | 'running' | 'hit' | 'miss' | 'failed';

export interface FrameResult {
  readonly file: string;
  readonly spots: number | null;
  readonly status: FrameStatus;
  readonly preview: string | null;
  /** Why it failed, in one line. */
  readonly reason: string | null;
  /** From the file being whole to its result, in milliseconds; null while there is none. */
  readonly latency_ms: number | null;
}

export interface Figures {
  readonly files: number;
  readonly runs: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly hits: number;
  readonly misses: number;
  readonly latency_ms: { readonly p50: number | null; readonly p99: number | null };
}

function field(value: Json | undefined, name: string): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)[name]
    : undefined;
}

function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null;
}

/** The last line of a traceback says what happened; the lines before it, where. */
export function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1)?.trim() ?? '';
}

/** Finds the exception's text anywhere in a failed run's details: it lies as deep as the failed action put it. */
export function findReason(details: Json | undefined, depth = 0): string | null {
  if (depth > 8 || typeof details !== 'object' || details === null) return null;
  if (Array.isArray(details)) {
    for (const item of details as readonly Json[]) {
      const found = findReason(item, depth + 1);
      if (found !== null) return found;
    }
    return null;
  }
  const own = textOf(field(details, 'exception'));
  if (own !== null) return lastLine(own);
  for (const value of Object.values(details as JsonObject)) {
    const found = findReason(value, depth + 1);
    if (found !== null) return found;
  }
  return null;
}

function reasonOf(run: RunDocument): string {
  return findReason(run.details) ?? textOf(run.details?.description) ?? 'it failed without saying why';
}

function resultOf(file: string, run: RunDocument, written_at: number | undefined): FrameResult {
  const ended = run.completion_time === null ? null : Date.parse(run.completion_time);
  const latency_ms = ended === null || written_at === undefined ? null : Math.max(0, ended - written_at);
  const open = { file, spots: null, preview: null, reason: null, latency_ms };
  if (run.status === 'FAILED') return { ...open, status: 'failed', reason: reasonOf(run) };
  if (run.status !== 'SUCCEEDED') return { ...open, status: 'running' };
  const summary = field(run.details?.output, 'summary');
  const spots = field(summary, 'spots');
  return {
    ...open,
    spots: typeof spots === 'number' ? spots : null,
    status: field(summary, 'hit') === true ? 'hit' : 'miss',
    preview: textOf(field(summary, 'preview')),
  };
}

/** The state of every file that the detector wrote, by what the trigger stored and what its runs say. */
export function tally(
  written: ReadonlyMap<string, number>,
  events: readonly TriggerEvent[],
  runs: ReadonlyMap<string, RunDocument>,
): FrameResult[] {
  const runOf = new Map<string, RunDocument>();
  for (const event of events) {
    const name = textOf(field(field(event.event, 'data'), 'name')) ?? event.subject;
    const run = event.run_id === null ? undefined : runs.get(event.run_id);
    if (name !== null && run !== undefined) runOf.set(name, run);
  }
  const sorted = [...written].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([file, written_at]) => {
    const run = runOf.get(file);
    if (run === undefined) {
      return { file, spots: null, status: 'waiting', preview: null, reason: null, latency_ms: null };
    }
    return resultOf(file, run, written_at);
  });
}

/** The value below which `share` of the values lie, by nearest rank; null of none. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

export function figuresOf(results: readonly FrameResult[]): Figures {
  const count = (...statuses: readonly FrameStatus[]): number =>
    results.filter((result) => statuses.includes(result.status)).length;
  const latencies = results.flatMap((result) => result.latency_ms ?? []);
  return {
    files: results.length,
    runs: count('running', 'hit', 'miss', 'failed'),
    succeeded: count('hit', 'miss'),
    failed: count('failed'),
    hits: count('hit'),
    misses: count('miss'),
    latency_ms: { p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99) },
  };
}

/** Has every file come to its end? */
export function allEnded(results: readonly FrameResult[]): boolean {
  return results.every((result) => ['hit', 'miss', 'failed'].includes(result.status));
}
