// How many tasks of a function an executor may have, and which executor gets the next ones. Pure.
//
// Load is counted in batches: a batch is about 20 ms of work of one worker (run-time.ts), one task when tasks are
// slow or unknown. An executor may have one batch per worker and, of quick functions, a few that wait.
import { batchSize, prefetch, type RunTime } from '../run-time.ts';

/** Most tasks of one batch on the way to an executor; it cuts them further for its workers. */
const BATCH_TASKS = 128;
/** Executors looked at when there are many: the best of a few random ones is nearly the best of all. */
const SAMPLE = 8;

/** What placement needs to know of an executor. */
export interface Seat {
  readonly slots: number;
  /** Workers that are at a long task: nothing is sent to wait behind them. */
  readonly long: number;
  /** Its other tasks, by function. */
  readonly load: ReadonlyMap<string, number>;
}

/**
 * Batches an executor has of functions that queue no deeper than `depth`. Those of quicker functions do not count:
 * they are gone in a moment, and a backlog of them must not shut slower functions out.
 */
export function batchesAt(seat: Seat, depth: number, timeOf: (functionId: string) => RunTime): number {
  let batches = 0;
  for (const [functionId, tasks] of seat.load) {
    const time = timeOf(functionId);
    if (prefetch(time) <= depth) batches += tasks / batchSize(time, BATCH_TASKS);
  }
  return batches;
}

export interface Room {
  /** Tasks of this function that may be sent now; 0 when none should. */
  readonly tasks: number;
  /** How busy the executor is: batches per worker. */
  readonly busy: number;
}

/**
 * Room for tasks of one function, of which `waiting` wait. At most one batch per worker at a time, so that
 * executors take turns. While an executor still has work for every worker, it is only given a worthwhile number:
 * cutting chunks costs.
 */
export function roomFor(
  seat: Seat,
  time: RunTime,
  waiting: number,
  timeOf: (functionId: string) => RunTime,
): Room {
  const slots = Math.max(0, seat.slots - seat.long);
  const depth = prefetch(time);
  const batch = batchSize(time, BATCH_TASKS);
  const batches = batchesAt(seat, depth, timeOf);
  const limit = slots * (1 + depth);
  const free = Math.floor((limit - batches) * batch + 1e-6);
  const tasks = Math.max(0, Math.min(free, slots * batch, waiting));
  const worthwhile = Math.min(waiting, BATCH_TASKS, Math.ceil((limit * batch) / 4));
  const busy = slots === 0 ? Number.POSITIVE_INFINITY : batches / slots;
  return { tasks: busy >= 1 && tasks < worthwhile ? 0 : tasks, busy };
}

export interface Choice<S> {
  readonly seat: S;
  readonly tasks: number;
}

/** The least busy executor with room, at random among equals; null when none has room. */
export function chooseSeat<S>(
  seats: readonly S[],
  roomOf: (seat: S) => Room,
  fraction: () => number,
): Choice<S> | null {
  if (seats.length <= SAMPLE) return best(seats, roomOf, fraction);
  const sample = Array.from({ length: SAMPLE }, () => seats[Math.floor(fraction() * seats.length)] as S);
  return best(sample, roomOf, fraction) ?? best(seats, roomOf, fraction);
}

function best<S>(seats: readonly S[], roomOf: (seat: S) => Room, fraction: () => number): Choice<S> | null {
  let chosen: { seat: S; room: Room } | null = null;
  let equals = 0;
  for (const seat of seats) {
    const room = roomOf(seat);
    if (room.tasks === 0 || (chosen !== null && room.busy > chosen.room.busy)) continue;
    equals = chosen !== null && room.busy === chosen.room.busy ? equals + 1 : 1;
    if (equals === 1 || fraction() * equals < 1) chosen = { seat, room };
  }
  return chosen === null ? null : { seat: chosen.seat, tasks: chosen.room.tasks };
}
