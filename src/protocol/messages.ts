// Every word on the two ZeroMQ links, typed, tagged and versioned. A message is two frames:
//
//   frame 0   JSON header: {"v":1,"kind":"…",…}
//   frame 1   one blob, present when the header says so; parts lie in it one after another, in header order,
//             each as long as its `bytes` says
//
// The manager dials the service; executors dial the manager; both hops are CURVE. An unknown kind is dropped,
// counted and logged once; an unknown field is ignored; another `v` is answered with link.refused.
// Three failures never merge: a user's (in a slab), the system's (in a slab, other outcome), the link's (silence).

export const PROTOCOL_VERSION = 1;

/** What a submitter may ask of each task of a chunk. Stored with the chunk, carried to the worker. */
export interface TaskOptions {
  /** Seconds after which a running task is killed; none when absent. */
  readonly timeout_s?: number;
  /** Worker deaths and lost executors a task survives: it is started at most this many times. Default 3. */
  readonly max_attempts?: number;
  /** Serialisers to try on the result, in order: class names of the Globus Compute SDK or their import paths. */
  readonly result_serializers?: readonly string[];
  readonly resource_specification?: Readonly<Record<string, unknown>>;
}

/** Tasks of one chunk. */
export interface TaskRefs {
  readonly chunk: string;
  readonly indexes: readonly number[];
}

/** Tasks of one chunk under one delivery. A re-delivery has a higher epoch; results name the one they answer. */
export interface HeldTasks extends TaskRefs {
  readonly epoch: number;
}

/** One batch (src/protocol/batch.ts) in the blob. */
export interface BatchPart {
  readonly chunk: string;
  readonly epoch: number;
  readonly function_id: string;
  readonly options: TaskOptions;
  readonly bytes: number;
}

/** One function's code in the blob: packed buffers as registered, opaque. */
export interface FunctionPart {
  readonly function_id: string;
  readonly bytes: number;
}

/** One result slab (src/protocol/slab.ts) in the blob; `worker` names an entry of the message's `workers`. */
export interface SlabPart {
  readonly chunk: string;
  readonly epoch: number;
  readonly worker: string;
  readonly bytes: number;
}

/** Facts about the Python that ran a task; the official SDK compares versions with its own. */
export interface WorkerFacts {
  readonly host: string;
  readonly pid: number;
  readonly os: string;
  readonly python_version: string;
  readonly dill_version: string | null;
  readonly numpy_version: string | null;
}

/** A task that has run longer than a moment: where and since when. Short ones are never announced. */
export interface StartedTask {
  readonly chunk: string;
  readonly index: number;
  readonly attempt: number;
  readonly worker: string;
  readonly started_s: number;
}

export interface EndpointStatus {
  readonly executors: number;
  readonly total_workers: number;
  readonly idle_workers: number;
  /** Tasks taken and not yet with an executor. */
  readonly pending_tasks: number;
  /** Tasks taken and without a result. */
  readonly outstanding_tasks: number;
  /** Why pending tasks wait, in words for the user; null when nothing waits. */
  readonly waiting_reason: string | null;
}

// ── manager → service ────────────────────────────────────────────────────────────────────────────────────
export type ManagerToService =
  | {
      readonly kind: 'link.hello';
      readonly endpoint_id: string;
      /** Proof that this CURVE key speaks for this endpoint; given out at registration. */
      readonly secret: string;
      readonly version: string;
      readonly hostname: string;
      /** Everything this manager still has: in hand, or as unacknowledged results. The rest was lost with its
       *  predecessor and is delivered again. */
      readonly held: readonly HeldTasks[];
    }
  | { readonly kind: 'link.heartbeat'; readonly status: EndpointStatus }
  | { readonly kind: 'link.bye' }
  | {
      readonly kind: 'tasks.accepted';
      readonly chunks: readonly { readonly chunk: string; readonly epoch: number }[];
    }
  | { readonly kind: 'tasks.started'; readonly tasks: readonly StartedTask[] }
  | { readonly kind: 'functions.wanted'; readonly function_ids: readonly string[] }
  | {
      readonly kind: 'tasks.results';
      readonly seq: number;
      readonly workers: Readonly<Record<string, WorkerFacts>>;
      readonly slabs: readonly SlabPart[];
    };

// ── service → manager ────────────────────────────────────────────────────────────────────────────────────
export type ServiceToManager =
  | { readonly kind: 'link.welcome'; readonly heartbeat_ms: number; readonly cancelled: readonly TaskRefs[] }
  | { readonly kind: 'link.refused'; readonly code: string; readonly reason: string }
  | { readonly kind: 'link.heartbeat' }
  | { readonly kind: 'functions'; readonly functions: readonly FunctionPart[] }
  | { readonly kind: 'tasks.submit'; readonly batches: readonly BatchPart[] }
  | { readonly kind: 'tasks.cancel'; readonly tasks: readonly TaskRefs[] }
  | { readonly kind: 'results.ack'; readonly seq: number };

// ── executor → manager ───────────────────────────────────────────────────────────────────────────────────
export type ExecutorToManager =
  | {
      readonly kind: 'executor.hello';
      readonly executor_id: string;
      readonly block_id: string;
      readonly version: string;
      readonly host: string;
      readonly pid: number;
      /** Python worker processes it runs. */
      readonly slots: number;
      readonly held: readonly HeldTasks[];
    }
  | { readonly kind: 'executor.heartbeat'; readonly idle: number; readonly queued: number }
  | { readonly kind: 'executor.bye' }
  | { readonly kind: 'tasks.started'; readonly tasks: readonly StartedTask[] }
  | { readonly kind: 'functions.wanted'; readonly function_ids: readonly string[] }
  | {
      /** Not finished, and why; the manager decides whether they run again. `blamed` tasks were running when
       *  their worker died; the others only waited behind them. */
      readonly kind: 'tasks.returned';
      readonly tasks: readonly (HeldTasks & { readonly blamed: boolean; readonly reason: string })[];
    }
  | {
      readonly kind: 'tasks.results';
      readonly workers: Readonly<Record<string, WorkerFacts>>;
      readonly slabs: readonly SlabPart[];
    };

// ── manager → executor ───────────────────────────────────────────────────────────────────────────────────
export type ManagerToExecutor =
  | { readonly kind: 'executor.welcome'; readonly heartbeat_ms: number }
  | { readonly kind: 'executor.refused'; readonly reason: string }
  | { readonly kind: 'executor.heartbeat' }
  | { readonly kind: 'functions'; readonly functions: readonly FunctionPart[] }
  | { readonly kind: 'tasks.run'; readonly batches: readonly BatchPart[] }
  | { readonly kind: 'tasks.cancel'; readonly tasks: readonly TaskRefs[] }
  /** Finish nothing more, stop the workers, say bye, exit. */
  | { readonly kind: 'executor.stop' };

export type Message = ManagerToService | ServiceToManager | ExecutorToManager | ManagerToExecutor;
