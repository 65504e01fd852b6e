// The manager's shell: the line to the service, the hub of its executors, blocks, disk and timers. It turns the
// machine's instructions into I/O and what happens into events; it decides nothing.
import { mkdirSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { takeLock, type Lock } from '../../lock.ts';
import { assertNever, messageOf } from '../../errors.ts';
import { VERSION } from '../../paths.ts';
import { decodeMessage, encodeMessage } from '../../protocol/codec.ts';
import type { EndpointStatus, ExecutorToManager, ServiceToManager } from '../../protocol/messages.ts';
import type { Hub, Line, PeerId } from '../../transport/link.ts';
import { makeKeys, openHub, openLine } from '../../transport/zmq.ts';
import { makeHoldingSender, type HoldingSender } from '../holding-sender.ts';
import { partsOf } from '../message-parts.ts';
import { schedulers } from '../schedulers/index.ts';
import { BlockKeeper } from './block-keeper.ts';
import { executorCommand } from './executor-command.ts';
import { executorKeyFile, loadIdentity, saveIdentity, type AgentIdentity } from './identity.ts';

import { step } from './machine.ts';
import { ResultSpool } from './result-spool.ts';
import type { ManagerHandle, ManagerRunOptions } from './options.ts';
import { makeManagerState, type ManagerEvent, type ManagerInstruction, type ManagerState } from './state.ts';
import { endpointStatus } from './status.ts';
import { Upstream } from './upstream.ts';

const TICK_MS = 250;
const FLUSH_AT_SLABS = 64;
const FLUSH_MS = 2;
/** Results gather a little longer while the line to the service is behind. */
const LINE_BUSY_BYTES = 1024 * 1024;
const EXECUTOR_HEARTBEAT_MS = 5_000;
const GATHER_MS = 3_000;
const IDLE_BLOCK_MS = 60_000;
const DEFAULT_SILENCE_S = 60;

/** Starts the manager of an endpoint in this process. Throws the Fault `endpoint_locked` when another one runs. */
export async function runManager(options: ManagerRunOptions): Promise<ManagerHandle> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  const lock = takeLock(join(options.dir, 'manager.lock'), `The endpoint in ${options.dir}`, () =>
    options.clock.now(),
  );
  let shell: ManagerShell | null = null;
  try {
    const started = new ManagerShell(options, lock);
    shell = started;
    await started.start();
    return {
      stop: (why = 'it was asked to') => started.stop(0, why),
      finished: started.finished,
      status: () => started.status(),
    };
  } catch (error) {
    await shell?.abandon();
    lock.release();
    throw error;
  }
}

class ManagerShell {
  readonly finished: Promise<{ code: number; reason: string }>;
  readonly #options: ManagerRunOptions;
  readonly #lock: Lock;
  readonly #spool: ResultSpool;
  readonly #upstream: Upstream;
  readonly #blocks: BlockKeeper;
  readonly #sender: HoldingSender;
  #identity: AgentIdentity;
  #state!: ManagerState;
  #hub: Hub | null = null;
  #line: Line | null = null;
  #ticking: NodeJS.Timeout | null = null;
  #flushing = false;
  #stopped: Promise<void> | null = null;
  #told = '';
  #finish: (end: { code: number; reason: string }) => void = () => undefined;

