// Identifiers. A task's id is a UUIDv8 (RFC 9562) that carries its chunk and its place in it, so that any task
// is found without a row of its own: the first 14 bytes are the chunk's, the last 2 the task's index.

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Tasks in one chunk at most; the settle bitmap is 128 bits wide and 100 is where measured gains end. */
export const CHUNK_TASKS = 100;

/** Is it a lower-case hyphenated UUID of any version? */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** 16 random bytes → a chunk id: version 8, RFC variant, index 0. */
export function chunkIdFrom(random: Uint8Array): string {
  const bytes = Buffer.from(random.subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  bytes[14] = 0;
  bytes[15] = 0;
  return uuidFromBytes(bytes);
}

/** The id of the task at `index` (0…127) of a chunk. */
export function taskId(chunkId: string, index: number): string {
  return chunkId.slice(0, 32) + index.toString(16).padStart(4, '0');
}

export interface TaskPlace {
  readonly chunk: string;
  readonly index: number;
}

/** A task id's chunk and index, or null when it is not one of ours. */
export function taskPlace(id: string): TaskPlace | null {
  if (!isUuid(id) || id[14] !== '8') return null;
  const index = Number.parseInt(id.slice(32), 16);
  if (index >= 128) return null;
  return { chunk: id.slice(0, 32) + '0000', index };
}

/** 16 bytes → UUID text. */
export function uuidFromBytes(bytes: Uint8Array, offset = 0): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + offset, 16).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** UUID text → 16 bytes. */
export function uuidToBytes(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

/** The principal name Globus clients use for an identity. */
export function identityUrn(identity: string): string {
  return `urn:globus:auth:identity:${identity}`;
}

/** The identity in an identity URN, or null. */
export function identityOfUrn(urn: string): string | null {
  const found = /^urn:globus:auth:identity:([0-9a-f-]{36})$/.exec(urn);
  return found?.[1] ?? null;
}
