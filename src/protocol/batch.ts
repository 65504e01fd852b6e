// Task batches: the one binary form in which payloads travel, from the database row to the Python worker.
//
//   u16 n | n × record | n payloads, in order            (little-endian)
//   record: u8 index | u8 0 | u16 attempt | u32 length of the payload in bytes
//
// All tasks of a batch belong to one chunk and one function. A payload is the caller's packed arguments; Node
// cuts batches by these records and never looks inside a payload. src/endpoint/worker/wire.py is the twin.

const RECORD_BYTES = 8;

export interface BatchEntry {
  /** Place in the chunk, 0…127. */
  readonly index: number;
  /** 1 for the first run. */
  readonly attempt: number;
  readonly payload: Uint8Array;
}

/** Entries → one batch. */
export function encodeBatch(entries: readonly BatchEntry[]): Buffer {
  const head = Buffer.alloc(2 + entries.length * RECORD_BYTES);
  head.writeUInt16LE(entries.length, 0);
  entries.forEach((entry, place) => {
    const at = 2 + place * RECORD_BYTES;
    head.writeUInt8(entry.index, at);
    head.writeUInt16LE(entry.attempt, at + 2);
    head.writeUInt32LE(entry.payload.byteLength, at + 4);
  });
  return Buffer.concat([head, ...entries.map((entry) => entry.payload)]);
}

/** One batch → its entries; payloads are views, not copies. Throws RangeError when the bytes are not a batch. */
export function decodeBatch(batch: Buffer): BatchEntry[] {
  const count = batch.readUInt16LE(0);
  const entries: BatchEntry[] = [];
  let start = 2 + count * RECORD_BYTES;
  for (let place = 0; place < count; place++) {
    const at = 2 + place * RECORD_BYTES;
    const length = batch.readUInt32LE(at + 4);
    if (start + length > batch.length) throw new RangeError('a batch ends before its payloads do');
    entries.push({
      index: batch.readUInt8(at),
      attempt: batch.readUInt16LE(at + 2),
      payload: batch.subarray(start, start + length),
    });
    start += length;
  }
  if (start !== batch.length) throw new RangeError('a batch has bytes after its last payload');
  return entries;
}
