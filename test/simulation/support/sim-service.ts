// The service's side of the link, in a simulation: it keeps chunks, stores each task's first result and delivers
// again what its manager no longer has.
import { chunkIdFrom } from '../../../src/ids.ts';
import { encodeBatch } from '../../../src/protocol/batch.ts';
import { decodeMessage, encodeMessage, splitBlob } from '../../../src/protocol/codec.ts';
import type { ManagerToService, ServiceToManager, TaskOptions } from '../../../src/protocol/messages.ts';
import { decodeSlab, type SlabEntry } from '../../../src/protocol/slab.ts';
import type { Hub, PeerId } from '../../../src/transport/link.ts';
import { makeMemoryKeys, type MemoryNet } from '../../../src/transport/memory.ts';
import type { World } from './world.ts';

const HEARTBEAT_MS = 5_000;

/** What a simulated task does; its payload is this as JSON. */
export interface TaskPlan {
  readonly duration_ms: number;
  /** Ends its worker each time it runs. */
  readonly poison?: boolean;
}

export interface SimChunk {
  readonly id: string;
  readonly function_id: string;
  readonly options: TaskOptions;
  readonly plans: readonly TaskPlan[];
  epoch: number;
  accepted: boolean;
  readonly cancelled: Set<number>;
  readonly results: Map<number, SlabEntry>;
}

export class SimService {
  readonly address = 'mem://service';
  readonly keys = makeMemoryKeys('service');
  readonly chunks = new Map<string, SimChunk>();
  repeats = 0;
  #world: World;
  #net: MemoryNet;
  #hub: Hub | null = null;
  #peer: PeerId | null = null;

  constructor(world: World, net: MemoryNet) {
    this.#world = world;
    this.#net = net;
    this.open();
    world.every(
      HEARTBEAT_MS,
      () => true,
      () => this.#say({ kind: 'link.heartbeat' }),
    );
  }

  open(): void {
    if (this.#hub !== null) return;
    this.#peer = null;
    this.#hub = this.#net.listen({
      bind: this.address,
      keys: this.keys,
      allow: () => true,
      events: { onMessage: (peer, frames) => this.#onMessage(peer, frames) },
    });
  }

  /** The process dies; what it stored stays. */
  crash(): void {
    void this.#hub?.close();
    this.#hub = null;
    this.#peer = null;
  }

  submit(function_id: string, plans: readonly TaskPlan[], options: TaskOptions): SimChunk {
    const chunk: SimChunk = {
      id: chunkIdFrom(this.#world.bytes(16)),
      function_id,
      options,
      plans,
      epoch: 1,
      accepted: false,
      cancelled: new Set(),
      results: new Map(),
    };
    this.chunks.set(chunk.id, chunk);
    this.#deliver(chunk);
    return chunk;
  }

  /** Cancels a task that has no result; it counts as ended from now on. */
  cancel(chunk: SimChunk, index: number): void {
    if (chunk.results.has(index)) return;
    chunk.cancelled.add(index);
    this.#say({ kind: 'tasks.cancel', tasks: [{ chunk: chunk.id, indexes: [index] }] });
  }

  get allEnded(): boolean {
    for (const chunk of this.chunks.values()) {
      for (let index = 0; index < chunk.plans.length; index++) if (!hasEnded(chunk, index)) return false;
    }
    return true;
  }

  #say(message: ServiceToManager, parts: readonly Buffer[] = []): void {
    if (this.#peer !== null) this.#hub?.send(this.#peer, encodeMessage(message, parts));
  }

  #deliver(chunk: SimChunk): void {
    const entries = chunk.plans
      .map((plan, index) => ({ index, attempt: chunk.epoch, payload: Buffer.from(JSON.stringify(plan)) }))
      .filter(({ index }) => !hasEnded(chunk, index));
    if (entries.length === 0) return;
    const batch = encodeBatch(entries);
    const { id, epoch, function_id, options } = chunk;
    const part = { chunk: id, epoch, function_id, options, bytes: batch.length };
    this.#say({ kind: 'tasks.submit', batches: [part] }, [batch]);
  }

  #onMessage(peer: PeerId, frames: Buffer[]): void {
    const { message, blob } = decodeMessage<ManagerToService>(frames);
    if (message.kind === 'link.hello') return this.#onHello(peer, message);
    if (peer !== this.#peer) return;
    switch (message.kind) {
      case 'tasks.accepted':
        for (const { chunk, epoch } of message.chunks) {
          const known = this.chunks.get(chunk);
          if (known !== undefined && known.epoch === epoch) known.accepted = true;
        }
        return;
      case 'functions.wanted': {
        const functions = message.function_ids.map((function_id) => ({ function_id, bytes: 4 }));
        return this.#say(
          { kind: 'functions', functions },
          functions.map(() => Buffer.from('code')),
        );
      }
      case 'tasks.results':
        for (const [part, slab] of splitBlob(blob, message.slabs)) this.#store(part.chunk, slab);
        return this.#say({ kind: 'results.ack', seq: message.seq });
      default:
        return;
    }
  }

  #onHello(peer: PeerId, hello: Extract<ManagerToService, { kind: 'link.hello' }>): void {
    this.#peer = peer;
    const held = new Map<string, Set<number>>();
    for (const { chunk, indexes } of hello.held) {
      held.set(chunk, new Set([...(held.get(chunk) ?? []), ...indexes]));
    }
    const cancelled = [...held].map(([chunk, indexes]) => {
      const known = this.chunks.get(chunk);
      return {
        chunk,
        indexes: [...indexes].filter((index) => known === undefined || hasEnded(known, index)),
      };
    });
    this.#say({ kind: 'link.welcome', heartbeat_ms: HEARTBEAT_MS, cancelled });
    for (const chunk of this.chunks.values()) {
      const lost = chunk.plans.some(
        (_, index) => !hasEnded(chunk, index) && held.get(chunk.id)?.has(index) !== true,
      );
      if (!lost) continue;
      chunk.epoch++;
      chunk.accepted = false;
      this.#deliver(chunk);
    }
  }

  #store(id: string, slab: Buffer): void {
    const chunk = this.chunks.get(id);
    if (chunk === undefined) throw new Error(`a result of a chunk that does not exist: ${id}`);
    for (const entry of decodeSlab(slab)) {
      if (hasEnded(chunk, entry.index)) this.repeats++;
      else chunk.results.set(entry.index, entry);
    }
  }
}

export function hasEnded(chunk: SimChunk, index: number): boolean {
  return chunk.results.has(index) || chunk.cancelled.has(index);
}
