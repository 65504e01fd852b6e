// The executor's decisions: step(state, event, now) changes the state in place and answers what the shell must
// do. Same state, event and time give the same answer; nothing here waits, reads a clock or does I/O.
import { decodeBatch, type BatchEntry } from '../../protocol/batch.ts';
import { assertNever } from '../../errors.ts';
import type {
  BatchPart,
  FunctionPart,
  HeldTasks,
  ManagerToExecutor,
  TaskRefs,
} from '../../protocol/messages.ts';
import { feed } from './feed.ts';
import { optionsText } from './frames.ts';
import { flush, onHeartbeatAnswer, onWelcome, sendHeartbeat, sendHello } from './report.ts';
import { AT_WORKER, CHUNK_INDEXES, enqueue, functionHere, letGo, NOWHERE, QUEUED } from './state.ts';
import type {
  ExecutorEvent,
  ExecutorInstruction,
  ExecutorState,
  FunctionHere,
  Hand,
  Worker,
} from './state.ts';
import {
  endWorker,
  onWatched,
  onWorkerEnded,
  onWorkerReady,
  onWorkerResults,
  onWorkerUnknown,
  tickWorker,
} from './workers.ts';

/** Code kept of functions that have no task here. */
const CODE_CACHE_BYTES = 64 * 1024 * 1024;
const CACHED_FUNCTIONS = 4096;
const ASK_AGAIN_MS = 5_000;
const HELLO_AGAIN_MS = 5_000;
/** A tick later than this means that the machine slept: that silence was nobody's. */
const SLEPT_MS = 5_000;

type Out = ExecutorInstruction[];

/** One event in, instructions out. */
export function step(state: ExecutorState, event: ExecutorEvent, now: number): ExecutorInstruction[] {
  const out: Out = [];
  if (state.exited) return out;
  apply(state, event, now, out);
  feed(state, now, out);
  if (state.stopping !== null) finishStop(state, out);
  return out;
}

function apply(state: ExecutorState, event: ExecutorEvent, now: number, out: Out): void {
  switch (event.kind) {
    case 'connected':
      state.connected = true;
      state.linked = false;
      state.marks.length = 0;
      return sendHello(state, now, out);
    case 'disconnected':
      state.connected = false;
      state.linked = false;
      return;
    case 'message':
      state.heard_ms = now;
      return onMessage(state, event.message, event.parts, now, out);
    case 'flush':
      return flush(state, now, out);
    case 'tick':
      return tick(state, now, out);
    case 'stop':
      return beginStop(state, event.why, now, out);
    default:
      return onWorkerEvent(state, event, now, out);
  }
}

type WorkerEvent = Extract<ExecutorEvent, { readonly slot: number }>;

function onWorkerEvent(state: ExecutorState, event: WorkerEvent, now: number, out: Out): void {
  const worker = state.workers[event.slot];
  if (worker === undefined) return;
  switch (event.kind) {
    case 'worker.ready':
      return onWorkerReady(worker, event.facts, state, now);
    case 'worker.results':
      return orBroken(
        worker,
        onWorkerResults(state, worker, event.chunk, event.last, event.slab, now),
        now,
        out,
      );
    case 'worker.unknown':
      return orBroken(worker, onWorkerUnknown(state, worker, event.function_id), now, out);
    case 'worker.broken':
      return orBroken(worker, event.why, now, out);
    case 'worker.ended':
      return onWorkerEnded(state, worker, event, now, out);
    case 'watched':
      return onWatched(state, worker, event.running, now, out);
    default:
      return assertNever(event);
  }
}

function orBroken(worker: Worker, why: string | null, now: number, out: Out): void {
  if (why === null) return;
  out.push({ kind: 'log', text: `the worker of slot ${worker.slot} is broken: ${why}` });
  endWorker(worker, 'broken', null, now, out);
}

function onMessage(
  state: ExecutorState,
  message: ManagerToExecutor,
  parts: readonly Buffer[],
  now: number,
  out: Out,
): void {
  switch (message.kind) {
    case 'executor.welcome':
      onWelcome(state, message.heartbeat_ms, now);
      return flush(state, now, out);
    case 'executor.refused':
      return beginStop(state, `the manager refused this executor: ${message.reason}`, now, out);
    case 'executor.heartbeat':
      return onHeartbeatAnswer(state);
    case 'functions':
      return takeCode(state, message.functions, parts);
    case 'tasks.run':
      return message.batches.forEach((part, place) => {
        const batch = parts[place];
        if (batch !== undefined) takeBatch(state, part, batch, now, out);
      });
    case 'tasks.cancel':
      return message.tasks.forEach((tasks) => cancel(state, tasks, out));
    case 'executor.stop':
      return beginStop(state, 'the manager asked for it', now, out);
    default:
      // A newer manager may know more words than we do.
      return;
  }
}

function takeBatch(state: ExecutorState, part: BatchPart, batch: Buffer, now: number, out: Out): void {
  let all: BatchEntry[];
  try {
    all = decodeBatch(batch);
  } catch (error) {
    out.push({ kind: 'log', text: `a batch of chunk ${part.chunk} is malformed: ${String(error)}` });
    return;
  }
  let hand = state.hands.get(part.chunk);
  if (hand !== undefined) hand.epoch = Math.max(hand.epoch, part.epoch);
  const held = hand;
  const fresh = held === undefined ? all : all.filter((entry) => held.place[entry.index] === NOWHERE);
  if (fresh.length === 0) return;
  const options_text = optionsText(part.options);
  if (state.stopping !== null || options_text === null) {
    const reason = options_text === null ? 'its options are too large' : 'the executor is stopping';
    const refs = { chunk: part.chunk, epoch: part.epoch, indexes: fresh.map((entry) => entry.index) };
    const tasks = [{ ...refs, blamed: options_text === null, reason }];
    out.push({ kind: 'send', message: { kind: 'tasks.returned', tasks }, parts: [] });
    return;
  }
  hand ??= newHand(state, part, options_text);
  for (const entry of fresh) {
    hand.place[entry.index] = QUEUED;
    hand.cancelled.delete(entry.index);
  }
  hand.left += fresh.length;
  const fn = functionHere(state, part.function_id);
  const whole = fresh.length === all.length ? batch : null;
  enqueue(state, fn, { hand, entries: fresh, at: 0, batch: whole }, 'back');
  if (fn.code === null && fn.wanted_ms === null) askForCode([fn], now, out);
}

