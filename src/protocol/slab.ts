// Result slabs: the one binary form in which results travel and are stored, from the Python worker to the
// database row. Node reads the records and never the bodies.
//
//   u16 n | n × record | n bodies, in order              (little-endian)
//   record (32 bytes): u8 index | u8 outcome | u16 attempt | u32 data bytes | u32 stdout bytes |
//                      u32 stderr bytes | f64 started, seconds since 1970 | f64 duration, seconds
//   body: data, then stdout, then stderr (UTF-8, bounded by the worker)
//
// data of a success is the caller's serialised result, of a user_failure the traceback's text, of a
// system_failure or cancelled JSON {"code","message"}. src/endpoint/worker/wire.py is the twin.
import { OUTCOMES, type Outcome } from '../lifecycle.ts';

const RECORD_BYTES = 32;

export interface SlabEntry {
  readonly index: number;
  readonly outcome: Outcome;
  readonly attempt: number;
  readonly started_s: number;
  readonly duration_s: number;
  readonly data: Buffer;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

const NONE = Buffer.alloc(0);

/** Entries → one slab. Used for results Node makes itself: cancellations and system failures. */
export function encodeSlab(entries: readonly SlabEntry[]): Buffer {
  const head = Buffer.alloc(2 + entries.length * RECORD_BYTES);
  head.writeUInt16LE(entries.length, 0);
  entries.forEach((entry, place) => {
    const at = 2 + place * RECORD_BYTES;
    head.writeUInt8(entry.index, at);
    head.writeUInt8(OUTCOMES.indexOf(entry.outcome), at + 1);
    head.writeUInt16LE(entry.attempt, at + 2);
    head.writeUInt32LE(entry.data.length, at + 4);
    head.writeUInt32LE(entry.stdout.length, at + 8);
    head.writeUInt32LE(entry.stderr.length, at + 12);
    head.writeDoubleLE(entry.started_s, at + 16);
    head.writeDoubleLE(entry.duration_s, at + 24);
  });
  return Buffer.concat([head, ...entries.flatMap((entry) => [entry.data, entry.stdout, entry.stderr])]);
}

/** One slab → its entries; bodies are views. Throws RangeError when the bytes are not a slab. */
export function decodeSlab(slab: Buffer): SlabEntry[] {
  const count = slab.readUInt16LE(0);
  const entries: SlabEntry[] = [];
  let start = 2 + count * RECORD_BYTES;
  const take = (length: number): Buffer => {
    if (start + length > slab.length) throw new RangeError('a slab ends before its bodies do');
    const part = slab.subarray(start, start + length);
    start += length;
    return part;
  };
  for (let place = 0; place < count; place++) {
    const at = 2 + place * RECORD_BYTES;
    const outcome = OUTCOMES[slab.readUInt8(at + 1)];
    if (outcome === undefined) throw new RangeError('a slab names an unknown outcome');
    entries.push({
      index: slab.readUInt8(at),
      outcome,
      attempt: slab.readUInt16LE(at + 2),
      started_s: slab.readDoubleLE(at + 16),
      duration_s: slab.readDoubleLE(at + 24),
      data: take(slab.readUInt32LE(at + 4)),
      stdout: take(slab.readUInt32LE(at + 8)),
      stderr: take(slab.readUInt32LE(at + 12)),
    });
  }
  if (start !== slab.length) throw new RangeError('a slab has bytes after its last body');
  return entries;
}

export interface SlabFacts {
  readonly indexes: readonly number[];
  /** Those of them that are no success. */
  readonly failed: readonly number[];
  /** Sum of the run times, in seconds. */
  readonly duration_s: number;
}

/** All that the hot path needs of a slab. Checks every length; throws RangeError when the bytes are not a slab. */
export function scanSlab(slab: Buffer): SlabFacts {
  const count = slab.readUInt16LE(0);
  const indexes: number[] = [];
  const failed: number[] = [];
  let duration_s = 0;
  let end = 2 + count * RECORD_BYTES;
  for (let place = 0; place < count; place++) {
    const at = 2 + place * RECORD_BYTES;
    const index = slab.readUInt8(at);
    const outcome = slab.readUInt8(at + 1);
    if (index >= 128 || outcome >= OUTCOMES.length) throw new RangeError('a slab has a bad record');
    indexes.push(index);
    if (outcome !== 0) failed.push(index);
    duration_s += slab.readDoubleLE(at + 24);
    end += slab.readUInt32LE(at + 4) + slab.readUInt32LE(at + 8) + slab.readUInt32LE(at + 12);
  }
  if (end !== slab.length) throw new RangeError('a slab has a wrong length');
  return { indexes, failed, duration_s };
}

/** A slab entry for a task this system ended itself. */
export function systemResult(
  index: number,
  attempt: number,
  outcome: 'system_failure' | 'cancelled',
  code: string,
  message: string,
  now_s: number,
): SlabEntry {
  const data = Buffer.from(JSON.stringify({ code, message }));
  return { index, outcome, attempt, started_s: now_s, duration_s: 0, data, stdout: NONE, stderr: NONE };
}
