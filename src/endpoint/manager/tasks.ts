// The way of tasks through a manager: in from the service, to executors and back, out as results. Each task of a
// chunk is in one place at a time, and only here does it change. Pure.
import { decodeBatch, type BatchEntry } from '../../protocol/batch.ts';
import { decodeSlab, encodeSlab, scanSlab, systemResult } from '../../protocol/slab.ts';
import type { BatchPart, SlabPart, StartedTask, TaskRefs, WorkerFacts } from '../../protocol/messages.ts';
import { observe } from '../run-time.ts';
import {
  FIRST_EXECUTOR,
  forgetIfDone,
  functionHere,
  hold,
  markRoomy,
  NOWHERE,
  QUEUED,
  reopenRoomy,
  SPOOLED,
} from './state.ts';
import type { Executor, Held, ManagerInstruction, ManagerState } from './state.ts';

const DEFAULT_MAX_ATTEMPTS = 3;
/** What a manager takes from its service before it leaves further deliveries unanswered. */
const MAX_HELD_BYTES = 512 * 1024 * 1024;
const MAX_HELD_CHUNKS = 100_000;
const MAX_CANCELLED_CHUNKS = 10_000;

type Out = ManagerInstruction[];

/** Takes a delivery. False when there is no room for it or it is malformed: it stays unanswered and comes again. */
export function takeBatch(state: ManagerState, part: BatchPart, batch: Buffer, out: Out): boolean {
  if (state.held_bytes > MAX_HELD_BYTES || state.chunks.size >= MAX_HELD_CHUNKS) {
    out.push({
      kind: 'log',
      level: 'warn',
      text: `no room for chunk ${part.chunk}: too many tasks are here already`,
    });
    return false;
  }
  let all: BatchEntry[];
  try {
    all = decodeBatch(batch);
  } catch (error) {
    out.push({ kind: 'log', level: 'error', text: `chunk ${part.chunk} is malformed: ${String(error)}` });
    return false;
  }
  const known = state.chunks.get(part.chunk);
  if (known !== undefined && part.epoch < known.epoch) return true;
  const held = hold(state, part.chunk, part.epoch);
  learnFunction(state, held, part);
  const fresh: number[] = [];
  for (const entry of all) {
    const place = held.place[entry.index];
    if (place === undefined || place === SPOOLED) continue;
    if (held.entries[entry.index] === undefined) learnEntry(state, held, entry);
    if (place !== NOWHERE) continue;
    open(state, held);
    fresh.push(entry.index);
  }
  toQueue(state, held, fresh, fresh.length === all.length ? batch : null, 'back');
  forgetIfDone(state, held);
  return true;
}

function learnEntry(state: ManagerState, held: Held, entry: BatchEntry): void {
  held.entries[entry.index] = entry;
  state.held_bytes += entry.payload.byteLength;
  const executor = state.byNumber.get(held.place[entry.index] ?? NOWHERE);
  if (executor !== undefined) executor.bytes += entry.payload.byteLength;
}

/** An adopted chunk learns from its re-delivery which function it is of. */
function learnFunction(state: ManagerState, held: Held, part: BatchPart): void {
  if (held.fn !== null) return;
  held.fn = functionHere(state, part.function_id);
  held.options = part.options;
  held.fn.open += held.open;
  held.place.forEach((place, index) => {
    const executor = state.byNumber.get(place);
    if (executor === undefined || held.started?.has(index) === true) return;
    changeLoad(executor, '', -1);
    changeLoad(executor, part.function_id, 1);
  });
}

/** An executor's task has run for longer than a moment. False when that is no news. */
export function noteStarted(executor: Executor, held: Held, task: StartedTask): boolean {
  held.started ??= new Map();
  const news = !held.started.has(task.index);
  held.started.set(task.index, task);
  if (!news) return false;
  executor.long++;
  changeLoad(executor, held.fn?.id ?? '', -1);
  return true;
}

function open(state: ManagerState, held: Held): void {
  held.open++;
  state.open++;
  if (held.fn !== null) held.fn.open++;
}

/** Queues tasks that are open and in no place. `batch` is the bytes of exactly these, when they exist. */
function toQueue(
  state: ManagerState,
  held: Held,
  indexes: readonly number[],
  batch: Buffer | null,
  where: 'front' | 'back',
): void {
  const { fn } = held;
  if (fn === null || indexes.length === 0) return;
  for (const index of indexes) held.place[index] = QUEUED;
  if (where === 'front') fn.queue.unshift({ held, indexes, batch });
  else fn.queue.push({ held, indexes, batch });
  fn.queued += indexes.length;
  state.queued += indexes.length;
  if (fn.ringed) return;
  fn.ringed = true;
  state.ring.push(fn);
  reopenRoomy(state);
}

