// The executor's shell: a line to the manager, Python workers, timers. It turns the machine's instructions into
// I/O and what happens into events; it decides nothing.
import { mkdirSync, rmSync } from 'node:fs';
import { assertNever, messageOf } from '../../errors.ts';
import type { Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';
import { decodeMessage, encodeMessage } from '../../protocol/codec.ts';
import type { ManagerToExecutor } from '../../protocol/messages.ts';
import type { KeyPair, Line, LineOptions } from '../../transport/link.ts';
import { makeHoldingSender, type HoldingSender } from '../holding-sender.ts';
import { partsOf } from '../message-parts.ts';
import { functionFrame, taskFrame, type WorkerFrame } from './frames.ts';
import { step } from './machine.ts';
import {
  makeExecutorState,
  type ExecutorEvent,
  type ExecutorInstruction,
  type ExecutorState,
} from './state.ts';
import { WorkerProcess } from './worker-process.ts';

const TICK_MS = 100;
const FLUSH_AT_SLABS = 64;
/** Results wait here, not in the line, when the manager is slower than we are. */
const LINE_FULL_BYTES = 8 * 1024 * 1024;
const FLUSH_AGAIN_MS = 2;

export interface ExecutorShellOptions {
  readonly manager: { readonly address: string; readonly server_key: string; readonly keys: KeyPair };
  readonly executor_id: string;
  readonly block_id: string;
  readonly version: string;
  readonly host: string;
  /** Python workers to run. */
  readonly slots: number;
  readonly python: string;
  /** This executor's own folder, for its workers' state files; removed at the end. */
  readonly dir: string;
  /** Where tasks start. */
  readonly cwd: string;
  /** Milliseconds of silence after which the manager counts as lost. */
  readonly silence_ms: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly openLine: (options: LineOptions) => Line;
}

export interface ExecutorHandle {
  /** Ends workers and says bye; `finished` resolves afterwards. */
  stop(why: string): void;
  readonly finished: Promise<{ readonly code: number; readonly reason: string }>;
}

/** Starts an executor in this process. */
export function startExecutor(options: ExecutorShellOptions): ExecutorHandle {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  mkdirSync(options.cwd, { recursive: true, mode: 0o700 });
  const shell = new ExecutorShell(options);
  return { stop: (why) => shell.handle({ kind: 'stop', why }), finished: shell.finished };
}

class ExecutorShell {
  readonly finished: Promise<{ code: number; reason: string }>;
  readonly #options: ExecutorShellOptions;
  readonly #state: ExecutorState;
  readonly #workers = new Map<number, WorkerProcess>();
  readonly #line: Line;
  readonly #sender: HoldingSender;
  readonly #ticking: NodeJS.Timeout;
  #flushing = false;
  #finish: (end: { code: number; reason: string }) => void = () => undefined;

  constructor(options: ExecutorShellOptions) {
    this.#options = options;
    this.finished = new Promise((resolve) => (this.#finish = resolve));
    this.#state = makeExecutorState({ ...options, pid: process.pid }, options.clock.now());
    this.#line = options.openLine({
      address: options.manager.address,
      keys: options.manager.keys,
      serverKey: options.manager.server_key,
      events: {
        onMessage: (frames) => this.#onMessage(frames),
        onConnect: () => {
          // Words of an earlier conversation must not open this one.
          this.#sender.clear();
          this.handle({ kind: 'connected' });
        },
        onDisconnect: () => this.handle({ kind: 'disconnected' }),
        onRefused: (why) => options.log.error({ why }, 'the manager refuses this executor'),
      },
    });
    this.#sender = makeHoldingSender((frames) => this.#line.send(frames));
    this.#ticking = setInterval(() => this.handle({ kind: 'tick' }), TICK_MS);
    this.handle({ kind: 'tick' });
  }

  handle(event: ExecutorEvent): void {
    const now = this.#options.clock.now();
    const waiting: ExecutorInstruction[] = step(this.#state, event, now);
    // A look is answered at once; its answer may ask for more, but never for another look.
    for (const instruction of waiting) this.#perform(instruction);
    this.#scheduleFlush();
  }

  #onMessage(frames: Buffer[]): void {
    try {
      const { message, blob } = decodeMessage<ManagerToExecutor>(frames);
      this.handle({ kind: 'message', message, parts: partsOf(message, blob) });
    } catch (error) {
      this.#options.log.error({ err: error }, 'a message from the manager was dropped');
    }
  }

  #perform(instruction: ExecutorInstruction): void {
    switch (instruction.kind) {
      case 'send':
        // Without a connection there is nobody to hear it; the next hello says how things are.
        if (this.#state.connected) this.#sender.send(encodeMessage(instruction.message, instruction.parts));
        return;
      case 'spawn':
        return this.#spawn(instruction.slot);
      case 'function':
        return this.#workers
          .get(instruction.slot)
          ?.write(functionFrame(instruction.function_id, instruction.code));
      case 'frame': {
        const { slot, chunk, epoch, function_id, options, batch } = instruction;
        return this.#workers.get(slot)?.write(taskFrame(chunk, epoch, function_id, options, batch));
      }
      case 'kill':
        return this.#kill(instruction.slot, instruction.signal);
      case 'look': {
        const worker = this.#workers.get(instruction.slot);
        if (worker !== undefined)
          this.handle({ kind: 'watched', slot: instruction.slot, running: worker.look() });
        return;
      }
      case 'halt':
        return this.#workers.get(instruction.slot)?.halt(instruction.halted);
      case 'log':
        return this.#options.log.warn(instruction.text);
      case 'exit':
        return void this.#exit(instruction.code, instruction.reason);
      default:
        return assertNever(instruction);
    }
  }

  #spawn(slot: number): void {
    const { python, dir, cwd, log } = this.#options;
    const onEnd = (end: { how: string; running: ReturnType<WorkerProcess['look']>; last_words: string }) => {
      this.#workers.delete(slot);
      log.warn({ slot, how: end.how }, 'a worker ended');
      this.handle({ kind: 'worker.ended', slot, ...end });
    };
    try {
      const worker = new WorkerProcess({
        python,
        slot,
        dir,
        cwd,
        log,
        events: {
          onFrame: (frame) => this.#onFrame(slot, frame),
          onBroken: (why) => this.handle({ kind: 'worker.broken', slot, why }),
          onEnd,
        },
      });
      this.#workers.set(slot, worker);
    } catch (error) {
      setImmediate(() =>
        onEnd({ how: `cannot be started (${messageOf(error)})`, running: null, last_words: '' }),
      );
    }
  }

  #onFrame(slot: number, frame: WorkerFrame): void {
    switch (frame.type) {
      case 'R':
        return this.handle({
          kind: 'worker.results',
          slot,
          chunk: frame.chunk,
          last: frame.last,
          slab: frame.slab,
        });
      case 'N':
        return this.handle({ kind: 'worker.unknown', slot, function_id: frame.function_id });
      case 'H':
        return this.handle({ kind: 'worker.ready', slot, facts: frame.facts });
      default:
        return assertNever(frame);
    }
  }

  #kill(slot: number, signal: 'SIGTERM' | 'SIGKILL'): void {
    try {
      this.#workers.get(slot)?.signal(signal);
    } catch (error) {
      this.#options.log.error({ err: error, slot }, 'a worker could not be signalled');
    }
  }

  #scheduleFlush(): void {
    if (this.#flushing || this.#state.slabs.length === 0 || !this.#state.linked) return;
    const full = this.#line.queuedBytes + this.#sender.heldBytes > LINE_FULL_BYTES;
    if (!full && this.#state.slabs.length >= FLUSH_AT_SLABS) return this.handle({ kind: 'flush' });
    this.#flushing = true;
    const turn = (): void => {
      this.#flushing = false;
      if (this.#line.queuedBytes + this.#sender.heldBytes > LINE_FULL_BYTES) this.#scheduleFlush();
      else this.handle({ kind: 'flush' });
    };
    if (full) setTimeout(turn, FLUSH_AGAIN_MS);
    else setImmediate(turn);
  }

  async #exit(code: number, reason: string): Promise<void> {
    clearInterval(this.#ticking);
    for (const worker of this.#workers.values()) worker.signal('SIGKILL');
    await this.#line.close();
    this.#sender.clear();
    rmSync(this.#options.dir, { recursive: true, force: true });
    this.#finish({ code, reason });
  }
}
