// What a manager knows: the tasks it answers for, function code, executors, blocks, and how far its service is.
// Plain data; machine.ts and its neighbours change it, shell.ts acts.
import type { BatchEntry } from '../../protocol/batch.ts';
import type {
  ExecutorToManager,
  ManagerToExecutor,
  ManagerToService,
  ServiceToManager,
  SlabPart,
  StartedTask,
  TaskOptions,
  WorkerFacts,
} from '../../protocol/messages.ts';
import type { PeerId } from '../../transport/link.ts';
import { newRunTime, type RunTime } from '../run-time.ts';
import { BREAKER_CLOSED, type Breaker, type ScalingLimits } from './scaling.ts';

/** Where a task is: not here, in a queue, ended with its result spooled, or with the executor of that number. */
export const NOWHERE = 0;
export const QUEUED = 1;
export const SPOOLED = 2;
export const FIRST_EXECUTOR = 3;

export const CHUNK_INDEXES = 128;

/** Tasks of one chunk that this manager answers for. */
export interface Held {
  readonly chunk: string;
  epoch: number;
  /** Null when an executor brought them and their batch was lost with this manager's predecessor. */
  fn: FunctionHere | null;
  options: TaskOptions;
  /** By index; what is missing cannot be run again from here. */
  readonly entries: (BatchEntry | undefined)[];
  /** By index. */
  readonly place: Int32Array;
  /** Tasks without a result. */
  open: number;
  /** Results not yet acknowledged. */
  spooled: number;
  /** Running tasks the service was told of, by index. */
  started: Map<number, StartedTask> | null;
}

/** Queued tasks. Those whose place is no longer QUEUED are passed over. */
export interface Piece {
  readonly held: Held;
  readonly indexes: readonly number[];
  /** The bytes of exactly these tasks, to be passed on as they are. */
  batch: Buffer | null;
}

export interface FunctionHere {
  readonly id: string;
  code: Buffer | null;
  wanted_ms: number | null;
  readonly queue: Piece[];
  queued: number;
  /** Tasks queued or with executors. */
  open: number;
  /** Is it in the ring? */
  ringed: boolean;
  readonly time: RunTime;
}

export interface Executor {
  readonly id: string;
  /** Its number in `place`. */
  readonly number: number;
  readonly block_id: string;
  readonly slots: number;
  readonly host: string;
  /** Null while its connection is lost; it has until the silence limit to come back. */
  peer: PeerId | null;
  heard_ms: number;
  /** Functions whose code it was sent. */
  readonly known: Set<string>;
  /** Tasks it has and has not announced as long, by function; those of unknown functions under ''. */
  readonly load: Map<string, number>;
  /** Tasks it has, by chunk. */
  readonly chunks: Map<string, number>;
  tasks: number;
  bytes: number;
  /** Tasks it announced as long: each keeps a worker for itself. */
  long: number;
  idle_since_ms: number | null;
  stopping: boolean;
  /** Is it in the list of those that may have room? */
  roomy: boolean;
}

export interface Block {
  readonly block_id: string;
  readonly since_ms: number;
  /** Has an executor of it ever said hello? */
  proven: boolean;
  /** Does the scheduler have it? */
  submitted: boolean;
  cancelled: boolean;
}

/** A result waiting to be sent up. */
export interface Finished {
  readonly part: SlabPart;
  readonly indexes: readonly number[];
  readonly slab: Buffer;
  readonly facts: WorkerFacts | null;
}

/** Tasks whose results one message carries. */
export interface SentRefs {
  readonly chunk: string;
  readonly epoch: number;
  readonly indexes: readonly number[];
}

export interface ManagerFacts {
  readonly endpoint_id: string;
  readonly secret: string;
  readonly version: string;
  readonly hostname: string;
}

export interface ManagerLimits {
  /** Between an executor's heartbeats. */
  readonly executor_heartbeat_ms: number;
  /** After a start: how long executors get to say what they hold before the service is told. */
  readonly gather_ms: number;
  readonly scaling: ScalingLimits;
}