function changeLoad(executor: Executor, functionId: string, by: number): void {
  const load = (executor.load.get(functionId) ?? 0) + by;
  if (load <= 0) executor.load.delete(functionId);
  else executor.load.set(functionId, load);
}

/** Notes that an executor has these tasks. They must be open and in no place or queued. */
export function assign(
  state: ManagerState,
  executor: Executor,
  held: Held,
  indexes: readonly number[],
): void {
  for (const index of indexes) {
    detach(state, held, index);
    held.place[index] = executor.number;
    executor.bytes += held.entries[index]?.payload.byteLength ?? 0;
  }
  executor.tasks += indexes.length;
  executor.idle_since_ms = null;
  changeLoad(executor, held.fn?.id ?? '', indexes.length);
  executor.chunks.set(held.chunk, (executor.chunks.get(held.chunk) ?? 0) + indexes.length);
}

/** Takes an open task out of its place, queue or executor; it stays open. */
function detach(state: ManagerState, held: Held, index: number): void {
  const place = held.place[index] ?? NOWHERE;
  if (place === QUEUED) {
    state.queued--;
    if (held.fn !== null) held.fn.queued--;
  } else if (place >= FIRST_EXECUTOR) {
    const executor = state.byNumber.get(place);
    if (executor !== undefined) detachFrom(state, executor, held, index);
  }
  held.place[index] = NOWHERE;
}

function detachFrom(state: ManagerState, executor: Executor, held: Held, index: number): void {
  executor.tasks--;
  executor.bytes -= held.entries[index]?.payload.byteLength ?? 0;
  if (held.started?.delete(index) === true) executor.long--;
  else changeLoad(executor, held.fn?.id ?? '', -1);
  const left = (executor.chunks.get(held.chunk) ?? 0) - 1;
  if (left <= 0) executor.chunks.delete(held.chunk);
  else executor.chunks.set(held.chunk, left);
  markRoomy(state, executor);
}

/** Ends a task here: it is open no more. */
function close(state: ManagerState, held: Held, index: number): void {
  detach(state, held, index);
  held.open--;
  state.open--;
  if (held.fn !== null) held.fn.open--;
  const bytes = held.entries[index]?.payload.byteLength ?? 0;
  held.entries[index] = undefined;
  state.held_bytes -= bytes;
}

function isOpen(held: Held, index: number): boolean {
  const place = held.place[index];
  return place !== undefined && place !== NOWHERE && place !== SPOOLED;
}

/** Takes one result slab from an executor: each task's first result counts, any other is dropped. */
export function takeSlab(
  state: ManagerState,
  part: SlabPart,
  slab: Buffer,
  facts: WorkerFacts | null,
  out: Out,
): void {
  const held = state.chunks.get(part.chunk);
  if (held === undefined) return;
  let scanned: ReturnType<typeof scanSlab>;
  try {
    scanned = scanSlab(slab);
  } catch (error) {
    out.push({
      kind: 'log',
      level: 'error',
      text: `a result of chunk ${part.chunk} is malformed: ${String(error)}`,
    });
    return;
  }
  const indexes = scanned.indexes.filter((index) => isOpen(held, index));
  if (indexes.length === 0) return;
  if (held.fn !== null) observe(held.fn.time, scanned.indexes.length, scanned.duration_s);
  finish(
    state,
    held,
    indexes,
    indexes.length === scanned.indexes.length ? slab : only(slab, indexes),
    part.worker,
    facts,
  );
}

/** The slab of some of a slab's tasks. */
function only(slab: Buffer, indexes: readonly number[]): Buffer {
  const wanted = new Set(indexes);
  return encodeSlab(decodeSlab(slab).filter((entry) => wanted.delete(entry.index)));
}

function finish(
  state: ManagerState,
  held: Held,
  indexes: readonly number[],
  slab: Buffer,
  worker: string,
  facts: WorkerFacts | null,
): void {
  for (const index of indexes) {
    close(state, held, index);
    held.place[index] = SPOOLED;
  }
  held.spooled += indexes.length;
  const part = { chunk: held.chunk, epoch: held.epoch, worker, bytes: slab.length };
  state.finished.push({ part, indexes, slab, facts });
  state.finished_bytes += slab.length;
}

