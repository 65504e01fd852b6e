// The port every link implements: a hub that peers dial into, and a line dialled out. What is said is in
// src/protocol; how it travels is in zmq.ts (sockets, CURVE) and memory.ts (one process, for simulations).

/** A hub's handle on one connected peer; opaque, equal for the same connection. */
export type PeerId = string;

export interface HubEvents {
  /** Frames from a peer. Called in order of arrival; must not throw. */
  readonly onMessage: (peer: PeerId, frames: Buffer[]) => void;
  /** A peer could not be reached: it went away or its queue is full. */
  readonly onUnreachable?: (peer: PeerId, why: string) => void;
  /** A peer was turned away at the handshake; `why` is for the log. */
  readonly onRefused?: (why: string) => void;
}

export interface Hub {
  /** Where peers dial: `tcp://host:port`. */
  readonly address: string;
  /** The CURVE public key peers must know, z85; empty for links without encryption. */
  readonly publicKey: string;
  /** Queues frames for a peer. False when the peer's queue is full: the caller must hold back. */
  send(peer: PeerId, frames: readonly Uint8Array[]): boolean;
  /** Bytes queued and not yet written, over all peers. */
  readonly queuedBytes: number;
  close(): Promise<void>;
}

export interface LineEvents {
  readonly onMessage: (frames: Buffer[]) => void;
  /** The transport connected or lost its connection; it redials by itself for ever. */
  readonly onConnect?: () => void;
  readonly onDisconnect?: () => void;
  /** The far side refused our key. It is tried again, but somebody should be told. */
  readonly onRefused?: (why: string) => void;
}

export interface Line {
  send(frames: readonly Uint8Array[]): boolean;
  readonly queuedBytes: number;
  close(): Promise<void>;
}

export interface KeyPair {
  /** z85, 40 characters. */
  readonly publicKey: string;
  readonly secretKey: string;
}

export interface HubOptions {
  /** `tcp://127.0.0.1:*` picks a free port. */
  readonly bind: string;
  readonly keys: KeyPair;
  /** May a peer with this z85 public key connect? Asked at each handshake. */
  readonly allow: (publicKey: string) => boolean;
  readonly events: HubEvents;
}

export interface LineOptions {
  readonly address: string;
  readonly keys: KeyPair;
  readonly serverKey: string;
  readonly events: LineEvents;
}
