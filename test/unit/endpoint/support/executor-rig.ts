// Drives an executor's machine by hand: one call per thing that happens, everything it answers kept for asserts.
import { step } from '../../../../src/endpoint/executor/machine.ts';
import {
  makeExecutorState,
  type ExecutorEvent,
  type ExecutorInstruction,
  type ExecutorState,
  type RunningTask,
} from '../../../../src/endpoint/executor/state.ts';
import { validate } from '../../../../src/endpoint/executor/validate.ts';
import { decodeBatch, encodeBatch } from '../../../../src/protocol/batch.ts';
import type { ExecutorToManager, ManagerToExecutor, TaskOptions } from '../../../../src/protocol/messages.ts';
import { decodeSlab, encodeSlab, type SlabEntry } from '../../../../src/protocol/slab.ts';

const NONE = Buffer.alloc(0);

export class ExecutorRig {
  now = 1_000_000;
  readonly state: ExecutorState;
  #out: ExecutorInstruction[] = [];
  #pids = 100;

  constructor(slots = 2) {
    const facts = { executor_id: 'x', block_id: 'b', version: '1', host: 'node', pid: 1 };
    this.state = makeExecutorState({ ...facts, slots, silence_ms: 60_000 }, this.now);
  }

  event(event: ExecutorEvent): this {
    this.#out.push(...step(this.state, event, this.now));
    validate(this.state);
    return this;
  }

  take(): ExecutorInstruction[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** Lets time pass, ticking every 100 ms. */
  pass(ms: number): this {
    for (let left = ms; left > 0; left -= 100) {
      this.now += Math.min(100, left);
      this.event({ kind: 'tick' });
    }
    return this;
  }

  message(message: ManagerToExecutor, parts: readonly Buffer[] = []): this {
    return this.event({ kind: 'message', message, parts });
  }

  ready(slot: number, halts = false): this {
    const facts = {
      host: 'node',
      pid: this.#pids++,
      os: 'os',
      python_version: '3',
      dill_version: null,
      numpy_version: null,
    };
    return this.event({ kind: 'worker.ready', slot, facts: { ...facts, halts } });
  }

  /** Connected, welcomed, every worker ready, code of `f` here. */
  up(halts = false): this {
    this.event({ kind: 'tick' })
      .event({ kind: 'connected' })
      .message({ kind: 'executor.welcome', heartbeat_ms: 5_000 });
    for (const { slot } of this.state.workers) this.ready(slot, halts);
    this.code('f').take();
    return this;
  }

  code(function_id: string): this {
    return this.message({ kind: 'functions', functions: [{ function_id, bytes: 4 }] }, [Buffer.from('code')]);
  }

  run(
    chunk: string,
    indexes: readonly number[],
    more: { fn?: string; options?: TaskOptions; epoch?: number } = {},
  ): this {
    const { fn = 'f', options = {}, epoch = 1 } = more;
    const batch = encodeBatch(indexes.map((index) => ({ index, attempt: 1, payload: Buffer.from([index]) })));
    const part = { chunk, epoch, function_id: fn, options, bytes: batch.length };
    return this.message({ kind: 'tasks.run', batches: [part] }, [batch]);
  }

  results(slot: number, chunk: string, indexes: readonly number[], last = true, duration_s = 0.00001): this {
    const entries = indexes.map((index): SlabEntry => {
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
    });
    return this.event({ kind: 'worker.results', slot, chunk, last, slab: encodeSlab(entries) });
  }

  watched(slot: number, running: RunningTask | null): this {
    return this.event({ kind: 'watched', slot, running });
  }

  ended(slot: number, running: RunningTask | null = null, how = 'exited with code 9'): this {
    return this.event({ kind: 'worker.ended', slot, how, running, last_words: 'last words' });
  }

  /** A task of this moment. */
  running(chunk: string, index: number, since_ms = 0): RunningTask {
    return { chunk, index, attempt: 1, started_s: (this.now - since_ms) / 1000 };
  }
}

/** Frames given to workers: slot, chunk and task indexes. */
export function framesIn(
  out: readonly ExecutorInstruction[],
): { slot: number; chunk: string; indexes: number[] }[] {
  return out.flatMap((one) => {
    if (one.kind !== 'frame') return [];
    return [{ slot: one.slot, chunk: one.chunk, indexes: decodeBatch(one.batch).map(({ index }) => index) }];
  });
}

/** Messages of one kind to the manager. */
export function said<K extends ExecutorToManager['kind']>(
  out: readonly ExecutorInstruction[],
  kind: K,
): Extract<ExecutorToManager, { kind: K }>[] {
  return out.flatMap((one) => {
    return one.kind === 'send' && one.message.kind === kind
      ? [one.message as Extract<ExecutorToManager, { kind: K }>]
      : [];
  });
}

/** Results sent to the manager. */
export function resultsIn(out: readonly ExecutorInstruction[]): SlabEntry[] {
  return out.flatMap((one) => {
    return one.kind === 'send' && one.message.kind === 'tasks.results'
      ? one.parts.flatMap((slab) => decodeSlab(slab))
      : [];
  });
}
