// A manager of a simulation: the real machine, a hub and a line over the memory net, a disk that outlives it and
// a scheduler whose blocks are simulated executors.
import { decodeMessage, encodeMessage, splitBlob } from '../../../src/protocol/codec.ts';
import type {
  ExecutorToManager,
  ManagerToService,
  ServiceToManager,
} from '../../../src/protocol/messages.ts';
import { scanSlab } from '../../../src/protocol/slab.ts';
import { partsOf } from '../../../src/endpoint/message-parts.ts';
import { step } from '../../../src/endpoint/manager/machine.ts';
import {
  makeManagerState,
  type ManagerEvent,
  type ManagerInstruction,
  type ManagerState,
  type SpooledMessage,
} from '../../../src/endpoint/manager/state.ts';
import { validate } from '../../../src/endpoint/manager/validate.ts';
import type { Hub, Line } from '../../../src/transport/link.ts';
import { makeMemoryKeys, type MemoryNet } from '../../../src/transport/memory.ts';
import { SimExecutor } from './sim-executor.ts';
import type { SimService } from './sim-service.ts';
import type { World } from './world.ts';

export interface SimSite {
  readonly world: World;
  readonly net: MemoryNet;
  readonly service: SimService;
  readonly blocks: number;
  readonly slots: number;
  readonly halts: boolean;
  readonly onRun: (chunk: string, index: number) => void;
}

/** What outlives a manager: its disk and its blocks. */
export class SimEndpoint {
  readonly site: SimSite;
  readonly disk = new Map<number, Buffer[]>();
  readonly executors = new Map<string, SimExecutor>();
  manager: SimManager;

  constructor(site: SimSite) {
    this.site = site;
    this.manager = new SimManager(this);
  }

  /** Kills the manager and starts the next one a while later. */
  restartManager(delay_ms: number): void {
    this.manager.crash();
    this.site.world.after(delay_ms, () => (this.manager = new SimManager(this)));
  }

  startBlock(block_id: string): void {
    const { world, net, slots, halts, onRun } = this.site;
    const executor = new SimExecutor({
      world,
      net,
      block_id,
      slots,
      halts,
      onRun,
      manager: SimManager.address,
      onExit: (code, reason) => this.#blockEnded(block_id, `${reason}; exit code ${code}`),
    });
    this.executors.set(block_id, executor);
  }

  /** A node is lost; the scheduler tells after a while, or not at all before the heartbeats do. */
  crashBlock(block_id: string, told: boolean): void {
    this.executors.get(block_id)?.crash();
    if (told) this.site.world.after(50, () => this.#blockEnded(block_id, 'its node was lost'));
  }

  #blockEnded(block_id: string, reason: string): void {
    this.executors.delete(block_id);
    this.manager.handle({ kind: 'block.ended', block_id, reason });
  }

  /** What the scheduler says of a block that was cancelled. */
  cancelBlock(block_id: string): void {
    const executor = this.executors.get(block_id);
    if (executor === undefined || executor.dead) this.#blockEnded(block_id, 'it was cancelled');
    else executor.stop();
  }
}

export class SimManager {
  static readonly address = 'mem://manager';
  readonly state: ManagerState;
  readonly #endpoint: SimEndpoint;
  readonly #hub: Hub;
  #line: Line | null = null;
  #flushing = false;
  dead = false;