export interface Link {
  phase: 'down' | 'connected' | 'greeted' | 'up' | 'refused';
  heard_ms: number;
  beat_ms: number;
  hello_ms: number;
  heartbeat_ms: number;
  /** Status last told, to tell when it changes. */
  told: string;
}

export interface ManagerState {
  readonly facts: ManagerFacts;
  readonly limits: ManagerLimits;
  /** Of the generator that breaks ties (chance.ts). */
  seed: number;
  readonly chunks: Map<string, Held>;
  readonly functions: Map<string, FunctionHere>;
  /** Functions with something queued, next in turn first. */
  readonly ring: FunctionHere[];
  readonly executors: Map<string, Executor>;
  readonly byPeer: Map<PeerId, Executor>;
  readonly byNumber: Map<number, Executor>;
  /** Connections of executors that were given up. */
  readonly lostPeers: Set<PeerId>;
  /** Executors that may have room. */
  readonly roomy: Executor[];
  /** Were executors taken off that list for want of room? */
  roomyShut: boolean;
  nextNumber: number;
  readonly blocks: Map<string, Block>;
  nextBlock: number;
  breaker: Breaker;
  readonly link: Link;
  /** Until when the first hello waits for executors. */
  readonly gather_until_ms: number;
  /** Blocks that ran before this manager started and have not yet been heard of. */
  readonly expected: Set<string>;
  finished: Finished[];
  finished_bytes: number;
  readonly sent: Map<number, readonly SentRefs[]>;
  nextSeq: number;
  /** Chunks with tasks cancelled lately, so that an executor that missed it can be told. */
  readonly cancelled: Map<string, Set<number>>;
  code_bytes: number;
  held_bytes: number;
  queued: number;
  open: number;
  ticked_ms: number;
  /** Why results cannot be put on disk; tasks wait meanwhile. */
  disk_trouble: string | null;
  stopping: string | null;
}

export type ManagerEvent =
  | { readonly kind: 'service.connected' }
  | { readonly kind: 'service.disconnected' }
  | {
      readonly kind: 'service.message';
      readonly message: ServiceToManager;
      readonly parts: readonly Buffer[];
    }
  | {
      readonly kind: 'executor.message';
      readonly peer: PeerId;
      readonly message: ExecutorToManager;
      readonly parts: readonly Buffer[];
    }
  | { readonly kind: 'executor.unreachable'; readonly peer: PeerId }
  /** The scheduler took a block. */
  | { readonly kind: 'block.submitted'; readonly block_id: string }
  /** A block is over, or was never begun; `reason` in the scheduler's or executor's own words. */
  | { readonly kind: 'block.ended'; readonly block_id: string; readonly reason: string }
  /** Send what was gathered. */
  | { readonly kind: 'flush' }
  | { readonly kind: 'disk'; readonly trouble: string | null }
  | { readonly kind: 'tick' }
  | { readonly kind: 'stop'; readonly why: string };

export type ManagerInstruction =
  | { readonly kind: 'to_service'; readonly message: ManagerToService; readonly parts: readonly Buffer[] }
  /** Put on disk, then send: results under a number of their own. */
  | {
      readonly kind: 'results';
      readonly seq: number;
      readonly workers: Readonly<Record<string, WorkerFacts>>;
      readonly slabs: readonly SlabPart[];
      readonly parts: readonly Buffer[];
    }
  /** Send these results messages again, in this order. */
  | { readonly kind: 'resend'; readonly seqs: readonly number[] }
  /** A results message is stored at the service. */
  | { readonly kind: 'unspool'; readonly seq: number }
  | {
      readonly kind: 'to_executor';
      readonly peer: PeerId;
      readonly message: ManagerToExecutor;
      readonly parts: readonly Buffer[];
    }
  | { readonly kind: 'submit_block'; readonly block_id: string }
  | { readonly kind: 'cancel_block'; readonly block_id: string }
  /** Dial the service anew: what it believes of us is out of date. */
  | { readonly kind: 'relink'; readonly why: string }
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly text: string }
  | { readonly kind: 'exit'; readonly code: number; readonly reason: string };

/** A results message found on disk at the start. */
export interface SpooledMessage {
  readonly seq: number;
  readonly refs: readonly SentRefs[];
}