function newHand(state: ExecutorState, part: BatchPart, options_text: Buffer): Hand {
  const { chunk, epoch, function_id, options } = part;
  const place = new Uint16Array(CHUNK_INDEXES);
  const hand: Hand = {
    chunk,
    epoch,
    function_id,
    options,
    options_text,
    place,
    cancelled: new Set(),
    left: 0,
  };
  state.hands.set(chunk, hand);
  return hand;
}

function cancel(state: ExecutorState, tasks: TaskRefs, out: Out): void {
  const hand = state.hands.get(tasks.chunk);
  if (hand === undefined) return;
  const slots = new Set<number>();
  for (const index of tasks.indexes) {
    const place = hand.place[index] ?? NOWHERE;
    if (place >= AT_WORKER) {
      hand.cancelled.add(index);
      slots.add(place - AT_WORKER);
    }
    letGo(state, hand, index);
  }
  for (const slot of slots) out.push({ kind: 'look', slot });
}

function takeCode(state: ExecutorState, functions: readonly FunctionPart[], parts: readonly Buffer[]): void {
  functions.forEach((part, place) => {
    const code = parts[place];
    if (code === undefined) return;
    const fn = functionHere(state, part.function_id);
    state.code_bytes += code.length - (fn.code?.length ?? 0);
    fn.code = code;
    fn.wanted_ms = null;
  });
  for (const fn of state.functions.values()) {
    if (state.code_bytes <= CODE_CACHE_BYTES && state.functions.size <= CACHED_FUNCTIONS) break;
    if (fn.queued > 0 || fn.frames > 0) continue;
    state.code_bytes -= fn.code?.length ?? 0;
    state.functions.delete(fn.id);
  }
}

function askForCode(functions: readonly FunctionHere[], now: number, out: Out): void {
  for (const fn of functions) fn.wanted_ms = now;
  const function_ids = functions.map((fn) => fn.id);
  out.push({ kind: 'send', message: { kind: 'functions.wanted', function_ids }, parts: [] });
}

function tick(state: ExecutorState, now: number, out: Out): void {
  const gap_ms = now - state.ticked_ms;
  state.ticked_ms = now;
  if (gap_ms > SLEPT_MS) state.heard_ms += gap_ms;
  for (const worker of state.workers) tickWorker(state, worker, now, out);
  if (state.stopping !== null) return;
  if (now - state.heard_ms > state.silence_ms) {
    const silence_s = Math.round((now - state.heard_ms) / 1000);
    return beginStop(state, `the manager has been silent for ${silence_s} s`, now, out);
  }
  if (state.connected && !state.linked && now - state.hello_ms > HELLO_AGAIN_MS) sendHello(state, now, out);
  if (!state.linked) return;
  giveBackStuck(state, out);
  if (now - state.beat_ms >= state.heartbeat_ms) sendHeartbeat(state, now, out);
  const late = state.ring.filter((fn) => fn.code === null && now - (fn.wanted_ms ?? 0) > ASK_AGAIN_MS);
  if (late.length > 0) askForCode(late, now, out);
}

/** When every worker is at a long task, what waits here may run sooner elsewhere. */
function giveBackStuck(state: ExecutorState, out: Out): void {
  const ready = state.workers.filter((worker) => worker.phase === 'ready');
  if (ready.length === 0 || !ready.every((worker) => worker.long)) return;
  returnTasks(state, (place) => place === QUEUED, 'every worker of their executor is at a long task', out);
}

/** Returns the tasks in certain places to the manager, none of them to blame. */
function returnTasks(state: ExecutorState, goes: (place: number) => boolean, reason: string, out: Out): void {
  const tasks: (HeldTasks & { blamed: boolean; reason: string })[] = [];
  for (const hand of [...state.hands.values()]) {
    const indexes = Array.from(hand.place.keys()).filter((index) => {
      const place = hand.place[index] ?? NOWHERE;
      return place !== NOWHERE && goes(place);
    });
    for (const index of indexes) letGo(state, hand, index);
    const { chunk, epoch } = hand;
    if (indexes.length > 0) tasks.push({ chunk, epoch, indexes, blamed: false, reason });
  }
  if (tasks.length > 0) out.push({ kind: 'send', message: { kind: 'tasks.returned', tasks }, parts: [] });
}

function beginStop(state: ExecutorState, why: string, now: number, out: Out): void {
  if (state.stopping !== null) return;
  state.stopping = why;
  for (const worker of state.workers) endWorker(worker, 'stop', null, now, out);
}

/** Once the last worker is gone: gives back what is left, says bye, ends. */
function finishStop(state: ExecutorState, out: Out): void {
  if (state.exited || state.workers.some((worker) => worker.phase !== 'down')) return;
  state.exited = true;
  if (state.linked) flush(state, state.ticked_ms, out);
  returnTasks(state, () => true, 'its executor stopped', out);
  out.push({ kind: 'send', message: { kind: 'executor.bye' }, parts: [] });
  out.push({ kind: 'exit', code: 0, reason: state.stopping ?? 'stopped' });
}
