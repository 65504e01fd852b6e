// Which worker gets which tasks next: functions take turns, idle workers come first, and nothing waits behind a
// slow task while it could run elsewhere. Pure.
import { encodeBatch, type BatchEntry } from '../../protocol/batch.ts';
import { batchSize, prefetch } from '../run-time.ts';
import { AT_WORKER, QUEUED } from './state.ts';
import type { ExecutorInstruction, ExecutorState, Frame, FunctionHere, Piece, Worker } from './state.ts';

const FRAME_TASKS = 64;
const FRAME_BYTES = 4 * 1024 * 1024;
const FRAMES_PER_WORKER = 2;
/** A frame should be 20 ms of work; nothing is put behind one that has taken this long. */
const OVERDUE_MS = 60;
/** Results waiting for the manager beyond which no new task is begun. */
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;

/** Gives every worker that can take it its next frame. */
export function feed(state: ExecutorState, now: number, out: ExecutorInstruction[]): void {
  if (state.stopping !== null || state.ring.length === 0 || state.slab_bytes > MAX_UNSENT_BYTES) return;
  for (let depth = 0; depth < FRAMES_PER_WORKER; depth++) {
    for (const worker of state.workers) {
      if (worker.phase !== 'ready' || worker.kill !== null || worker.frames.length !== depth) continue;
      if (depth > 0 && worker.halt !== null) continue;
      if (depth > 0 && !worker.frames.every((frame) => isQuick(frame, now))) continue;
      const fn = nextFunction(state, depth);
      if (fn === null) break;
      giveFrame(state, worker, fn, now, out);
    }
  }
}

/** Known to be short when it was sent, and not longer at it than that. */
function isQuick(frame: Frame, now: number): boolean {
  return frame.quick && prefetch(frame.fn.time) > 0 && now - frame.front_ms < OVERDUE_MS;
}

/** The next function in turn that has code and tasks; behind another frame only one known to be quick. */
function nextFunction(state: ExecutorState, depth: number): FunctionHere | null {
  for (let tried = state.ring.length; tried > 0; tried--) {
    const fn = state.ring.shift();
    if (fn === undefined) return null;
    if (fn.queued === 0) {
      fn.queue.length = 0;
      continue;
    }
    state.ring.push(fn);
    if (fn.code !== null && (depth === 0 || prefetch(fn.time) > 0)) return fn;
  }
  return null;
}

function giveFrame(
  state: ExecutorState,
  worker: Worker,
  fn: FunctionHere,
  now: number,
  out: ExecutorInstruction[],
): void {
  const code = fn.code;
  const cut = code === null ? null : cutFrame(fn, frameTasks(state, fn));
  if (code === null || cut === null) return;
  const { piece, entries } = cut;
  const { hand } = piece;
  const with_code = !worker.known.has(fn.id);
  if (with_code) {
    worker.known.add(fn.id);
    out.push({ kind: 'function', slot: worker.slot, function_id: fn.id, code });
  }
  if (worker.halt !== null) {
    worker.halt = null;
    out.push({ kind: 'halt', slot: worker.slot, halted: false });
  }
  for (const entry of entries) hand.place[entry.index] = AT_WORKER + worker.slot;
  fn.queued -= entries.length;
  fn.frames++;
  worker.frames.push({ hand, fn, entries, front_ms: now, with_code, quick: prefetch(fn.time) > 0 });
  const whole = entries.length === piece.entries.length ? piece.batch : null;
  const batch = whole ?? encodeBatch(entries);
  out.push({
    kind: 'frame',
    slot: worker.slot,
    chunk: hand.chunk,
    epoch: hand.epoch,
    function_id: fn.id,
    options: hand.options_text,
    batch,
  });
}

/** About 20 ms of work, and never more than a worker's fair share of what waits. */
function frameTasks(state: ExecutorState, fn: FunctionHere): number {
  const ready = state.workers.filter((worker) => worker.phase === 'ready').length;
  return Math.min(batchSize(fn.time, FRAME_TASKS), Math.ceil(fn.queued / Math.max(1, ready)));
}

/** Takes up to `most` tasks of one chunk off a function's queue. */
function cutFrame(fn: FunctionHere, most: number): { piece: Piece; entries: BatchEntry[] } | null {
  for (let piece = fn.queue[0]; piece !== undefined; piece = fn.queue[0]) {
    const entries: BatchEntry[] = [];
    let bytes = 0;
    while (piece.at < piece.entries.length && entries.length < most) {
      const entry = piece.entries[piece.at];
      if (entry === undefined) break;
      if (piece.hand.place[entry.index] === QUEUED) {
        if (entries.length > 0 && bytes + entry.payload.byteLength > FRAME_BYTES) break;
        bytes += entry.payload.byteLength;
        entries.push(entry);
      }
      piece.at++;
    }
    if (piece.at >= piece.entries.length) fn.queue.shift();
    if (entries.length > 0) return { piece, entries };
  }
  return null;
}
