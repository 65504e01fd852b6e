// From queues to executors: functions take turns, chunks travel whole when they fit. Pure.
import { encodeBatch, type BatchEntry } from '../../protocol/batch.ts';
import type { BatchPart, FunctionPart } from '../../protocol/messages.ts';
import type { RunTime } from '../run-time.ts';
import { fractionOf, nextSeed } from './chance.ts';
import { chooseSeat, roomFor } from './placement.ts';
import { functionHere, QUEUED, shutRoomy } from './state.ts';
import type { Executor, FunctionHere, Held, ManagerInstruction, ManagerState, Piece } from './state.ts';
import { assign } from './tasks.ts';

/** Payload bytes an executor may have; a single larger task still goes to one that has nothing. */
const EXECUTOR_BYTES = 64 * 1024 * 1024;
/** Payload bytes of one message. */
const MESSAGE_BYTES = 8 * 1024 * 1024;
/** Results on disk beyond which no task is begun. */
const MAX_UNACKNOWLEDGED_MESSAGES = 50_000;

type Out = ManagerInstruction[];

interface Parcel {
  readonly functions: FunctionPart[];
  readonly codes: Buffer[];
  readonly batches: BatchPart[];
  readonly bodies: Buffer[];
}

/** Gives executors what they have room for. */
export function dispatch(state: ManagerState, out: Out): void {
  if (state.ring.length === 0 || state.stopping !== null || state.disk_trouble !== null) return;
  if (state.sent.size > MAX_UNACKNOWLEDGED_MESSAGES) return;
  const parcels = new Map<Executor, Parcel>();
  let refused = 0;
  while (refused < state.ring.length) {
    const fn = state.ring.shift();
    if (fn === undefined) break;
    if (fn.queued === 0) {
      fn.queue.length = 0;
      fn.ringed = false;
      continue;
    }
    state.ring.push(fn);
    if (fn.code !== null && giveTurn(state, fn, parcels)) refused = 0;
    else refused++;
  }
  // Every function that waits was offered to every executor: they are looked at again when something changes.
  if (refused > 0) shutRoomy(state);
  for (const [executor, parcel] of parcels) send(executor, parcel, out);
}

/** One function's turn: one executor gets some of its tasks. False when none has room. */
function giveTurn(state: ManagerState, fn: FunctionHere, parcels: Map<Executor, Parcel>): boolean {
  const timeOf = (id: string): RunTime => (id === fn.id ? fn.time : functionHere(state, id).time);
  const choice = chooseSeat(
    state.roomy,
    (executor) => (mayTake(executor) ? roomFor(executor, fn.time, fn.queued, timeOf) : { tasks: 0, busy: 0 }),
    () => fractionOf((state.seed = nextSeed(state.seed))),
  );
  if (choice === null) return false;
  const executor = choice.seat;
  const parcel = parcels.get(executor) ?? { functions: [], codes: [], batches: [], bodies: [] };
  const taken = fill(state, fn, executor, choice.tasks, parcel);
  if (taken > 0) parcels.set(executor, parcel);
  return taken > 0;
}

function mayTake(executor: Executor): boolean {
  if (executor.peer === null || executor.stopping) return false;
  return executor.tasks === 0 || executor.bytes < EXECUTOR_BYTES;
}

/** Moves up to `most` tasks of a function into a parcel. */
function fill(
  state: ManagerState,
  fn: FunctionHere,
  executor: Executor,
  most: number,
  parcel: Parcel,
): number {
  let taken = 0;
  let bytes = 0;
  while (taken < most && bytes < MESSAGE_BYTES) {
    const piece = fn.queue[0];
    if (piece === undefined) break;
    const indexes = piece.indexes.filter((index) => piece.held.place[index] === QUEUED);
    const room = most - taken;
    const whole = piece.batch !== null && indexes.length === piece.indexes.length;
    // A whole chunk is worth waiting for: the next turn has room for it.
    if (whole && indexes.length > room && taken > 0) break;
    fn.queue.shift();
    if (indexes.length === 0) continue;
    const now = fits(piece.held, indexes, room, MESSAGE_BYTES - bytes);
    if (now.length < indexes.length) {
      fn.queue.unshift({ held: piece.held, indexes: indexes.slice(now.length), batch: null });
    }
    const body = bodyOf(piece, now);
    addBatch(parcel, fn, executor, piece.held, body);
    assign(state, executor, piece.held, now);
    taken += now.length;
    bytes += body.length;
  }
  return taken;
}

/** The first tasks that fit by number and bytes; always at least one. */
function fits(held: Held, indexes: readonly number[], room: number, room_bytes: number): readonly number[] {
  let count = 0;
  let bytes = 0;
  for (const index of indexes) {
    bytes += held.entries[index]?.payload.byteLength ?? 0;
    if (count > 0 && (count >= room || bytes > room_bytes)) break;
    count++;
  }
  return count === indexes.length ? indexes : indexes.slice(0, count);
}

function bodyOf(piece: Piece, indexes: readonly number[]): Buffer {
  if (piece.batch !== null && indexes.length === piece.indexes.length) return piece.batch;
  const entries = indexes.map((index) => piece.held.entries[index]);
  return encodeBatch(entries.filter((entry): entry is BatchEntry => entry !== undefined));
}

function addBatch(parcel: Parcel, fn: FunctionHere, executor: Executor, held: Held, body: Buffer): void {
  if (fn.code !== null && !executor.known.has(fn.id)) {
    executor.known.add(fn.id);
    parcel.functions.push({ function_id: fn.id, bytes: fn.code.length });
    parcel.codes.push(fn.code);
  }
  const { chunk, epoch, options } = held;
  parcel.batches.push({ chunk, epoch, function_id: fn.id, options, bytes: body.length });
  parcel.bodies.push(body);
}

function send(executor: Executor, parcel: Parcel, out: Out): void {
  const { peer } = executor;
  if (peer === null) return;
  if (parcel.functions.length > 0) {
    out.push({
      kind: 'to_executor',
      peer,
      message: { kind: 'functions', functions: parcel.functions },
      parts: parcel.codes,
    });
  }
  out.push({
    kind: 'to_executor',
    peer,
    message: { kind: 'tasks.run', batches: parcel.batches },
    parts: parcel.bodies,
  });
}