/** Why a task comes back, and whether it was the reason. */
export interface ComeBack {
  readonly blamed: boolean;
  readonly code: 'KILLED_WORKERS' | 'EXECUTOR_LOST';
  readonly reason: string;
}

/**
 * Tasks come back unfinished: blamed ones get another attempt behind the others, or their end when they had their
 * last; the rest go first. Tasks whose batch is not here are left to the service. Answers how many those are.
 */
export function comeBack(
  state: ManagerState,
  held: Held,
  indexes: readonly number[],
  why: ComeBack,
  now: number,
): number {
  const again: number[] = [];
  let lost = 0;
  for (const index of indexes) {
    if (!isOpen(held, index)) continue;
    const entry = held.entries[index];
    if (entry === undefined || held.fn === null) {
      close(state, held, index);
      lost++;
      continue;
    }
    if (why.blamed && entry.attempt >= (held.options.max_attempts ?? DEFAULT_MAX_ATTEMPTS)) {
      giveUp(state, held, index, entry.attempt, why, now);
      continue;
    }
    detach(state, held, index);
    if (why.blamed) held.entries[index] = { ...entry, attempt: entry.attempt + 1 };
    again.push(index);
  }
  toQueue(state, held, again, null, why.blamed ? 'back' : 'front');
  forgetIfDone(state, held);
  return lost;
}

function giveUp(
  state: ManagerState,
  held: Held,
  index: number,
  attempts: number,
  why: ComeBack,
  now: number,
): void {
  const times = attempts === 1 ? 'once' : `${attempts} times`;
  const message =
    why.code === 'KILLED_WORKERS'
      ? `The task was started ${times} and each time its worker process died: ${why.reason}. ` +
        'Most likely the function ends its process or needs more memory than there is.'
      : `The task was started ${times} and each time its executor was lost: ${why.reason}.`;
  const slab = encodeSlab([systemResult(index, attempts, 'system_failure', why.code, message, now / 1000)]);
  finish(state, held, [index], slab, '', null);
}

/** Ends tasks without a result. Answers what executors must be told. */
export function cancelTasks(state: ManagerState, tasks: TaskRefs): Map<Executor, number[]> {
  const running = new Map<Executor, number[]>();
  remember(state, tasks);
  const held = state.chunks.get(tasks.chunk);
  if (held === undefined) return running;
  for (const index of tasks.indexes) {
    if (!isOpen(held, index)) continue;
    const executor = state.byNumber.get(held.place[index] ?? NOWHERE);
    if (executor !== undefined) running.set(executor, [...(running.get(executor) ?? []), index]);
    close(state, held, index);
  }
  forgetIfDone(state, held);
  return running;
}

function remember(state: ManagerState, tasks: TaskRefs): void {
  const known = state.cancelled.get(tasks.chunk) ?? new Set<number>();
  for (const index of tasks.indexes) known.add(index);
  state.cancelled.delete(tasks.chunk);
  state.cancelled.set(tasks.chunk, known);
  const oldest = state.cancelled.keys().next();
  if (state.cancelled.size > MAX_CANCELLED_CHUNKS && oldest.done !== true)
    state.cancelled.delete(oldest.value);
}

/** Takes over a task that an executor says it has. False when the executor should drop it. */
export function adopt(
  state: ManagerState,
  executor: Executor,
  chunk: string,
  epoch: number,
  index: number,
): boolean {
  if (state.cancelled.get(chunk)?.has(index) === true) return false;
  const held = hold(state, chunk, epoch);
  const place = held.place[index];
  if (place === undefined || place === SPOOLED) return place !== undefined;
  if (place === executor.number) return true;
  // Another executor runs it already: one copy is enough.
  if (place >= FIRST_EXECUTOR) return false;
  if (place === NOWHERE) open(state, held);
  assign(state, executor, held, [index]);
  return true;
}

/** A results message is stored at the service: its tasks are no more our concern. */
export function acknowledge(state: ManagerState, seq: number): boolean {
  const refs = state.sent.get(seq);
  if (refs === undefined) return false;
  state.sent.delete(seq);
  for (const { chunk, indexes } of refs) {
    const held = state.chunks.get(chunk);
    if (held === undefined) continue;
    for (const index of indexes) {
      if (held.place[index] !== SPOOLED) continue;
      held.place[index] = NOWHERE;
      held.spooled--;
    }
    forgetIfDone(state, held);
  }
  return true;
}
