// The dialling end of a link over ZeroMQ: a DEALER with CURVE. libzmq redials a lost connection by itself; it
// gives up for good when the far side refuses our key, so that case gets a new socket after a pause.
import { Context, Dealer } from 'zeromq';
import type { Line, LineOptions } from './link.ts';
import { Outbox } from './outbox.ts';
import {
  errorCode,
  LINGER_MS,
  nextTurn,
  OUTBOX_LIMITS,
  retryAfter_ms,
  SOCKET_OPTIONS,
  surface,
  TURN_MESSAGES,
} from './zmq-settings.ts';

const RECONNECT_MS = 100;
const RECONNECT_MAX_MS = 5_000;
const REDIAL_MAX_MS = 30_000;

/** One context for all lines of the process: an I/O thread each would buy nothing. */
let lineContext: Context | null = null;

class ZmqLine implements Line {
  readonly #options: LineOptions;
  readonly #outbox = new Outbox(OUTBOX_LIMITS);
  #socket: Dealer;
  #connected = false;
  #writing = false;
  #retry: NodeJS.Timeout | null = null;
  #redial: NodeJS.Timeout | null = null;
  #refusals = 0;
  #closed = false;

  constructor(options: LineOptions) {
    this.#options = options;
    this.#socket = this.#dial();
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  /** False while there is no connection: a new connection is a new conversation, opened in `onConnect`. */
  send(frames: readonly Uint8Array[]): boolean {
    if (this.#closed || !this.#connected || !this.#outbox.push(frames)) return false;
    if (this.#retry === null) void this.#write();
    return true;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    const deadline = Date.now() + LINGER_MS;
    while (this.#connected && this.#outbox.length > 0 && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, retryAfter_ms(0)));
    }
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#redial !== null) clearTimeout(this.#redial);
    this.#outbox.clear();
    this.#socket.close();
  }

  #dial(): Dealer {
    lineContext ??= new Context({ blocky: false });
    const { address, keys, serverKey } = this.#options;
    const socket = new Dealer({
      ...SOCKET_OPTIONS,
      context: lineContext,
      // Nothing is queued for a connection that is not there: old words must not open a new conversation.
      immediate: true,
      connectTimeout: 10_000,
      reconnectInterval: RECONNECT_MS,
      reconnectMaxInterval: RECONNECT_MAX_MS,
      curveServerKey: serverKey,
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
    });
    const events = socket.events;
    events.on('handshake', () => this.#onHandshake(socket));
    events.on('disconnect', () => this.#onDisconnect(socket));
    events.on('handshake:error:auth', () => this.#onRefused(socket, 'it does not accept our key'));
    events.on('handshake:error:protocol', ({ error }) => {
      this.#onRefused(socket, `it breaks the rules of the handshake (${error.message})`);
    });
    events.on('handshake:error:other', () => {
      this.#onRefused(
        socket,
        'it ends the handshake: most likely the server key we were given is not its key',
      );
    });
    socket.connect(address);
    void this.#read(socket);
    return socket;
  }

  #onHandshake(socket: Dealer): void {
    if (this.#closed || socket !== this.#socket) return;
    this.#connected = true;
    this.#refusals = 0;
    this.#tell(() => this.#options.events.onConnect?.());
  }

  #onDisconnect(socket: Dealer): void {
    if (this.#closed || socket !== this.#socket || !this.#connected) return;
    this.#connected = false;
    this.#outbox.clear();
    this.#tell(() => this.#options.events.onDisconnect?.());
  }

  /** Tells the caller, and dials again with a new socket after a pause that grows. */
  #onRefused(socket: Dealer, why: string): void {
    if (this.#closed || socket !== this.#socket || this.#redial !== null) return;
    this.#onDisconnect(socket);
    socket.close();
    const pause_ms = Math.min(REDIAL_MAX_MS, 500 * 2 ** this.#refusals);
    this.#refusals = Math.min(this.#refusals + 1, 10);
    this.#redial = setTimeout(() => {
      this.#redial = null;
      this.#socket = this.#dial();
    }, pause_ms);
    this.#tell(() => this.#options.events.onRefused?.(`${this.#options.address} refuses us: ${why}`));
  }

  async #read(socket: Dealer): Promise<void> {
    let handled = 0;
    try {
      for await (const frames of socket) {
        if (this.#closed || socket !== this.#socket) break;
        this.#tell(() => this.#options.events.onMessage(frames));
        if (++handled % TURN_MESSAGES === 0) await nextTurn();
      }
    } catch (error) {
      if (!socket.closed) surface(error);
    }
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      for (let parcel = this.#outbox.peek(); parcel !== undefined; parcel = this.#outbox.peek()) {
        const socket = this.#socket;
        await socket.send([...parcel.frames]);
        // A connection lost meanwhile has emptied the box; the next one's words are not ours to drop.
        if (this.#outbox.peek() === parcel) this.#outbox.shift();
      }
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN' && !this.#closed && !this.#socket.closed) surface(error);
      if (!this.#closed && this.#outbox.length > 0) this.#retryLater();
    } finally {
      this.#writing = false;
    }
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      void this.#write();
    }, retryAfter_ms(0));
  }

  #tell(handler: () => void): void {
    try {
      handler();
    } catch (error) {
      surface(error);
    }
  }
}

/** Dials a hub and goes on dialling until closed. */
export function openLine(options: LineOptions): Line {
  return new ZmqLine(options);
}
