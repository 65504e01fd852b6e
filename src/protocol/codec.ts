// Messages ↔ frames, and the cutting of a blob into the parts its header lists.
import { PROTOCOL_VERSION, type Message } from './messages.ts';

export interface Received<M extends Message> {
  readonly message: M;
  readonly blob: Buffer;
}

/** Why a peer's frames are not a message we take. */
export class ProtocolError extends Error {
  readonly reason: 'malformed' | 'version';

  constructor(reason: 'malformed' | 'version', message: string) {
    super(message);
    this.name = 'ProtocolError';
    this.reason = reason;
  }
}

const NO_BLOB = Buffer.alloc(0);

/** A message and its blob's parts → frames. Parts are joined into one frame: a frame costs the same whatever its size. */
export function encodeMessage(message: Message, parts: readonly Uint8Array[] = []): Buffer[] {
  const header = Buffer.from(JSON.stringify({ v: PROTOCOL_VERSION, ...message }));
  return parts.length === 0 ? [header] : [header, Buffer.concat(parts)];
}

/** Frames → message. Throws ProtocolError; the caller drops the message and counts it. */
export function decodeMessage<M extends Message>(frames: readonly Buffer[]): Received<M> {
  const [head, blob = NO_BLOB] = frames;
  if (head === undefined || frames.length > 2)
    throw new ProtocolError('malformed', 'a message has one or two frames');
  let header: unknown;
  try {
    header = JSON.parse(head.toString('utf8'));
  } catch {
    throw new ProtocolError('malformed', 'a header is not JSON');
  }
  if (
    typeof header !== 'object' ||
    header === null ||
    !('kind' in header) ||
    typeof header.kind !== 'string'
  ) {
    throw new ProtocolError('malformed', 'a header has no kind');
  }
  if (!('v' in header) || header.v !== PROTOCOL_VERSION) {
    throw new ProtocolError('version', `this side speaks protocol ${PROTOCOL_VERSION}, the peer another`);
  }
  return { message: header as unknown as M, blob };
}

/** Cuts a blob into the parts its header lists, in order; views, not copies. */
export function splitBlob<P extends { readonly bytes: number }>(
  blob: Buffer,
  parts: readonly P[],
): [P, Buffer][] {
  let start = 0;
  const pieces = parts.map((part): [P, Buffer] => {
    const end = start + part.bytes;
    if (!Number.isInteger(part.bytes) || part.bytes < 0 || end > blob.length) {
      throw new ProtocolError('malformed', 'a blob is shorter than its parts');
    }
    const piece = blob.subarray(start, end);
    start = end;
    return [part, piece];
  });
  if (start !== blob.length) throw new ProtocolError('malformed', 'a blob is longer than its parts');
  return pieces;
}