  constructor(endpoint: SimEndpoint) {
    this.#endpoint = endpoint;
    const { world, net, blocks, slots } = endpoint.site;
    this.state = makeManagerState(
      {
        facts: { endpoint_id: 'e', secret: 's', version: '1', hostname: 'sim' },
        limits: {
          executor_heartbeat_ms: 5_000,
          gather_ms: 3_000,
          scaling: { min_blocks: blocks, max_blocks: blocks, slots_per_block: slots, idle_ms: 60_000 },
        },
        seed: world.between(1, 1_000_000),
        spooled: [...endpoint.disk].map(([seq, frames]) => spooled(seq, frames)),
        blocks: [...endpoint.executors].filter(([, executor]) => !executor.dead).map(([id]) => id),
      },
      world.now_ms,
    );
    this.#hub = net.listen({
      bind: SimManager.address,
      keys: makeMemoryKeys('manager'),
      allow: () => true,
      events: {
        onMessage: (peer, frames) => {
          const { message, blob } = decodeMessage<ExecutorToManager>(frames);
          const parts = partsOf(message, blob);
          this.handle({ kind: 'executor.message', peer, message, parts });
        },
        onUnreachable: (peer) => this.handle({ kind: 'executor.unreachable', peer }),
      },
    });
    this.#dial();
    world.every(
      250,
      () => !this.dead,
      () => this.handle({ kind: 'tick' }),
    );
  }

  crash(): void {
    this.dead = true;
    void this.#hub.close();
    void this.#line?.close();
  }

  handle(event: ManagerEvent): void {
    if (this.dead) return;
    const { world } = this.#endpoint.site;
    const instructions = step(this.state, event, world.now_ms);
    // Every kind of step is checked; the two that are most of them, often enough.
    const usual = event.kind === 'flush' || event.kind === 'tick' || isResults(event);
    if (!usual || world.random() < 0.1) validate(this.state);
    for (const instruction of instructions) this.#perform(instruction);
    if (this.#flushing || this.state.finished.length === 0) return;
    this.#flushing = true;
    world.after(0, () => {
      this.#flushing = false;
      this.handle({ kind: 'flush' });
    });
  }

  #perform(instruction: ManagerInstruction): void {
    const { world } = this.#endpoint.site;
    switch (instruction.kind) {
      case 'to_service':
        this.#line?.send(encodeMessage(instruction.message, instruction.parts));
        return;
      case 'results': {
        const { kind: _, parts, ...rest } = instruction;
        const frames = encodeMessage({ kind: 'tasks.results', ...rest }, parts);
        this.#endpoint.disk.set(instruction.seq, frames);
        if (this.state.link.phase === 'up') this.#line?.send(frames);
        return;
      }
      case 'resend':
        for (const seq of instruction.seqs) this.#line?.send(this.#endpoint.disk.get(seq) ?? []);
        return;
      case 'unspool':
        this.#endpoint.disk.delete(instruction.seq);
        return;
      case 'to_executor':
        this.#hub.send(instruction.peer, encodeMessage(instruction.message, instruction.parts));
        return;
      case 'submit_block':
        world.after(world.between(1, 2_000), () => {
          if (this.dead) return;
          this.#endpoint.startBlock(instruction.block_id);
          this.handle({ kind: 'block.submitted', block_id: instruction.block_id });
        });
        return;
      case 'cancel_block':
        world.after(10, () => this.#endpoint.cancelBlock(instruction.block_id));
        return;
      case 'relink':
        void this.#line?.close();
        this.handle({ kind: 'service.disconnected' });
        return this.#dial();
      case 'log':
        return;
      case 'exit':
        throw new Error(`the manager gave up: ${instruction.reason}`);
    }
  }

  #dial(): void {
    const { net, service } = this.#endpoint.site;
    const line = net.openLine({
      address: service.address,
      keys: makeMemoryKeys('endpoint'),
      serverKey: service.keys.publicKey,
      events: {
        onMessage: (frames) => {
          const { message, blob } = decodeMessage<ServiceToManager>(frames);
          const parts = partsOf(message, blob);
          if (this.#line === line) this.handle({ kind: 'service.message', message, parts });
        },
        onConnect: () => {
          if (this.#line === line) this.handle({ kind: 'service.connected' });
        },
        onDisconnect: () => {
          if (this.#line === line) this.handle({ kind: 'service.disconnected' });
        },
      },
    });
    this.#line = line;
  }
}

function isResults(event: ManagerEvent): boolean {
  return event.kind === 'executor.message' && event.message.kind === 'tasks.results';
}

function spooled(seq: number, frames: readonly Buffer[]): SpooledMessage {
  const { message, blob } = decodeMessage<ManagerToService>(frames);
  if (message.kind !== 'tasks.results') throw new Error('a spooled message is no result');
  const refs = splitBlob(blob, message.slabs).map(([part, slab]) => {
    return { chunk: part.chunk, epoch: part.epoch, indexes: scanSlab(slab).indexes };
  });
  return { seq, refs };
}
