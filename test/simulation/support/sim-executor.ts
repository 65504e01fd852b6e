// An executor of a simulation: the real machine, a line over the memory net, and workers that only pretend.
import { decodeBatch, type BatchEntry } from '../../../src/protocol/batch.ts';
import { decodeMessage, encodeMessage } from '../../../src/protocol/codec.ts';
import type { ManagerToExecutor } from '../../../src/protocol/messages.ts';
import { encodeSlab, type SlabEntry } from '../../../src/protocol/slab.ts';
import { partsOf } from '../../../src/endpoint/message-parts.ts';
import { step } from '../../../src/endpoint/executor/machine.ts';
import {
  makeExecutorState,
  type ExecutorEvent,
  type ExecutorInstruction,
  type ExecutorState,
  type RunningTask,
} from '../../../src/endpoint/executor/state.ts';
import { validate } from '../../../src/endpoint/executor/validate.ts';
import type { Line } from '../../../src/transport/link.ts';
import { makeMemoryKeys, type MemoryNet } from '../../../src/transport/memory.ts';
import type { TaskPlan } from './sim-service.ts';
import type { World } from './world.ts';

const NONE = Buffer.alloc(0);

interface SimFrame {
  readonly chunk: string;
  readonly function_id: string;
  readonly entries: readonly BatchEntry[];
}

/** A pretended Python process. */
interface SimWorker {
  readonly life: number;
  readonly frames: SimFrame[];
  readonly known: Set<string>;
  running: RunningTask | null;
  busy: boolean;
  halted: boolean;
}

export interface SimExecutorOptions {
  readonly world: World;
  readonly net: MemoryNet;
  readonly manager: string;
  readonly block_id: string;
  readonly slots: number;
  /** Do its workers heed the order to halt? */
  readonly halts: boolean;
  readonly onExit: (code: number, reason: string) => void;
  /** Told of every task that begins to run. */
  readonly onRun: (chunk: string, index: number) => void;
}

export class SimExecutor {
  readonly state: ExecutorState;
  readonly #options: SimExecutorOptions;
  readonly #workers = new Map<number, SimWorker>();
  readonly #line: Line;
  #lives = 0;
  #flushing = false;
  dead = false;