  constructor(options: ManagerRunOptions, lock: Lock) {
    this.#options = options;
    this.#lock = lock;
    this.finished = new Promise((resolve) => (this.#finish = resolve));
    this.#identity = loadIdentity(options.dir, makeKeys);
    this.#spool = new ResultSpool(join(options.dir, 'results'));
    this.#sender = makeHoldingSender((frames) => this.#line?.send(frames) ?? false);
    this.#upstream = new Upstream({
      spool: this.#spool,
      now: () => options.clock.now(),
      send: (frames) => this.#sender.send(frames),
      queuedBytes: () => this.#queuedBytes(),
    });
    this.#blocks = new BlockKeeper({
      scheduler: schedulers[options.scheduler ?? 'local'],
      dir: options.dir,
      worker_init: options.worker_init ?? '',
      executor: (blockId) => this.#executorCommand(blockId),
      log: options.log,
      onSubmitted: (block_id) => this.#handle({ kind: 'block.submitted', block_id }),
      onEnded: (block_id, reason) => this.#handle({ kind: 'block.ended', block_id, reason }),
    });
  }

  async start(): Promise<void> {
    const options = this.#options;
    const workers = options.workers_per_node ?? availableParallelism();
    const min_blocks = options.min_blocks ?? 1;
    const blocks = await this.#blocks.takeOver();
    this.#state = makeManagerState(
      {
        facts: {
          endpoint_id: options.endpoint_id,
          secret: options.link.secret,
          version: VERSION,
          hostname: hostname(),
        },
        limits: {
          executor_heartbeat_ms: options.executor_heartbeat_ms ?? EXECUTOR_HEARTBEAT_MS,
          gather_ms: GATHER_MS,
          scaling: {
            min_blocks,
            max_blocks: Math.max(min_blocks, options.max_blocks ?? 1),
            slots_per_block: workers,
            idle_ms: IDLE_BLOCK_MS,
          },
        },
        seed: options.chance.bytes(4).readUInt32LE(0),
        spooled: this.#spool.messages(),
        blocks,
      },
      options.clock.now(),
    );
    this.#hub = await this.#openHub();
    this.#dial();
    this.#ticking = setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  status(): EndpointStatus {
    return endpointStatus(this.#state, this.#options.clock.now());
  }

  /** Lets go of everything after a start that failed. */
  async abandon(): Promise<void> {
    this.#blocks.close();
    await this.#hub?.close();
    this.#spool.close();
  }

  /** Stops once, however often it is called. */
  stop(code: number, why: string): Promise<void> {
    this.#stopped ??= this.#stop(code, why);
    return this.#stopped;
  }

  async #stop(code: number, reason: string): Promise<void> {
    this.#handle({ kind: 'stop', why: reason });
    await this.#blocks.endAll();
    this.#blocks.close();
    if (this.#ticking !== null) clearInterval(this.#ticking);
    if (this.#state.link.phase === 'up') this.#sender.send(encodeMessage({ kind: 'link.bye' }));
    await this.#line?.close();
    this.#sender.clear();
    await this.#hub?.close();
    this.#spool.close();
    this.#lock.release();
    this.#options.log.info({ reason }, 'the manager ended');
    this.#finish({ code, reason });
  }

  #tick(): void {
    if (this.#spool.trouble !== null) this.#spool.retry();
    this.#noteDisk();
    this.#handle({ kind: 'tick' });
    this.#upstream.tick();
    this.#tellStatus();
  }

  #noteDisk(): void {
    if (this.#spool.trouble !== this.#state.disk_trouble)
      this.#handle({ kind: 'disk', trouble: this.#spool.trouble });
  }

  #handle(event: ManagerEvent): void {
    const instructions = step(this.#state, event, this.#options.clock.now());
    this.#upstream.setUp(this.#state.link.phase === 'up');
    for (const instruction of instructions) this.#perform(instruction);
    this.#scheduleFlush();
  }

  #perform(instruction: ManagerInstruction): void {
    switch (instruction.kind) {
      case 'to_service':
        if (this.#line !== null) this.#sender.send(encodeMessage(instruction.message, instruction.parts));
        return;
      case 'results': {
        const { seq, workers, slabs, parts } = instruction;
        const frames = encodeMessage({ kind: 'tasks.results', seq, workers, slabs }, parts);
        this.#spool.append(seq, frames);
        this.#upstream.addFresh(seq, frames);
        return;
      }
      case 'resend':
        return this.#upstream.add(instruction.seqs);
      case 'unspool':
        this.#spool.remove(instruction.seq);
        return this.#upstream.acknowledged(instruction.seq);
      case 'to_executor':
        return this.#toExecutor(instruction.peer, encodeMessage(instruction.message, instruction.parts));
      case 'submit_block':
        return void this.#blocks.submit(instruction.block_id);
      case 'cancel_block':
        return void this.#blocks.cancel(instruction.block_id);
      case 'relink':
        return this.#relink(instruction.why);
      case 'log':
        return this.#options.log[instruction.level](instruction.text);
      case 'exit':
        return void this.stop(instruction.code, instruction.reason);
      default:
        return assertNever(instruction);
    }
  }

  #toExecutor(peer: PeerId, frames: Buffer[]): void {
    if (this.#hub?.send(peer, frames) !== false) return;
    // Its outbox is full although we bound what it has: it does not read any more.
    this.#options.log.error({ peer }, 'an executor takes nothing');
    setImmediate(() => this.#handle({ kind: 'executor.unreachable', peer }));
  }

  #scheduleFlush(): void {
    if (this.#flushing || this.#state.finished.length === 0) return;
    if (this.#state.finished.length >= FLUSH_AT_SLABS) return this.#handle({ kind: 'flush' });
    this.#flushing = true;
    const turn = (): void => {
      this.#flushing = false;
      this.#handle({ kind: 'flush' });
      this.#noteDisk();
    };
    if (this.#queuedBytes() > LINE_BUSY_BYTES) setTimeout(turn, FLUSH_MS);
    else setImmediate(turn);
  }

  #queuedBytes(): number {
    return (this.#line?.queuedBytes ?? 0) + this.#sender.heldBytes;
  }

  #dial(): void {
    const { link, log } = this.#options;
    const line: Line = openLine({
      address: link.address,
      keys: link.keys,
      serverKey: link.server_key,
      events: {
        onMessage: (frames) => {
          if (this.#line === line) this.#onServiceMessage(frames);
        },
        onConnect: () => {
          if (this.#line !== line) return;
          // Words of an earlier conversation must not open this one.
          this.#sender.clear();
          this.#handle({ kind: 'service.connected' });
        },
        onDisconnect: () => {
          if (this.#line === line) this.#disconnected();
        },
        onRefused: (why) => log.error({ why }, 'the service refuses the link; it is tried again'),
      },
    });
    this.#line = line;
  }

  #disconnected(): void {
    this.#sender.clear();
    this.#options.log.warn(
      { address: this.#options.link.address },
      'the link to the service is down; results are kept',
    );
    this.#handle({ kind: 'service.disconnected' });
  }

  #relink(why: string): void {
    if (this.#line === null) return;
    this.#options.log.warn({ why }, 'the service is dialled anew');
    void this.#line.close();
    this.#line = null;
    this.#sender.clear();
    this.#handle({ kind: 'service.disconnected' });
    setImmediate(() => {
      if (this.#stopped === null) this.#dial();
    });
  }

  #onServiceMessage(frames: Buffer[]): void {
    try {
      const { message, blob } = decodeMessage<ServiceToManager>(frames);
      this.#handle({ kind: 'service.message', message, parts: partsOf(message, blob) });
    } catch (error) {
      this.#options.log.error({ err: error }, 'a message from the service was dropped');
    }
  }

  #onExecutorMessage(peer: PeerId, frames: Buffer[]): void {
    try {
      const { message, blob } = decodeMessage<ExecutorToManager>(frames);
      this.#handle({ kind: 'executor.message', peer, message, parts: partsOf(message, blob) });
    } catch (error) {
      this.#options.log.error({ err: error, peer }, 'a message from an executor was dropped');
    }
  }

  /** Binds where executors of an earlier life still dial; elsewhere when that place is taken. */
  async #openHub(): Promise<Hub> {
    const { keys, executor_keys, address } = this.#identity;
    const fresh = this.#options.bind ?? 'tcp://127.0.0.1:*';
    const open = (bind: string): Promise<Hub> =>
      openHub({
        bind,
        keys,
        allow: (key) => key === executor_keys.publicKey,
        events: {
          onMessage: (peer, frames) => this.#onExecutorMessage(peer, frames),
          onUnreachable: (peer) => this.#handle({ kind: 'executor.unreachable', peer }),
          onRefused: (why) => this.#options.log.warn({ why }, 'a stranger dialled the executors’ port'),
        },
      });
    let hub: Hub | null = null;
    if (address !== null) {
      hub = await open(address).catch((error: unknown) => {
        this.#options.log.warn(
          { why: messageOf(error) },
          'the port executors knew is taken; those of before are lost',
        );
        return null;
      });
    }
    hub ??= await open(fresh);
    this.#identity = { ...this.#identity, address: hub.address };
    saveIdentity(this.#options.dir, this.#identity);
    return hub;
  }

  #executorCommand(block_id: string): readonly [string, ...string[]] {
    const { dir, python, workers_per_node, executor_silence_s, task_dir } = this.#options;
    return executorCommand({
      manager: this.#identity.address ?? '',
      server_key: this.#identity.keys.publicKey,
      key_file: executorKeyFile(dir),
      block_id,
      slots: workers_per_node ?? availableParallelism(),
      python,
      dir: this.#blocks.blockDir(block_id),
      cwd: task_dir ?? join(dir, 'tasks'),
      silence_s: executor_silence_s ?? DEFAULT_SILENCE_S,
    });
  }

  #tellStatus(): void {
    const { onStatus } = this.#options;
    if (onStatus === undefined) return;
    const status = this.status();
    const key = JSON.stringify(status);
    if (key === this.#told) return;
    this.#told = key;
    onStatus(status);
  }
}
