// What an executor knows: the tasks in its hands, the functions it can run, its workers, and what it has told its
// manager. Plain data; machine.ts and its neighbours change it, shell.ts acts.
import type { BatchEntry } from '../../protocol/batch.ts';
import type {
  ExecutorToManager,
  HeldTasks,
  ManagerToExecutor,
  SlabPart,
  TaskOptions,
  WorkerFacts,
} from '../../protocol/messages.ts';
import { newRunTime, type RunTime } from '../run-time.ts';

/** Where a task of a chunk is: nowhere, in a queue, or with the worker of slot `place - AT_WORKER`. */
export const NOWHERE = 0;
export const QUEUED = 1;
export const AT_WORKER = 2;

/** A task's results slab, and a chunk, hold at most this many tasks. */
export const CHUNK_INDEXES = 128;

/** Tasks of one chunk in this executor's hands. */
export interface Hand {
  readonly chunk: string;
  epoch: number;
  readonly function_id: string;
  readonly options: TaskOptions;
  /** The options as they go to a worker. */
  readonly options_text: Buffer;
  /** By index. */
  readonly place: Uint16Array;
  /** Cancelled while a worker had them. */
  readonly cancelled: Set<number>;
  left: number;
}

/** Queued tasks of one hand, to be cut into frames. Those that are no longer QUEUED are passed over. */
export interface Piece {
  readonly hand: Hand;
  readonly entries: readonly BatchEntry[];
  /** Entries before this one are gone. */
  at: number;
  /** The bytes of exactly `entries`, to be passed on when all of them go into one frame. */
  readonly batch: Buffer | null;
}

export interface FunctionHere {
  readonly id: string;
  code: Buffer | null;
  /** When its code was last asked for. */
  wanted_ms: number | null;
  readonly queue: Piece[];
  queued: number;
  /** Its frames that workers have. */
  frames: number;
  readonly time: RunTime;
}

/** A batch that a worker has. */
export interface Frame {
  readonly hand: Hand;
  readonly fn: FunctionHere;
  readonly entries: readonly BatchEntry[];
  /** Since when it is the worker's first. */
  front_ms: number;
  /** Was the code sent right before it? */
  readonly with_code: boolean;
  /** Was its function known to be quick when it was sent? */
  readonly quick: boolean;
}

export interface RunningTask {
  readonly chunk: string;
  readonly index: number;
  readonly attempt: number;
  /** Seconds since 1970. */
  readonly started_s: number;
}

/** What a worker says of itself; `halts`: it heeds the halt byte of its state file. */
export interface HelloFacts extends WorkerFacts {
  readonly halts?: boolean;
}

/** Why this executor itself is ending a worker. */
export interface Kill {
  readonly why: 'timeout' | 'cancel' | 'stop' | 'broken';
  readonly task: RunningTask | null;
  readonly sigkill_ms: number;
  sent_sigkill: boolean;
}

/** A worker was told to begin nothing after the task it runs, so that what waits behind it can be taken back. */
export interface Halt {
  /** What it ran when last seen; once it is seen at the same task again, the rest is ours. */
  task: RunningTask;
  since_ms: number;
}

export interface Worker {
  readonly slot: number;
  phase: 'down' | 'starting' | 'ready';
  since_ms: number;
  restart_ms: number;
  /** Starts in a row that did not get as far as a hello. */
  failures: number;
  key: string;
  facts: WorkerFacts | null;
  halts: boolean;
  readonly frames: Frame[];
  readonly known: Set<string>;
  kill: Kill | null;
  halt: Halt | null;
  /** Is it at a task that has run for longer than a moment? */
  long: boolean;
  /** The task last announced as started. */
  announced: string;
}

/** A result for the manager, and who made it. */
export interface Finished {
  readonly part: SlabPart;
  readonly indexes: readonly number[];
  readonly slab: Buffer;
  readonly facts: WorkerFacts | null;
}

/** A result sent and not yet known to have arrived. */
export interface Unconfirmed extends Finished {
  readonly serial: number;
}

export interface ExecutorFacts {
  readonly executor_id: string;
  readonly block_id: string;
  readonly version: string;
  readonly host: string;
  readonly pid: number;
}

export interface ExecutorState {
  readonly facts: ExecutorFacts;
  readonly silence_ms: number;
  heartbeat_ms: number;
  readonly hands: Map<string, Hand>;
  readonly functions: Map<string, FunctionHere>;
  /** Functions with something queued, next in turn first. */
  readonly ring: FunctionHere[];
  readonly workers: Worker[];
  /** Has any worker ever said hello? */
  proven: boolean;
  code_bytes: number;
  connected: boolean;
  /** Welcomed on the present connection? */
  linked: boolean;
  hello_ms: number;
  heard_ms: number;
  ticked_ms: number;
  beat_ms: number;
  stopping: string | null;
  exited: boolean;
  /** Results gathered and not yet sent. */
  slabs: Finished[];
  slab_bytes: number;
  unconfirmed: Unconfirmed[];
  unconfirmed_bytes: number;
  serial: number;
  /** For each heartbeat not yet answered: the last result sent before it. */
  readonly marks: number[];
}

