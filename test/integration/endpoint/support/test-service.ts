// Plays the service for one endpoint in tests: accepts its link, delivers chunks, stores each task's first result,
// and delivers again what a manager says it no longer has.
import assert from 'node:assert/strict';
import { systemChance } from '../../../../src/clock.ts';
import { chunkIdFrom } from '../../../../src/ids.ts';
import { encodeBatch } from '../../../../src/protocol/batch.ts';
import { decodeMessage, encodeMessage, splitBlob } from '../../../../src/protocol/codec.ts';
import type {
  EndpointStatus,
  HeldTasks,
  ManagerToService,
  ServiceToManager,
  StartedTask,
  TaskOptions,
} from '../../../../src/protocol/messages.ts';
import { jsonPayload, jsonValue, sourceCode } from '../../../../src/protocol/packed.ts';
import { decodeSlab, type SlabEntry } from '../../../../src/protocol/slab.ts';
import type { Hub, KeyPair, PeerId } from '../../../../src/transport/link.ts';
import { makeKeys, openHub } from '../../../../src/transport/zmq.ts';
import { eventually } from './eventually.ts';

export const ENDPOINT_ID = '7d1a3c52-5d0e-4a3b-9a55-0c7f0b7d3f10';
export const SECRET = 'secret of the test';

interface Chunk {
  readonly id: string;
  readonly function_id: string;
  readonly options: TaskOptions;
  readonly payloads: readonly Buffer[];
  epoch: number;
  accepted: boolean;
  readonly cancelled: Set<number>;
  readonly results: Map<number, SlabEntry>;
  /** Results that came for a task that had one. */
  repeats: number;
}

export class TestService {
  readonly keys: KeyPair = makeKeys();
  readonly managerKeys: KeyPair = makeKeys();
  readonly chunks = new Map<string, Chunk>();
  readonly functions = new Map<string, Buffer>();
  readonly started: StartedTask[] = [];
  readonly hellos: HeldTasks[][] = [];
  readonly refused: string[] = [];
  status: EndpointStatus | null = null;
  byes = 0;
  settled = 0;
  /** Acknowledge results? Off: a service that cannot store. */
  storing = true;
  heartbeat_ms = 500;
  #hub: Hub | null = null;
  #peer: PeerId | null = null;
  #bind = 'tcp://127.0.0.1:*';
  #beat: NodeJS.Timeout | null = null;

  get address(): string {
    return this.#hub?.address ?? this.#bind;
  }

  /** What the configuration of an endpoint says about this service. */
  get link(): { address: string; server_key: string; keys: KeyPair; secret: string } {
    return { address: this.address, server_key: this.keys.publicKey, keys: this.managerKeys, secret: SECRET };
  }