  constructor(options: SimExecutorOptions) {
    this.#options = options;
    const { world, net, block_id, slots } = options;
    const facts = { executor_id: `${block_id}.x`, block_id, version: '1', host: 'sim', pid: 1 };
    this.state = makeExecutorState({ ...facts, slots, silence_ms: 60_000 }, world.now_ms);
    this.#line = net.openLine({
      address: options.manager,
      keys: makeMemoryKeys('executors'),
      serverKey: makeMemoryKeys('manager').publicKey,
      events: {
        onMessage: (frames) => this.#onMessage(frames),
        onConnect: () => this.#handle({ kind: 'connected' }),
        onDisconnect: () => this.#handle({ kind: 'disconnected' }),
      },
    });
    world.every(
      100,
      () => !this.dead,
      () => this.#handle({ kind: 'tick' }),
    );
  }

  /** The whole process tree is gone, without a word. */
  crash(): void {
    if (this.dead) return;
    this.dead = true;
    this.#workers.clear();
    void this.#line.close();
  }

  /** One of its workers is killed from outside. */
  killWorker(slot: number): void {
    this.#endWorker(slot, 'was killed by signal SIGKILL');
  }

  stop(): void {
    this.#handle({ kind: 'stop', why: 'its block was cancelled' });
  }

  #handle(event: ExecutorEvent): void {
    if (this.dead) return;
    const instructions = step(this.state, event, this.#options.world.now_ms);
    // Every kind of step is checked; the two that are most of them, often enough.
    const usual = event.kind === 'worker.results' || event.kind === 'tick';
    if (!usual || this.#options.world.random() < 0.1) validate(this.state);
    for (const instruction of instructions) this.#perform(instruction);
    if (this.#flushing || this.state.slabs.length === 0 || !this.state.linked) return;
    this.#flushing = true;
    this.#options.world.after(0, () => {
      this.#flushing = false;
      this.#handle({ kind: 'flush' });
    });
  }

  #onMessage(frames: Buffer[]): void {
    const { message, blob } = decodeMessage<ManagerToExecutor>(frames);
    this.#handle({ kind: 'message', message, parts: partsOf(message, blob) });
  }

  #perform(instruction: ExecutorInstruction): void {
    switch (instruction.kind) {
      case 'send':
        this.#line.send(encodeMessage(instruction.message, instruction.parts));
        return;
      case 'spawn':
        return this.#spawn(instruction.slot);
      case 'function':
        this.#workers.get(instruction.slot)?.known.add(instruction.function_id);
        return;
      case 'frame': {
        const { chunk, function_id, batch } = instruction;
        const worker = this.#workers.get(instruction.slot);
        if (worker === undefined) return;
        worker.frames.push({ chunk, function_id, entries: decodeBatch(batch) });
        return this.#work(instruction.slot, worker);
      }
      case 'kill':
        this.#options.world.after(5, () =>
          this.#endWorker(instruction.slot, `was killed by signal ${instruction.signal}`),
        );
        return;
      case 'look':
        return this.#handle({
          kind: 'watched',
          slot: instruction.slot,
          running: this.#workers.get(instruction.slot)?.running ?? null,
        });
      case 'halt': {
        const worker = this.#workers.get(instruction.slot);
        if (worker !== undefined) worker.halted = instruction.halted;
        return;
      }
      case 'log':
        return;
      case 'exit':
        this.crash();
        return this.#options.onExit(instruction.code, instruction.reason);
    }
  }

  #spawn(slot: number): void {
    const { world } = this.#options;
    const worker: SimWorker = {
      life: ++this.#lives,
      frames: [],
      known: new Set(),
      running: null,
      busy: false,
      halted: false,
    };
    this.#workers.set(slot, worker);
    world.after(world.between(10, 200), () => {
      if (this.#workers.get(slot) !== worker) return;
      const facts = {
        host: 'sim',
        pid: worker.life,
        os: '',
        python_version: '3',
        dill_version: null,
        numpy_version: null,
        halts: this.#options.halts,
      };
      this.#handle({ kind: 'worker.ready', slot, facts });
    });
  }

  /** Begins the next frame when none is being worked on. */
  #work(slot: number, worker: SimWorker): void {
    const frame = worker.frames[0];
    if (worker.busy || frame === undefined || this.dead) return;
    worker.busy = true;
    if (worker.known.has(frame.function_id)) return this.#runTask(slot, worker, frame, 0);
    this.#finishFrame(slot, worker, () => {
      this.#handle({ kind: 'worker.unknown', slot, function_id: frame.function_id });
    });
  }

  #runTask(slot: number, worker: SimWorker, frame: SimFrame, at: number): void {
    const { world, onRun } = this.#options;
    const entry = frame.entries[at];
    const alive = (): boolean => !this.dead && this.#workers.get(slot) === worker;
    if (entry === undefined || worker.halted)
      return this.#finishFrame(slot, worker, () => this.#answer(slot, frame, true, []));
    const plan = JSON.parse(Buffer.from(entry.payload).toString()) as TaskPlan;
    const started_s = world.now_ms / 1000;
    worker.running = { chunk: frame.chunk, index: entry.index, attempt: entry.attempt, started_s };
    onRun(frame.chunk, entry.index);
    world.after(plan.duration_ms, () => {
      if (!alive()) return;
      if (plan.poison === true) return this.#endWorker(slot, 'exited with code 9');
      worker.running = null;
      const duration_s = plan.duration_ms / 1000;
      const result: SlabEntry = {
        index: entry.index,
        outcome: 'success',
        attempt: entry.attempt,
        started_s,
        duration_s,
        data: Buffer.from(String(entry.index)),
        stdout: NONE,
        stderr: NONE,
      };
      this.#answer(slot, frame, false, [result]);
      if (alive()) this.#runTask(slot, worker, frame, at + 1);
    });
  }

  #answer(slot: number, frame: SimFrame, last: boolean, results: readonly SlabEntry[]): void {
    this.#handle({ kind: 'worker.results', slot, chunk: frame.chunk, last, slab: encodeSlab(results) });
  }

  #finishFrame(slot: number, worker: SimWorker, tell: () => void): void {
    worker.frames.shift();
    worker.busy = false;
    tell();
    if (this.#workers.get(slot) === worker) this.#work(slot, worker);
  }

  #endWorker(slot: number, how: string): void {
    const worker = this.#workers.get(slot);
    if (worker === undefined || this.dead) return;
    this.#workers.delete(slot);
    this.#handle({ kind: 'worker.ended', slot, how, running: worker.running, last_words: '' });
  }
}