export type ExecutorEvent =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  | { readonly kind: 'message'; readonly message: ManagerToExecutor; readonly parts: readonly Buffer[] }
  | { readonly kind: 'worker.ready'; readonly slot: number; readonly facts: HelloFacts }
  | {
      readonly kind: 'worker.results';
      readonly slot: number;
      readonly chunk: string;
      readonly last: boolean;
      readonly slab: Buffer;
    }
  | { readonly kind: 'worker.unknown'; readonly slot: number; readonly function_id: string }
  /** It sent something that is no frame. */
  | { readonly kind: 'worker.broken'; readonly slot: number; readonly why: string }
  | {
      readonly kind: 'worker.ended';
      readonly slot: number;
      /** How, in words: "exited with code 9". */
      readonly how: string;
      readonly running: RunningTask | null;
      readonly last_words: string;
    }
  /** What a worker runs, as its state file says; the answer to `look`. */
  | { readonly kind: 'watched'; readonly slot: number; readonly running: RunningTask | null }
  /** Send what was gathered. */
  | { readonly kind: 'flush' }
  | { readonly kind: 'tick' }
  | { readonly kind: 'stop'; readonly why: string };

export type ExecutorInstruction =
  | { readonly kind: 'send'; readonly message: ExecutorToManager; readonly parts: readonly Buffer[] }
  | { readonly kind: 'spawn'; readonly slot: number }
  | { readonly kind: 'function'; readonly slot: number; readonly function_id: string; readonly code: Buffer }
  | {
      readonly kind: 'frame';
      readonly slot: number;
      readonly chunk: string;
      readonly epoch: number;
      readonly function_id: string;
      readonly options: Buffer;
      readonly batch: Buffer;
    }
  | { readonly kind: 'kill'; readonly slot: number; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly kind: 'look'; readonly slot: number }
  /** Tell a worker to begin no further task, or that it may again. */
  | { readonly kind: 'halt'; readonly slot: number; readonly halted: boolean }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'exit'; readonly code: number; readonly reason: string };

export interface ExecutorOptions extends ExecutorFacts {
  readonly slots: number;
  /** How long the manager may be silent before this executor ends itself. */
  readonly silence_ms: number;
}

const DEFAULT_HEARTBEAT_MS = 5_000;

export function makeExecutorState(options: ExecutorOptions, now: number): ExecutorState {
  const { slots, silence_ms, ...facts } = options;
  return {
    facts,
    silence_ms,
    heartbeat_ms: DEFAULT_HEARTBEAT_MS,
    hands: new Map(),
    functions: new Map(),
    ring: [],
    workers: Array.from({ length: slots }, (_, slot) => ({
      slot,
      phase: 'down' as const,
      since_ms: now,
      restart_ms: now,
      failures: 0,
      key: '',
      facts: null,
      halts: false,
      frames: [],
      known: new Set<string>(),
      kill: null,
      halt: null,
      long: false,
      announced: '',
    })),
    proven: false,
    code_bytes: 0,
    connected: false,
    linked: false,
    hello_ms: now,
    heard_ms: now,
    ticked_ms: now,
    beat_ms: now,
    stopping: null,
    exited: false,
    slabs: [],
    slab_bytes: 0,
    unconfirmed: [],
    unconfirmed_bytes: 0,
    serial: 0,
    marks: [],
  };
}

export function functionHere(state: ExecutorState, id: string): FunctionHere {
  let fn = state.functions.get(id);
  if (fn === undefined) {
    fn = { id, code: null, wanted_ms: null, queue: [], queued: 0, frames: 0, time: newRunTime() };
    state.functions.set(id, fn);
  }
  return fn;
}

/** Queues tasks of a hand that are marked QUEUED; those that were begun already go first. */
export function enqueue(state: ExecutorState, fn: FunctionHere, piece: Piece, where: 'front' | 'back'): void {
  if (where === 'front') fn.queue.unshift(piece);
  else fn.queue.push(piece);
  fn.queued += piece.entries.length;
  if (!state.ring.includes(fn)) state.ring.push(fn);
}

/** Everything this executor still answers for: in hand, or as a result that may not have arrived. */
export function heldTasks(state: ExecutorState): HeldTasks[] {
  const held: HeldTasks[] = [];
  for (const hand of state.hands.values()) {
    const indexes: number[] = [];
    for (let index = 0; index < CHUNK_INDEXES; index++)
      if (hand.place[index] !== NOWHERE) indexes.push(index);
    if (indexes.length > 0) held.push({ chunk: hand.chunk, epoch: hand.epoch, indexes });
  }
  for (const { part, indexes } of [...state.unconfirmed, ...state.slabs]) {
    held.push({ chunk: part.chunk, epoch: part.epoch, indexes });
  }
  return held;
}

/** Takes tasks out of a hand; forgets the hand when it is empty. */
export function letGo(state: ExecutorState, hand: Hand, index: number): void {
  const place = hand.place[index];
  if (place === undefined || place === NOWHERE) return;
  if (place === QUEUED) functionHere(state, hand.function_id).queued--;
  hand.place[index] = NOWHERE;
  hand.left--;
  if (hand.left === 0) state.hands.delete(hand.chunk);
}
