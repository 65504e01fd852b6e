// Results on disk until the service has stored them: segment files of records, appended without fsync. They
// outlive kill -9 of the manager, not of the machine; then the service delivers their tasks again.
//
//   record: u8 kind | f64 seq | u32 header bytes | u32 blob bytes | header | blob      (little-endian)
//   kind    1 a tasks.results message, its two frames · 2 the message `seq` was acknowledged
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  readFileSync,
  rmSync,
  truncateSync,
  writevSync,
} from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../../errors.ts';
import { decodeMessage, splitBlob } from '../../protocol/codec.ts';
import type { ManagerToService } from '../../protocol/messages.ts';
import { scanSlab } from '../../protocol/slab.ts';
import type { SentRefs, SpooledMessage } from './state.ts';

const HEAD_BYTES = 17;
const MESSAGE = 1;
const ACKNOWLEDGED = 2;

export interface SpoolLimits {
  readonly segment_bytes: number;
  readonly total_bytes: number;
}

const DEFAULT_LIMITS: SpoolLimits = { segment_bytes: 16 * 1024 * 1024, total_bytes: 1024 * 1024 * 1024 };

interface Segment {
  readonly file: string;
  readonly fd: number;
  bytes: number;
  /** Messages in it that are not acknowledged. */
  live: number;
}

interface Place {
  readonly segment: Segment;
  readonly at: number;
  readonly header_bytes: number;
  readonly blob_bytes: number;
}

export class ResultSpool {
  readonly #dir: string;
  readonly #limits: SpoolLimits;
  readonly #segments: Segment[] = [];
  readonly #places = new Map<number, Place>();
  /** Messages the disk did not take; tried again by `retry`. */
  readonly #unsaved = new Map<number, readonly Buffer[]>();
  #nextFile = 1;
  #trouble: string | null = null;

  /** Opens the folder and takes in what an earlier manager left. */
  constructor(dir: string, limits: SpoolLimits = DEFAULT_LIMITS) {
    this.#dir = dir;
    this.#limits = limits;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const files = readdirSync(dir).filter((name) => /^results-\d+$/.test(name));
    for (const name of files.sort()) {
      this.#nextFile = Math.max(this.#nextFile, Number(name.slice('results-'.length)) + 1);
      this.#load(join(dir, name));
    }
    this.#dropDead();
  }

