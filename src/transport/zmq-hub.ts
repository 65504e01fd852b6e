// The listening end of a link over ZeroMQ: a ROUTER with CURVE. One writer, one bounded outbox per peer, so
// that a peer which reads slowly holds back nobody else.
import { Context, Router } from 'zeromq';
import { messageOf } from '../errors.ts';
import type { Hub, HubOptions, PeerId } from './link.ts';
import { Outbox } from './outbox.ts';
import { startZapHandler, type ZapHandler } from './zap.ts';
import {
  errorCode,
  LINGER_MS,
  nextTurn,
  OUTBOX_LIMITS,
  retryAfter_ms,
  SOCKET_OPTIONS,
  STALL_MS,
  surface,
  TURN_MESSAGES,
} from './zmq-settings.ts';

const MAX_SOCKETS = 4096;

interface Peer {
  readonly id: PeerId;
  readonly routingId: Buffer;
  readonly outbox: Outbox;
  /** Its socket was full a moment ago. */
  blocked: boolean;
  /** Since when its socket takes nothing; null while it does. */
  stalled_ms: number | null;
}

class ZmqHub implements Hub {
  readonly address: string;
  readonly publicKey: string;
  readonly #socket: Router;
  readonly #zap: ZapHandler;
  readonly #events: HubOptions['events'];
  /** Peers with something queued. */
  readonly #peers = new Map<PeerId, Peer>();
  #queuedBytes = 0;
  #writing = false;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;

  constructor(socket: Router, zap: ZapHandler, options: HubOptions) {
    this.#socket = socket;
    this.#zap = zap;
    this.#events = options.events;
    this.address = socket.lastEndpoint ?? options.bind;
    this.publicKey = options.keys.publicKey;
    this.#watch();
    void this.#read();
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  send(peerId: PeerId, frames: readonly Uint8Array[]): boolean {
    if (this.#closed) return false;
    let peer = this.#peers.get(peerId);
    if (peer === undefined) {
      const routingId = Buffer.from(peerId, 'hex');
      peer = { id: peerId, routingId, outbox: new Outbox(OUTBOX_LIMITS), blocked: false, stalled_ms: null };
      this.#peers.set(peerId, peer);
    }
    const before = peer.outbox.bytes;
    if (!peer.outbox.push(frames)) return false;
    this.#queuedBytes += peer.outbox.bytes - before;
    if (!peer.blocked) void this.#write();
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const deadline = Date.now() + LINGER_MS;
    while (this.#peers.size > 0 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, retryAfter_ms(0)));
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#socket.close();
    this.#zap.close();
    this.#peers.clear();
    this.#queuedBytes = 0;
  }

  #watch(): void {
    const refused = (why: string) => {
      if (!this.#closed) this.#events.onRefused?.(why);
    };
    const events = this.#socket.events;
    events.on('handshake:error:auth', () => refused('a peer with an unknown key was turned away'));
    events.on('handshake:error:protocol', ({ error }) => {
      refused(`a peer was turned away: it knows another server key or speaks no CURVE (${error.message})`);
    });
    events.on('accept:error', ({ error }) => refused(`a connection could not be accepted: ${error.message}`));
  }

  async #read(): Promise<void> {
    let handled = 0;
    try {
      for await (const [routingId, ...frames] of this.#socket) {
        if (routingId === undefined || this.#closed) continue;
        try {
          this.#events.onMessage(routingId.toString('hex'), frames);
        } catch (error) {
          surface(error);
        }
        if (++handled % TURN_MESSAGES === 0) await nextTurn();
      }
    } catch (error) {
      if (!this.#closed) surface(error);
    }
  }

  /** Sends round robin, one message a peer, until nothing is left that can go. Runs once at a time. */
  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    let written = 0;
    try {
      for (let sent = true; sent && !this.#closed;) {
        sent = false;
        for (const peer of this.#peers.values()) {
          if (peer.blocked || !(await this.#writeOne(peer))) continue;
          sent = true;
          if (++written % TURN_MESSAGES === 0) await nextTurn();
        }
      }
    } finally {
      this.#writing = false;
    }
  }

  async #writeOne(peer: Peer): Promise<boolean> {
    const parcel = peer.outbox.peek();
    if (parcel === undefined || this.#closed) return false;
    try {
      await this.#socket.send([peer.routingId, ...parcel.frames]);
    } catch (error) {
      if (this.#closed) return false;
      if (errorCode(error) === 'EAGAIN') this.#block(peer);
      else this.#forget(peer, errorCode(error) === 'EHOSTUNREACH' ? 'it is gone' : messageOf(error));
      return false;
    }
    peer.stalled_ms = null;
    peer.outbox.shift();
    this.#queuedBytes -= parcel.bytes;
    if (peer.outbox.length === 0) this.#peers.delete(peer.id);
    return true;
  }

  /** The peer's socket is full: the others go on, it is tried again in a moment. */
  #block(peer: Peer): void {
    const now_ms = Date.now();
    peer.stalled_ms ??= now_ms;
    const stall_ms = now_ms - peer.stalled_ms;
    if (stall_ms > STALL_MS) return this.#forget(peer, `it has taken nothing for ${STALL_MS / 1000} s`);
    peer.blocked = true;
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      for (const blocked of this.#peers.values()) blocked.blocked = false;
      void this.#write();
    }, retryAfter_ms(stall_ms));
  }

  #forget(peer: Peer, why: string): void {
    this.#queuedBytes -= peer.outbox.bytes;
    peer.outbox.clear();
    this.#peers.delete(peer.id);
    try {
      this.#events.onUnreachable?.(peer.id, why);
    } catch (error) {
      surface(error);
    }
  }
}

/** Binds a hub; resolves when peers can dial it. Throws when the address is taken or malformed. */
export async function openHub(options: HubOptions): Promise<Hub> {
  const context = new Context({ blocky: false, maxSockets: MAX_SOCKETS });
  const zap = await startZapHandler(context, options.allow);
  const socket = new Router({
    ...SOCKET_OPTIONS,
    context,
    mandatory: true,
    backlog: 1024,
    curveServer: true,
    curveSecretKey: options.keys.secretKey,
    zapDomain: 'pilotwave',
  });
  try {
    await socket.bind(options.bind);
  } catch (error) {
    socket.close();
    zap.close();
    throw new Error(`cannot listen on ${options.bind}: ${messageOf(error)}`, { cause: error });
  }
  return new ZmqHub(socket, zap, options);
}
