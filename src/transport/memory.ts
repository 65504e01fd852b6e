// Links inside one process, for simulations: the same port as over ZeroMQ, with time and loss in the caller's
// hands. Messages of one connection arrive in order or, when the connection is cut, not at all.
import type { Hub, HubOptions, KeyPair, Line, LineOptions, PeerId } from './link.ts';

const MAX_QUEUED_BYTES = 64 * 1024 * 1024;
const MAX_QUEUED_MESSAGES = 8192;
const REDIAL_MS = 100;
const REFUSED_REDIAL_MS = 500;

/** What becomes of one message: delivered after so many milliseconds, or its connection breaks first. */
export type Fate = number | 'cut';

export interface MemoryNetOptions {
  /** Runs an action later. The default uses the process's own timers; a simulation passes its driven clock. */
  readonly schedule?: (action: () => void, delay_ms: number) => void;
  /** Asked once per message; the default delivers everything at once. */
  readonly fate?: (to: 'hub' | 'line', frames: readonly Uint8Array[]) => Fate;
}

export interface MemoryNet {
  openHub(options: HubOptions): Promise<Hub>;
  /** The same without a promise, for simulations that must not wait. */
  listen(options: HubOptions): Hub;
  openLine(options: LineOptions): Line;
  /** Breaks every connection of the hub at `address`; the lines redial. */
  cut(address: string): void;
}

/** One direction of a connection: what is on its way, in order. */
interface Lane {
  readonly to: 'hub' | 'line';
  readonly receive: (frames: Buffer[]) => void;
  readonly queue: Buffer[][];
  bytes: number;
}

interface Connection {
  readonly peer: PeerId;
  readonly up: Lane;
  readonly down: Lane;
  readonly line: MemoryLine;
  open: boolean;
}

interface NetState {
  readonly hubs: Map<string, MemoryHub>;
  readonly schedule: (action: () => void, delay_ms: number) => void;
  readonly fate: (to: 'hub' | 'line', frames: readonly Uint8Array[]) => Fate;
  nextPort: number;
  nextPeer: number;
}

/** Queues frames on a lane; false when it is full. */
function travel(net: NetState, connection: Connection, lane: Lane, frames: readonly Uint8Array[]): boolean {
  const bytes = frames.reduce((sum, frame) => sum + frame.byteLength, 0);
  const full = lane.queue.length >= MAX_QUEUED_MESSAGES || lane.bytes + bytes > MAX_QUEUED_BYTES;
  if (full && lane.queue.length > 0) return false;
  lane.queue.push(frames.map((frame) => Buffer.from(frame)));
  lane.bytes += bytes;
  const fate = net.fate(lane.to, frames);
  if (fate === 'cut') {
    net.schedule(() => breakConnection(net, connection), 0);
    return true;
  }
  net.schedule(() => {
    const message = connection.open ? lane.queue.shift() : undefined;
    if (message === undefined) return;
    lane.bytes -= message.reduce((sum, frame) => sum + frame.byteLength, 0);
    lane.receive(message);
  }, fate);
  return true;
}

function breakConnection(net: NetState, connection: Connection): void {
  if (!connection.open) return;
  connection.open = false;
  for (const hub of net.hubs.values()) hub.connections.delete(connection.peer);
  connection.line.lost();
}

class MemoryHub implements Hub {
  readonly address: string;
  readonly publicKey: string;
  readonly options: HubOptions;
  readonly connections = new Map<PeerId, Connection>();
  readonly #net: NetState;

  constructor(net: NetState, address: string, options: HubOptions) {
    this.#net = net;
    this.address = address;
    this.publicKey = options.keys.publicKey;
    this.options = options;
  }

  get queuedBytes(): number {
    let bytes = 0;
    for (const connection of this.connections.values()) bytes += connection.down.bytes;
    return bytes;
  }

