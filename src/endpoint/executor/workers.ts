// What becomes of tasks when their worker speaks, falls silent or dies. Pure.
import { encodeSlab, scanSlab, systemResult } from '../../protocol/slab.ts';
import type { HeldTasks, StartedTask } from '../../protocol/messages.ts';
import { observe } from '../run-time.ts';
import { AT_WORKER, enqueue, letGo, QUEUED } from './state.ts';
import type {
  ExecutorInstruction,
  ExecutorState,
  Frame,
  Hand,
  HelloFacts,
  Kill,
  RunningTask,
  Worker,
} from './state.ts';

/** Time a worker's processes get between SIGTERM and SIGKILL. */
const GRACE_MS = 2_000;
/** Tasks running longer than this are announced. */
const ANNOUNCE_MS = 250;
/** A worker seen at the same task this long after it was told to halt has read that it must. */
const HALT_MS = 50;
/** Time a worker gets to say hello; a first import over a network file system can be slow. */
const START_LIMIT_MS = 60_000;
/** Starts that may fail before this executor gives up, when no worker has ever started. */
const START_TRIES = 3;
const RESTART_MS = 200;
const RESTART_MAX_MS = 30_000;

type Out = ExecutorInstruction[];
type Returned = HeldTasks & { readonly blamed: boolean; readonly reason: string };

export function onWorkerReady(worker: Worker, hello: HelloFacts, state: ExecutorState, now: number): void {
  if (worker.phase !== 'starting') return;
  const { halts = false, ...facts } = hello;
  worker.halts = halts;
  worker.phase = 'ready';
  worker.since_ms = now;
  worker.failures = 0;
  worker.facts = facts;
  worker.key = `${facts.host}:${facts.pid}`;
  state.proven = true;
}

/** Takes a slab from the frame a worker is at. Answers why the worker is broken, or null. */
export function onWorkerResults(
  state: ExecutorState,
  worker: Worker,
  chunk: string,
  last: boolean,
  slab: Buffer,
  now: number,
): string | null {
  const frame = worker.frames[0];
  if (frame === undefined || frame.hand.chunk !== chunk) return 'it answered a batch it was not given';
  let scanned: ReturnType<typeof scanSlab>;
  try {
    scanned = scanSlab(slab);
  } catch (error) {
    return `its result is not a slab (${String(error)})`;
  }
  const { hand, fn } = frame;
  const mine = scanned.indexes.filter((index) => hand.place[index] === AT_WORKER + worker.slot);
  observe(fn.time, scanned.indexes.length, scanned.duration_s);
  worker.long = false;
  for (const index of mine) letGo(state, hand, index);
  if (mine.length > 0) addSlab(state, hand, worker, mine, slab);
  if (!last) return null;
  if (worker.halt !== null) takeBack(state, worker, frame, null);
  if (openIndexes(frame, worker).length > 0) return 'it ended a batch without all of its results';
  worker.frames.shift();
  fn.frames--;
  const next = worker.frames[0];
  if (next !== undefined) next.front_ms = now;
  return null;
}

/** A worker has no code for the batch it was given: the batch is queued again and the code goes out before it. */
export function onWorkerUnknown(state: ExecutorState, worker: Worker, functionId: string): string | null {
  const frame = worker.frames[0];
  if (frame === undefined || frame.fn.id !== functionId) return 'it refused a batch it was not given';
  if (frame.with_code) return 'it did not take the code of a function';
  takeBack(state, worker, frame, null);
  frame.fn.frames--;
  worker.frames.shift();
  worker.known.delete(functionId);
  return null;
}

/** Queues again what a worker has not begun of a frame; `running` stays with it. */
function takeBack(state: ExecutorState, worker: Worker, frame: Frame, running: RunningTask | null): void {
  const open = new Set(openIndexes(frame, worker).filter((index) => !isTask(running, frame, index)));
  if (open.size === 0) return;
  for (const index of open) frame.hand.place[index] = QUEUED;
  const entries = frame.entries.filter((entry) => open.has(entry.index));
  enqueue(state, frame.fn, { hand: frame.hand, entries, at: 0, batch: null }, 'front');
}

