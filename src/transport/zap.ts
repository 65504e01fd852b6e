// The ZeroMQ authentication handler (ZAP, RFC 27): libzmq asks it about each CURVE key before a peer gets in.
// It is found by a fixed in-process name, so that each hub needs a context of its own.
import { Reply, type Context } from 'zeromq';
import { encodeZ85 } from './z85.ts';

const ADDRESS = 'inproc://zeromq.zap.01';
const VERSION = '1.0';

export interface ZapHandler {
  close(): void;
}

/** Answers handshakes in `context` until closed; `allow` gets the peer's public key, z85. */
export async function startZapHandler(
  context: Context,
  allow: (publicKey: string) => boolean,
): Promise<ZapHandler> {
  const socket = new Reply({ context, linger: 0 });
  await socket.bind(ADDRESS);
  void answer(socket, allow);
  return { close: () => socket.close() };
}

async function answer(socket: Reply, allow: (publicKey: string) => boolean): Promise<void> {
  try {
    for await (const request of socket) {
      const [version, requestId, , , , mechanism, key] = request;
      const known = version?.toString() === VERSION && mechanism?.toString() === 'CURVE';
      const allowed = known && key?.byteLength === 32 && mayEnter(allow, key);
      const verdict = allowed ? ['200', 'OK'] : ['400', 'unknown key'];
      await socket.send([VERSION, requestId ?? '', ...verdict, '', '']);
    }
  } catch (error) {
    // A closed socket ends the loop this way; a live one must not leave peers waiting in silence.
    if (!socket.closed) throw error;
  }
}

function mayEnter(allow: (publicKey: string) => boolean, key: Buffer): boolean {
  try {
    return allow(encodeZ85(key));
  } catch {
    return false;
  }
}