  send(peer: PeerId, frames: readonly Uint8Array[]): boolean {
    const connection = this.connections.get(peer);
    if (connection !== undefined) return travel(this.#net, connection, connection.down, frames);
    this.#net.schedule(() => this.options.events.onUnreachable?.(peer, 'it is gone'), 0);
    return true;
  }

  async close(): Promise<void> {
    this.#net.hubs.delete(this.address);
    for (const connection of [...this.connections.values()]) breakConnection(this.#net, connection);
    this.connections.clear();
  }
}

class MemoryLine implements Line {
  readonly #net: NetState;
  readonly #options: LineOptions;
  #connection: Connection | null = null;
  #closed = false;

  constructor(net: NetState, options: LineOptions) {
    this.#net = net;
    this.#options = options;
    net.schedule(() => this.#dial(), 0);
  }

  get queuedBytes(): number {
    return this.#connection?.up.bytes ?? 0;
  }

  send(frames: readonly Uint8Array[]): boolean {
    const connection = this.#connection;
    return connection !== null && connection.open && travel(this.#net, connection, connection.up, frames);
  }

  /** The connection broke. */
  lost(): void {
    if (this.#connection === null) return;
    this.#connection = null;
    if (this.#closed) return;
    this.#options.events.onDisconnect?.();
    this.#net.schedule(() => this.#dial(), REDIAL_MS);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#connection !== null) breakConnection(this.#net, this.#connection);
  }

  #dial(): void {
    if (this.#closed || this.#connection !== null) return;
    const hub = this.#net.hubs.get(this.#options.address);
    if (hub === undefined) return this.#net.schedule(() => this.#dial(), REDIAL_MS);
    const { keys, serverKey, events } = this.#options;
    if (serverKey !== hub.publicKey || !hub.options.allow(keys.publicKey)) {
      hub.options.events.onRefused?.('a peer with an unknown key was turned away');
      events.onRefused?.(`${this.#options.address} refuses us: the keys do not fit`);
      return this.#net.schedule(() => this.#dial(), REFUSED_REDIAL_MS);
    }
    this.#connection = this.#connect(hub);
    events.onConnect?.();
  }

  #connect(hub: MemoryHub): Connection {
    const peer = (this.#net.nextPeer++).toString(16).padStart(10, '0');
    const connection: Connection = {
      peer,
      line: this,
      up: {
        to: 'hub',
        queue: [],
        bytes: 0,
        receive: (frames) => hub.options.events.onMessage(peer, frames),
      },
      down: { to: 'line', queue: [], bytes: 0, receive: (frames) => this.#options.events.onMessage(frames) },
      open: true,
    };
    hub.connections.set(peer, connection);
    return connection;
  }
}

function onTimers(action: () => void, delay_ms: number): void {
  if (delay_ms === 0) setImmediate(action);
  else setTimeout(action, delay_ms);
}

/** A network of its own: hubs and lines of different nets never meet. */
export function makeMemoryNet(options: MemoryNetOptions = {}): MemoryNet {
  const net: NetState = {
    hubs: new Map(),
    schedule: options.schedule ?? onTimers,
    fate: options.fate ?? (() => 0),
    nextPort: 1,
    nextPeer: 1,
  };
  const listen = (hubOptions: HubOptions): Hub => {
    const address = hubOptions.bind.replace(/\*$/, () => String(net.nextPort++));
    if (net.hubs.has(address)) throw new Error(`cannot listen on ${address}: the address is taken`);
    const hub = new MemoryHub(net, address, hubOptions);
    net.hubs.set(address, hub);
    return hub;
  };
  return {
    listen,
    openHub: async (hubOptions) => listen(hubOptions),
    openLine: (lineOptions) => new MemoryLine(net, lineOptions),
    cut(address) {
      const hub = net.hubs.get(address);
      for (const connection of [...(hub?.connections.values() ?? [])]) breakConnection(net, connection);
    },
  };
}

/** Keys that only name: nothing is encrypted inside one process. */
export function makeMemoryKeys(name: string): KeyPair {
  return { publicKey: `public ${name}`, secretKey: `secret ${name}` };
}