/** A task turned out slow: what waits behind it goes to other workers, as soon as this one surely leaves it alone. */
function freeWaiting(
  state: ExecutorState,
  worker: Worker,
  running: RunningTask,
  now: number,
  out: Out,
): void {
  const waiting = worker.frames.some((frame) => {
    return openIndexes(frame, worker).some((index) => !isTask(running, frame, index));
  });
  if (!waiting || !worker.halts) return;
  const { halt } = worker;
  const same = halt !== null && sameRun(halt.task, running);
  if (halt !== null && same && now - halt.since_ms >= HALT_MS) {
    for (const frame of [...worker.frames].reverse()) takeBack(state, worker, frame, running);
    return;
  }
  if (same) return;
  worker.halt = { task: running, since_ms: now };
  if (halt === null) out.push({ kind: 'halt', slot: worker.slot, halted: true });
}

function sameRun(one: RunningTask, other: RunningTask): boolean {
  return one.chunk === other.chunk && one.index === other.index && one.started_s === other.started_s;
}

/** Ends a worker's process group: politely now, by force after a moment. */
export function endWorker(
  worker: Worker,
  why: Kill['why'],
  task: RunningTask | null,
  now: number,
  out: Out,
): void {
  if (worker.phase === 'down' || worker.kill !== null) return;
  worker.kill = { why, task, sigkill_ms: now + GRACE_MS, sent_sigkill: false };
  out.push({ kind: 'kill', slot: worker.slot, signal: 'SIGTERM' });
}

export interface WorkerEnd {
  readonly how: string;
  readonly running: RunningTask | null;
  readonly last_words: string;
}

/** A worker's process is gone and all its output read: settles, blames or returns what it had. */
export function onWorkerEnded(
  state: ExecutorState,
  worker: Worker,
  end: WorkerEnd,
  now: number,
  out: Out,
): void {
  const { kill } = worker;
  const started = worker.phase === 'ready';
  const blame = started && (kill === null || kill.why === 'broken');
  const guilty = blame ? guiltyTask(worker, end.running) : null;
  const returned: Returned[] = [];
  for (const frame of worker.frames) {
    const open = openIndexes(frame, worker);
    const spared: number[] = [];
    for (const index of open) {
      if (kill?.why === 'timeout' && isTask(kill.task, frame, index)) {
        settleTimeout(state, worker, frame, index, now);
        continue;
      }
      if (guilty !== null && isTask(guilty, frame, index)) {
        returned.push({ ...refs(frame.hand, [index]), blamed: true, reason: `its worker ${end.how}` });
      } else spared.push(index);
      letGo(state, frame.hand, index);
    }
    if (spared.length > 0) {
      returned.push({
        ...refs(frame.hand, spared),
        blamed: false,
        reason: `the worker they waited for ${end.how}`,
      });
    }
    frame.fn.frames--;
  }
  if (returned.length > 0)
    out.push({ kind: 'send', message: { kind: 'tasks.returned', tasks: returned }, parts: [] });
  scheduleRestart(state, worker, started, end, now, out);
}

function scheduleRestart(
  state: ExecutorState,
  worker: Worker,
  started: boolean,
  end: WorkerEnd,
  now: number,
  out: Out,
): void {
  worker.failures = started || worker.kill?.why === 'stop' ? 0 : worker.failures + 1;
  worker.phase = 'down';
  worker.since_ms = now;
  worker.frames.length = 0;
  worker.known.clear();
  worker.kill = null;
  worker.halt = null;
  worker.long = false;
  worker.facts = null;
  worker.announced = '';
  const pause_ms = worker.failures === 0 ? 0 : Math.min(RESTART_MAX_MS, RESTART_MS * 2 ** worker.failures);
  worker.restart_ms = now + pause_ms;
  if (state.stopping !== null || state.proven || worker.failures < START_TRIES || state.exited) return;
  state.exited = true;
  const words = end.last_words === '' ? '' : `: ${end.last_words}`;
  out.push({ kind: 'exit', code: 78, reason: `the Python worker does not start; it ${end.how}${words}` });
}

