// What both ends of a ZeroMQ link have in common: bounds, liveness and how errors are told apart.

/** A frame larger than this makes the link drop the peer that sent it. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024;

/** Bounds of what waits for one peer, above the few messages libzmq itself holds. */
export const OUTBOX_LIMITS = { bytes: 64 * 1024 * 1024, messages: 8192 };

/** Messages libzmq holds per peer. Small: what it holds is not counted by `queuedBytes`. */
const SOCKET_MESSAGES = 128;

/** How soon a full socket is tried again, by how long it has been full: a busy peer is back within a millisecond. */
export function retryAfter_ms(stall_ms: number): number {
  return stall_ms < 100 ? 1 : 20;
}

/** A peer that takes nothing for this long is given up. */
export const STALL_MS = 30_000;

/** Time that messages already queued get to leave when a link is closed. */
export const LINGER_MS = 300;

/** Received messages handled before timers and other sockets get their turn. */
export const TURN_MESSAGES = 64;

/** Socket options of hub and line. `sendTimeout: 0` answers at once; the outbox keeps what did not fit. */
export const SOCKET_OPTIONS = {
  linger: LINGER_MS,
  sendTimeout: 0,
  sendHighWaterMark: SOCKET_MESSAGES,
  receiveHighWaterMark: SOCKET_MESSAGES,
  maxMessageSize: MAX_FRAME_BYTES,
  handshakeInterval: 10_000,
  heartbeatInterval: 5_000,
  heartbeatTimeout: 15_000,
  heartbeatTimeToLive: 20_000,
  tcpKeepalive: 1,
  tcpKeepaliveIdle: 60,
} as const;

/** The errno name of a socket error, or ''. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** Lets the event loop run timers and other sockets. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Hands an error of a caller's handler to the process: a link goes on, a bug does not stay hidden. */
export function surface(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