export interface ManagerOptions {
  readonly facts: ManagerFacts;
  readonly limits: ManagerLimits;
  readonly seed: number;
  readonly spooled: readonly SpooledMessage[];
  /** Blocks that already run. */
  readonly blocks: readonly string[];
}

export const DEFAULT_HEARTBEAT_MS = 5_000;

export function makeManagerState(options: ManagerOptions, now: number): ManagerState {
  const state: ManagerState = {
    facts: options.facts,
    limits: options.limits,
    seed: options.seed,
    chunks: new Map(),
    functions: new Map(),
    ring: [],
    executors: new Map(),
    byPeer: new Map(),
    byNumber: new Map(),
    lostPeers: new Set(),
    roomy: [],
    roomyShut: false,
    nextNumber: FIRST_EXECUTOR,
    blocks: new Map(),
    nextBlock: 1,
    breaker: BREAKER_CLOSED,
    link: {
      phase: 'down',
      heard_ms: now,
      beat_ms: now,
      hello_ms: 0,
      heartbeat_ms: DEFAULT_HEARTBEAT_MS,
      told: '',
    },
    gather_until_ms: options.blocks.length > 0 ? now + options.limits.gather_ms : now,
    expected: new Set(options.blocks),
    finished: [],
    finished_bytes: 0,
    sent: new Map(),
    nextSeq: 1,
    cancelled: new Map(),
    code_bytes: 0,
    held_bytes: 0,
    queued: 0,
    open: 0,
    ticked_ms: now,
    disk_trouble: null,
    stopping: null,
  };
  for (const block_id of options.blocks) {
    state.blocks.set(block_id, { block_id, since_ms: now, proven: false, submitted: true, cancelled: false });
  }
  for (const { seq, refs } of options.spooled) {
    state.sent.set(seq, refs);
    state.nextSeq = Math.max(state.nextSeq, seq + 1);
    for (const { chunk, epoch, indexes } of refs) {
      const held = hold(state, chunk, epoch);
      for (const index of indexes) {
        if (held.place[index] !== NOWHERE) continue;
        held.place[index] = SPOOLED;
        held.spooled++;
      }
    }
  }
  return state;
}

/** The record of a chunk; a new empty one when there is none. */
export function hold(state: ManagerState, chunk: string, epoch: number): Held {
  let held = state.chunks.get(chunk);
  if (held === undefined) {
    held = {
      chunk,
      epoch,
      fn: null,
      options: {},
      entries: [],
      place: new Int32Array(CHUNK_INDEXES),
      open: 0,
      spooled: 0,
      started: null,
    };
    state.chunks.set(chunk, held);
  }
  held.epoch = Math.max(held.epoch, epoch);
  return held;
}

/** Forgets a chunk of which nothing is left here. */
export function forgetIfDone(state: ManagerState, held: Held): void {
  if (held.open > 0 || held.spooled > 0 || state.chunks.get(held.chunk) !== held) return;
  state.chunks.delete(held.chunk);
}

export function functionHere(state: ManagerState, id: string): FunctionHere {
  let fn = state.functions.get(id);
  if (fn === undefined) {
    fn = {
      id,
      code: null,
      wanted_ms: null,
      queue: [],
      queued: 0,
      open: 0,
      ringed: false,
      time: newRunTime(),
    };
    state.functions.set(id, fn);
  }
  return fn;
}

/** Puts an executor among those that may have room. */
export function markRoomy(state: ManagerState, executor: Executor): void {
  if (executor.roomy) return;
  executor.roomy = true;
  state.roomy.push(executor);
}

/** No executor has room for what waits now. */
export function shutRoomy(state: ManagerState): void {
  for (const executor of state.roomy) executor.roomy = false;
  state.roomy.length = 0;
  state.roomyShut = true;
}

/** Something else waits now: executors without room for the rest may have room for it. */
export function reopenRoomy(state: ManagerState): void {
  if (!state.roomyShut) return;
  state.roomyShut = false;
  for (const executor of state.executors.values()) markRoomy(state, executor);
}
