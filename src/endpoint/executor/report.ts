// What an executor tells its manager, and how it knows that it arrived. The manager answers each heartbeat after
// it has put away all results that came before it, so that an answer confirms them. Pure.
import type { WorkerFacts } from '../../protocol/messages.ts';
import { heldTasks, type ExecutorInstruction, type ExecutorState, type Finished } from './state.ts';

const MESSAGE_SLABS = 64;
const MESSAGE_BYTES = 8 * 1024 * 1024;
/** Unconfirmed results kept to be sent again; the oldest are given up, and their tasks run again if they were lost. */
const UNCONFIRMED_BYTES = 16 * 1024 * 1024;
/** Unconfirmed results that make an early heartbeat worth while. */
const PROBE_BYTES = 2 * 1024 * 1024;

type Out = ExecutorInstruction[];

/** Opens the conversation on a new connection. */
export function sendHello(state: ExecutorState, now: number, out: Out): void {
  state.hello_ms = now;
  const slots = state.workers.length;
  const message = { kind: 'executor.hello', ...state.facts, slots, held: heldTasks(state) } as const;
  out.push({ kind: 'send', message, parts: [] });
}

/** The manager knows us: what it may not have received is sent again. */
export function onWelcome(state: ExecutorState, heartbeat_ms: number, now: number): void {
  state.heartbeat_ms = heartbeat_ms;
  state.linked = true;
  state.beat_ms = now;
  state.marks.length = 0;
  state.slab_bytes += state.unconfirmed_bytes;
  state.slabs = [...state.unconfirmed, ...state.slabs];
  state.unconfirmed = [];
  state.unconfirmed_bytes = 0;
  // What runs is announced again: the manager may be another one.
  for (const worker of state.workers) worker.announced = '';
}

export function sendHeartbeat(state: ExecutorState, now: number, out: Out): void {
  state.beat_ms = now;
  state.marks.push(state.serial);
  const idle = state.workers.filter(
    (worker) => worker.phase === 'ready' && worker.frames.length === 0,
  ).length;
  let queued = 0;
  for (const fn of state.ring) queued += fn.queued;
  out.push({ kind: 'send', message: { kind: 'executor.heartbeat', idle, queued }, parts: [] });
}

/** The manager answered a heartbeat: what was sent before it has arrived. */
export function onHeartbeatAnswer(state: ExecutorState): void {
  const mark = state.marks.shift();
  if (mark === undefined) return;
  dropUnconfirmed(state, (oldest) => oldest <= mark);
}

/** Sends what was gathered, in as few messages as their bounds allow. */
export function flush(state: ExecutorState, now: number, out: Out): void {
  if (!state.linked || state.slabs.length === 0) return;
  let batch: Finished[] = [];
  let bytes = 0;
  for (const finished of state.slabs) {
    if (batch.length >= MESSAGE_SLABS || (batch.length > 0 && bytes + finished.part.bytes > MESSAGE_BYTES)) {
      sendResults(batch, out);
      batch = [];
      bytes = 0;
    }
    batch.push(finished);
    bytes += finished.part.bytes;
    state.serial++;
    state.unconfirmed.push({ ...finished, serial: state.serial });
    state.unconfirmed_bytes += finished.part.bytes;
  }
  sendResults(batch, out);
  state.slabs = [];
  state.slab_bytes = 0;
  dropUnconfirmed(state, () => state.unconfirmed_bytes > UNCONFIRMED_BYTES);
  if (state.unconfirmed_bytes > PROBE_BYTES && state.marks.length === 0) sendHeartbeat(state, now, out);
}

function sendResults(batch: readonly Finished[], out: Out): void {
  const workers: Record<string, WorkerFacts> = {};
  for (const { part, facts } of batch) if (facts !== null) workers[part.worker] = facts;
  const message = { kind: 'tasks.results', workers, slabs: batch.map(({ part }) => part) } as const;
  out.push({ kind: 'send', message, parts: batch.map(({ slab }) => slab) });
}

function dropUnconfirmed(state: ExecutorState, goes: (serial: number) => boolean): void {
  let count = 0;
  for (const { serial, part } of state.unconfirmed) {
    if (!goes(serial)) break;
    state.unconfirmed_bytes -= part.bytes;
    count++;
  }
  if (count > 0) state.unconfirmed = state.unconfirmed.slice(count);
}
