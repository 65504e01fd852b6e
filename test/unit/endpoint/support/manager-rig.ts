// Drives a manager's machine by hand: one call per thing that happens, everything it answers kept for asserts.
import { step } from '../../../../src/endpoint/manager/machine.ts';
import {
  makeManagerState,
  type ManagerEvent,
  type ManagerInstruction,
  type ManagerState,
  type SpooledMessage,
} from '../../../../src/endpoint/manager/state.ts';
import { validate } from '../../../../src/endpoint/manager/validate.ts';
import { decodeBatch, encodeBatch } from '../../../../src/protocol/batch.ts';
import type {
  ExecutorToManager,
  HeldTasks,
  ManagerToExecutor,
  ManagerToService,
  ServiceToManager,
  TaskOptions,
} from '../../../../src/protocol/messages.ts';
import { decodeSlab, encodeSlab, type SlabEntry } from '../../../../src/protocol/slab.ts';

const NONE = Buffer.alloc(0);

export interface RigOptions {
  readonly blocks?: readonly string[];
  readonly spooled?: readonly SpooledMessage[];
  readonly max_blocks?: number;
  readonly seed?: number;
}

export interface Sent {
  readonly chunk: string;
  readonly epoch: number;
  readonly tasks: readonly { readonly index: number; readonly attempt: number }[];
  readonly body: Buffer;
}

export class ManagerRig {
  now = 1_000_000;
  readonly state: ManagerState;
  /** Everything the machine answered since the last `take`. */
  #out: ManagerInstruction[] = [];

  constructor(options: RigOptions = {}) {
    const { blocks = ['b0'], spooled = [], max_blocks = 1, seed = 42 } = options;
    this.state = makeManagerState(
      {
        facts: { endpoint_id: 'e', secret: 's', version: '1', hostname: 'h' },
        limits: {
          executor_heartbeat_ms: 5_000,
          gather_ms: 3_000,
          scaling: { min_blocks: 1, max_blocks, slots_per_block: 2, idle_ms: 60_000 },
        },
        seed,
        spooled,
        blocks,
      },
      this.now,
    );
  }

  event(event: ManagerEvent): this {
    this.#out.push(...step(this.state, event, this.now));
    validate(this.state);
    return this;
  }

  /** Instructions since the last call. */
  take(): ManagerInstruction[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Lets time pass, ticking every second. */
  pass(ms: number): this {
    for (let left = ms; left > 0; left -= 1_000) {
      this.now += Math.min(1_000, left);
      this.event({ kind: 'tick' });
    }
    return this;
  }

  online(): this {
    this.event({ kind: 'service.connected' });
    return this.service({ kind: 'link.welcome', heartbeat_ms: 5_000, cancelled: [] });
  }

  service(message: ServiceToManager, parts: readonly Buffer[] = []): this {
    return this.event({ kind: 'service.message', message, parts });
  }

  executor(peer: string, message: ExecutorToManager, parts: readonly Buffer[] = []): this {
    return this.event({ kind: 'executor.message', peer, message, parts });
  }

  hello(
    peer: string,
    more: { id?: string; block?: string; slots?: number; held?: HeldTasks[]; version?: string } = {},
  ): this {
    const { id = 'x0', block = 'b0', slots = 2, held = [], version = '1' } = more;
    return this.executor(peer, {
      kind: 'executor.hello',
      executor_id: id,
      block_id: block,
      version,
      host: 'node',
      pid: 1,
      slots,
      held,
    });
  }

  code(function_id: string): this {
    return this.service({ kind: 'functions', functions: [{ function_id, bytes: 4 }] }, [Buffer.from('code')]);
  }

  submit(
    chunk: string,
    count: number,
    more: { fn?: string; epoch?: number; options?: TaskOptions; attempt?: number } = {},
  ): this {
    const { fn = 'f', epoch = 1, options = {}, attempt = 1 } = more;
    const batch = encodeBatch(
      Array.from({ length: count }, (_, index) => ({ index, attempt, payload: Buffer.from([index]) })),
    );
    return this.service(
      { kind: 'tasks.submit', batches: [{ chunk, epoch, function_id: fn, options, bytes: batch.length }] },
      [batch],
    );
  }

  results(peer: string, chunk: string, indexes: readonly number[], duration_s = 0.00001): this {
    const slab = encodeSlab(indexes.map((index) => aResult(index, duration_s)));
    return this.executor(
      peer,
      { kind: 'tasks.results', workers: {}, slabs: [{ chunk, epoch: 1, worker: 'w', bytes: slab.length }] },
      [slab],
    );
  }

  returned(
    peer: string,
    chunk: string,
    indexes: readonly number[],
    blamed: boolean,
    reason = 'its worker exited with code 9',
  ): this {
    return this.executor(peer, {
      kind: 'tasks.returned',
      tasks: [{ chunk, epoch: 1, indexes, blamed, reason }],
    });
  }

  /** Teaches the manager that a function is quick: sends a chunk of it through `peer` and has it acknowledged. */
  warm(peer: string, fn = 'f', duration_s = 0.00001): this {
    this.submit('warm', 2, { fn }).results(peer, 'warm', [0, 1], duration_s).event({ kind: 'flush' });
    for (const seq of [...this.state.sent.keys()]) this.service({ kind: 'results.ack', seq });
    this.take();
    return this;
  }
}

export function aResult(index: number, duration_s = 0): SlabEntry {
  return {
    index,
    outcome: 'success',
    attempt: 1,
    started_s: 0,
    duration_s,
    data: NONE,
    stdout: NONE,
    stderr: NONE,
  };
}

/** Batches sent to one executor. */
export function sentTo(out: readonly ManagerInstruction[], peer: string): Sent[] {
  return out.flatMap((instruction) => {
    if (
      instruction.kind !== 'to_executor' ||
      instruction.peer !== peer ||
      instruction.message.kind !== 'tasks.run'
    )
      return [];
    return instruction.message.batches.map(({ chunk, epoch }, place) => {
      const body = instruction.parts[place] ?? NONE;
      const tasks = decodeBatch(body).map(({ index, attempt }) => ({ index, attempt }));
      return { chunk, epoch, tasks, body };
    });
  });
}

/** Messages of one kind to the service. */
export function toService<K extends ManagerToService['kind']>(
  out: readonly ManagerInstruction[],
  kind: K,
): Extract<ManagerToService, { kind: K }>[] {
  return out.flatMap((instruction) => {
    if (instruction.kind !== 'to_service' || instruction.message.kind !== kind) return [];
    return [instruction.message as Extract<ManagerToService, { kind: K }>];
  });
}

/** Messages of one kind to executors. */
export function toExecutors<K extends ManagerToExecutor['kind']>(
  out: readonly ManagerInstruction[],
  kind: K,
): (Extract<ManagerToExecutor, { kind: K }> & { peer: string })[] {
  return out.flatMap((instruction) => {
    if (instruction.kind !== 'to_executor' || instruction.message.kind !== kind) return [];
    return [{ ...(instruction.message as Extract<ManagerToExecutor, { kind: K }>), peer: instruction.peer }];
  });
}

/** Results on their way to the service, as slab entries with their chunk. */
export function resultsIn(
  out: readonly ManagerInstruction[],
): (SlabEntry & { chunk: string; epoch: number })[] {
  return out.flatMap((instruction) => {
    if (instruction.kind !== 'results') return [];
    return instruction.slabs.flatMap(({ chunk, epoch }, place) => {
      return decodeSlab(instruction.parts[place] ?? NONE).map((entry) => ({ ...entry, chunk, epoch }));
    });
  });
}