/** The answer to a look at a worker: announces long tasks, ends cancelled ones and those over their time. */
export function onWatched(
  state: ExecutorState,
  worker: Worker,
  running: RunningTask | null,
  now: number,
  out: Out,
): void {
  if (running === null || worker.kill !== null || worker.phase !== 'ready') return;
  const frame = worker.frames.find((candidate) => isTask(running, candidate, running.index));
  if (frame === undefined) return;
  if (frame.hand.place[running.index] !== AT_WORKER + worker.slot) {
    if (isCancelled(frame, running.index)) endWorker(worker, 'cancel', running, now, out);
    return;
  }
  const ran_ms = now - running.started_s * 1000;
  const { timeout_s } = frame.hand.options;
  if (timeout_s !== undefined && ran_ms > timeout_s * 1000)
    return endWorker(worker, 'timeout', running, now, out);
  if (ran_ms < ANNOUNCE_MS) return;
  worker.long = true;
  freeWaiting(state, worker, running, now, out);
  const name = `${running.chunk} ${running.index} ${running.attempt}`;
  if (worker.announced === name) return;
  worker.announced = name;
  const task: StartedTask = { ...running, worker: worker.key };
  out.push({ kind: 'send', message: { kind: 'tasks.started', tasks: [task] }, parts: [] });
}

/** Starts, watches and forces workers as time passes. */
export function tickWorker(state: ExecutorState, worker: Worker, now: number, out: Out): void {
  const { kill } = worker;
  if (kill !== null && !kill.sent_sigkill && now >= kill.sigkill_ms) {
    kill.sent_sigkill = true;
    out.push({ kind: 'kill', slot: worker.slot, signal: 'SIGKILL' });
  }
  if (worker.phase === 'down' && state.stopping === null && !state.exited && now >= worker.restart_ms) {
    worker.phase = 'starting';
    worker.since_ms = now;
    out.push({ kind: 'spawn', slot: worker.slot });
  }
  if (worker.phase === 'starting' && now - worker.since_ms > START_LIMIT_MS)
    endWorker(worker, 'broken', null, now, out);
  const front = worker.frames[0];
  if (
    worker.phase === 'ready' &&
    kill === null &&
    front !== undefined &&
    now - front.front_ms >= ANNOUNCE_MS
  ) {
    out.push({ kind: 'look', slot: worker.slot });
  }
}

/** Gathers a result for the manager. */
export function addSlab(
  state: ExecutorState,
  hand: Hand,
  worker: Worker | null,
  indexes: readonly number[],
  slab: Buffer,
): void {
  const part = { chunk: hand.chunk, epoch: hand.epoch, worker: worker?.key ?? '', bytes: slab.length };
  state.slabs.push({ part, indexes, slab, facts: worker?.facts ?? null });
  state.slab_bytes += slab.length;
}

function settleTimeout(state: ExecutorState, worker: Worker, frame: Frame, index: number, now: number): void {
  const { timeout_s } = frame.hand.options;
  const attempt = frame.entries.find((entry) => entry.index === index)?.attempt ?? 1;
  const message = `The task ran longer than its limit of ${timeout_s} s (timeout_s) and was stopped.`;
  const entry = systemResult(index, attempt, 'system_failure', 'TASK_TIMEOUT', message, now / 1000);
  const started_s = worker.kill?.task?.started_s ?? now / 1000;
  const slab = encodeSlab([{ ...entry, started_s, duration_s: now / 1000 - started_s }]);
  addSlab(state, frame.hand, worker, [index], slab);
  letGo(state, frame.hand, index);
}

/** Whom a death is blamed on: the task that ran or, when the state file knows none, the first that was to run. */
function guiltyTask(worker: Worker, running: RunningTask | null): RunningTask | null {
  if (running !== null && worker.frames.some((frame) => isTask(running, frame, running.index)))
    return running;
  for (const frame of worker.frames) {
    const [index] = openIndexes(frame, worker);
    if (index !== undefined) return { chunk: frame.hand.chunk, index, attempt: 0, started_s: 0 };
  }
  return null;
}

/** Tasks of a frame that the worker still owes, in the order it runs them. */
function openIndexes(frame: Frame, worker: Worker): number[] {
  const here = AT_WORKER + worker.slot;
  return frame.entries.map((entry) => entry.index).filter((index) => frame.hand.place[index] === here);
}

function isTask(task: RunningTask | null, frame: Frame, index: number): boolean {
  if (task === null || task.chunk !== frame.hand.chunk || task.index !== index) return false;
  return frame.entries.some((entry) => entry.index === index);
}

/** A task in a worker's frame that is nowhere any more was either answered or cancelled. */
function isCancelled(frame: Frame, index: number): boolean {
  return frame.hand.cancelled.has(index);
}

function refs(hand: Hand, indexes: readonly number[]): HeldTasks {
  return { chunk: hand.chunk, epoch: hand.epoch, indexes };
}