  async open(): Promise<this> {
    this.#hub = await openHub({
      bind: this.#bind,
      keys: this.keys,
      allow: (key) => key === this.managerKeys.publicKey,
      events: {
        onMessage: (peer, frames) => this.#onMessage(peer, frames),
        onRefused: (why) => this.refused.push(why),
      },
    });
    this.#bind = this.#hub.address;
    this.#beat = setInterval(() => this.say({ kind: 'link.heartbeat' }), this.heartbeat_ms);
    return this;
  }

  /** Goes away; `open` comes back at the same address, with everything it knew. */
  async close(): Promise<void> {
    if (this.#beat !== null) clearInterval(this.#beat);
    this.#peer = null;
    await this.#hub?.close();
    this.#hub = null;
  }

  get connected(): boolean {
    return this.#peer !== null;
  }

  say(message: ServiceToManager, parts: readonly Buffer[] = []): void {
    if (this.#peer !== null) this.#hub?.send(this.#peer, encodeMessage(message, parts));
  }

  /** Registers Python source with a function `f`. */
  register(source: string): string {
    const id = systemChance.uuid();
    this.functions.set(id, Buffer.from(sourceCode('f', source)));
    return id;
  }

  /** Submits one chunk; each element of `args` is one task's positional arguments. */
  submit(function_id: string, args: readonly (readonly unknown[])[], options: TaskOptions = {}): string {
    const payloads = args.map((list) => Buffer.from(jsonPayload(list, {})));
    return this.submitPayloads(function_id, payloads, options);
  }

  submitPayloads(function_id: string, payloads: readonly Buffer[], options: TaskOptions = {}): string {
    const id = chunkIdFrom(systemChance.bytes(16));
    const chunk: Chunk = {
      id,
      function_id,
      options,
      payloads,
      epoch: 1,
      accepted: false,
      cancelled: new Set(),
      results: new Map(),
      repeats: 0,
    };
    this.chunks.set(id, chunk);
    this.#deliver(chunk);
    return id;
  }

  cancel(id: string, indexes: readonly number[]): void {
    const chunk = this.chunks.get(id);
    for (const index of indexes) chunk?.cancelled.add(index);
    this.say({ kind: 'tasks.cancel', tasks: [{ chunk: id, indexes }] });
  }

  /** Resolves when every task of a chunk that was not cancelled has a result. */
  async results(id: string, limit_ms = 20_000): Promise<Map<number, SlabEntry>> {
    const chunk = this.chunks.get(id);
    assert.ok(chunk);
    const wanted = chunk.payloads.length - chunk.cancelled.size;
    await eventually(`${wanted} results of ${id}`, () => chunk.results.size >= wanted, limit_ms);
    return chunk.results;
  }

  /** The values of a chunk of successes, by index. */
  async values(id: string, limit_ms = 20_000): Promise<unknown[]> {
    const results = await this.results(id, limit_ms);
    return [...results.values()].sort((a, b) => a.index - b.index).map(valueOf);
  }

  #deliver(chunk: Chunk): void {
    const entries = chunk.payloads
      .map((payload, index) => ({ index, attempt: chunk.epoch, payload }))
      .filter(({ index }) => !chunk.results.has(index) && !chunk.cancelled.has(index));
    const batch = encodeBatch(entries);
    const { id, epoch, function_id, options } = chunk;
    this.say(
      { kind: 'tasks.submit', batches: [{ chunk: id, epoch, function_id, options, bytes: batch.length }] },
      [batch],
    );
  }

  #onMessage(peer: PeerId, frames: Buffer[]): void {
    const { message, blob } = decodeMessage<ManagerToService>(frames);
    if (message.kind === 'link.hello') return this.#onHello(peer, message);
    if (peer !== this.#peer) return;
    switch (message.kind) {
      case 'link.heartbeat':
        this.status = message.status;
        return;
      case 'link.bye':
        this.byes++;
        return;
      case 'tasks.accepted':
        for (const { chunk } of message.chunks) this.#known(chunk).accepted = true;
        return;
      case 'tasks.started':
        this.started.push(...message.tasks);
        return;
      case 'functions.wanted': {
        const found = message.function_ids.map(
          (id) => [id, this.functions.get(id) ?? Buffer.alloc(0)] as const,
        );
        const functions = found.map(([function_id, code]) => ({ function_id, bytes: code.length }));
        return this.say(
          { kind: 'functions', functions },
          found.map(([, code]) => code),
        );
      }
      case 'tasks.results':
        if (!this.storing) return;
        for (const [part, slab] of splitBlob(blob, message.slabs)) this.#store(this.#known(part.chunk), slab);
        return this.say({ kind: 'results.ack', seq: message.seq });
      default:
        assert.fail(`unexpected ${JSON.stringify(message)}`);
    }
  }

  #onHello(peer: PeerId, hello: Extract<ManagerToService, { kind: 'link.hello' }>): void {
    assert.equal(hello.endpoint_id, ENDPOINT_ID);
    assert.equal(hello.secret, SECRET);
    this.#peer = peer;
    this.hellos.push([...hello.held]);
    const held = new Set(
      hello.held.flatMap(({ chunk, indexes }) => indexes.map((index) => `${chunk} ${index}`)),
    );
    const cancelled = hello.held.flatMap(({ chunk, indexes }) => {
      const known = this.#known(chunk);
      const over = indexes.filter((index) => known.cancelled.has(index) || known.results.has(index));
      return over.length === 0 ? [] : [{ chunk, indexes: over }];
    });
    this.say({ kind: 'link.welcome', heartbeat_ms: this.heartbeat_ms, cancelled });
    for (const chunk of this.chunks.values()) {
      const lost = chunk.payloads.some((_, index) => {
        return !chunk.results.has(index) && !chunk.cancelled.has(index) && !held.has(`${chunk.id} ${index}`);
      });
      if (!lost) continue;
      if (chunk.accepted) chunk.epoch++;
      this.#deliver(chunk);
    }
  }

  #store(chunk: Chunk, slab: Buffer): void {
    for (const entry of decodeSlab(slab)) {
      if (chunk.results.has(entry.index)) {
        chunk.repeats++;
        continue;
      }
      assert.ok(!chunk.cancelled.has(entry.index), 'a cancelled task has a result');
      chunk.results.set(entry.index, entry);
      this.settled++;
    }
  }

  #known(id: string): Chunk {
    const chunk = this.chunks.get(id);
    assert.ok(chunk, `chunk ${id} is unknown`);
    return chunk;
  }
}

/** The value of a success; fails the test with the error's text for anything else. */
export function valueOf(entry: SlabEntry): unknown {
  const text = entry.data.toString('utf8');
  assert.equal(entry.outcome, 'success', text);
  const buffer = text.slice(text.indexOf('\n') + 1);
  const found = jsonValue(buffer) ?? jsonValue(text);
  assert.ok(found, `not JSON: ${text}`);
  return found.value;
}