  /** Why the disk takes nothing, or null. */
  get trouble(): string | null {
    return this.#trouble;
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0);
  }

  /** Messages not acknowledged, in order. Malformed ones are dropped: their tasks are delivered again. */
  messages(): SpooledMessage[] {
    return [...this.#places.keys()]
      .sort((one, other) => one - other)
      .flatMap((seq) => {
        const refs = refsOf(this.read(seq));
        if (refs !== null) return [{ seq, refs }];
        this.remove(seq);
        return [];
      });
  }

  /** Puts a message away; when the disk does not take it, it stays in memory and `trouble` says why. */
  append(seq: number, frames: readonly Buffer[]): void {
    if (this.#unsaved.size > 0 || !this.#save(seq, frames)) this.#unsaved.set(seq, frames);
  }

  /** Tries again what the disk did not take. */
  retry(): void {
    for (const [seq, frames] of this.#unsaved) {
      if (!this.#save(seq, frames)) return;
      this.#unsaved.delete(seq);
    }
    if (this.bytes < this.#limits.total_bytes) this.#trouble = null;
  }

  /** The frames of a message; null when it is not here. */
  read(seq: number): Buffer[] | null {
    const unsaved = this.#unsaved.get(seq);
    if (unsaved !== undefined) return [...unsaved];
    const place = this.#places.get(seq);
    if (place === undefined) return null;
    const bytes = Buffer.allocUnsafe(place.header_bytes + place.blob_bytes);
    if (readSync(place.segment.fd, bytes, 0, bytes.length, place.at) < bytes.length) return null;
    return [bytes.subarray(0, place.header_bytes), bytes.subarray(place.header_bytes)];
  }

  /** Forgets a message: the service has it. */
  remove(seq: number): void {
    this.#unsaved.delete(seq);
    const place = this.#places.get(seq);
    if (place === undefined) return;
    this.#places.delete(seq);
    place.segment.live--;
    // Without the note it would be sent once more after a restart; the service ignores that.
    if (this.#places.size > 0) this.#write([head(ACKNOWLEDGED, seq, 0, 0)]);
    this.#dropDead();
  }

  close(): void {
    for (const segment of this.#segments) closeSync(segment.fd);
    this.#segments.length = 0;
  }

  #save(seq: number, frames: readonly Buffer[]): boolean {
    const [header = Buffer.alloc(0), blob = Buffer.alloc(0)] = frames;
    const start = this.#write([head(MESSAGE, seq, header.length, blob.length), header, blob]);
    if (start === null) return false;
    const at = start.at + HEAD_BYTES;
    this.#places.set(seq, {
      segment: start.segment,
      at,
      header_bytes: header.length,
      blob_bytes: blob.length,
    });
    start.segment.live++;
    if (this.bytes >= this.#limits.total_bytes) {
      this.#trouble = `${Math.round(this.bytes / 2 ** 20)} MiB of results wait for the service`;
    }
    return true;
  }

  /** Appends whole records or nothing. */
  #write(parts: readonly Buffer[]): { segment: Segment; at: number } | null {
    let segment: Segment | null = null;
    try {
      segment = this.#active();
      const at = segment.bytes;
      const wanted = parts.reduce((sum, part) => sum + part.length, 0);
      const written = writevSync(segment.fd, parts, at);
      if (written < wanted) throw new Error(`only ${written} of ${wanted} bytes could be written`);
      segment.bytes = at + wanted;
      return { segment, at };
    } catch (error) {
      this.#trouble = messageOf(error);
      if (segment !== null) cutBack(segment);
      return null;
    }
  }

  #active(): Segment {
    const last = this.#segments.at(-1);
    if (last !== undefined && last.bytes < this.#limits.segment_bytes) return last;
    const file = join(this.#dir, `results-${String(this.#nextFile++).padStart(8, '0')}`);
    const segment: Segment = { file, fd: openSync(file, 'w+', 0o600), bytes: 0, live: 0 };
    this.#segments.push(segment);
    return segment;
  }

  /** Removes segments with nothing left in them; the last one is emptied and used again. */
  #dropDead(): void {
    for (let place = this.#segments.length - 1; place >= 0; place--) {
      const segment = this.#segments[place];
      if (segment === undefined || segment.live > 0) continue;
      if (place === this.#segments.length - 1) {
        if (this.#segments.length > 1 || segment.bytes === 0) continue;
        ftruncateSync(segment.fd, 0);
        segment.bytes = 0;
        continue;
      }
      this.#segments.splice(place, 1);
      closeSync(segment.fd);
      rmSync(segment.file, { force: true });
    }
  }

  #load(file: string): void {
    const bytes = readFileSync(file);
    const found: { seq: number; place: Omit<Place, 'segment'> }[] = [];
    const acknowledged: number[] = [];
    let at = 0;
    while (at + HEAD_BYTES <= bytes.length) {
      const kind = bytes.readUInt8(at);
      const seq = bytes.readDoubleLE(at + 1);
      const header_bytes = bytes.readUInt32LE(at + 9);
      const blob_bytes = bytes.readUInt32LE(at + 13);
      const end = at + HEAD_BYTES + header_bytes + blob_bytes;
      // The last record of a manager that was killed may be half there.
      if ((kind !== MESSAGE && kind !== ACKNOWLEDGED) || !Number.isSafeInteger(seq) || end > bytes.length)
        break;
      if (kind === ACKNOWLEDGED) acknowledged.push(seq);
      else found.push({ seq, place: { at: at + HEAD_BYTES, header_bytes, blob_bytes } });
      at = end;
    }
    truncateSync(file, at);
    const segment: Segment = { file, fd: openSync(file, 'r+'), bytes: at, live: found.length };
    this.#segments.push(segment);
    for (const { seq, place } of found) this.#places.set(seq, { segment, ...place });
    for (const seq of acknowledged) {
      const place = this.#places.get(seq);
      if (place === undefined) continue;
      this.#places.delete(seq);
      place.segment.live--;
    }
  }
}

function head(kind: number, seq: number, headerBytes: number, blobBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  bytes.writeUInt8(kind, 0);
  bytes.writeDoubleLE(seq, 1);
  bytes.writeUInt32LE(headerBytes, 9);
  bytes.writeUInt32LE(blobBytes, 13);
  return bytes;
}

/** Takes a half-written record off a segment's end; what cannot be taken off is overwritten by the next one. */
function cutBack(segment: Segment): void {
  try {
    ftruncateSync(segment.fd, segment.bytes);
  } catch {
    // The next record is written at the same place.
  }
}

/** The tasks of a spooled message; null when it is none. */
function refsOf(frames: readonly Buffer[] | null): SentRefs[] | null {
  if (frames === null) return null;
  try {
    const { message, blob } = decodeMessage<ManagerToService>(frames);
    if (message.kind !== 'tasks.results') return null;
    return splitBlob(blob, message.slabs).map(([part, slab]) => {
      return { chunk: part.chunk, epoch: part.epoch, indexes: scanSlab(slab).indexes };
    });
  } catch {
    return null;
  }
}
