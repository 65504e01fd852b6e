// The pipe between an executor and one Python worker, both ways. src/endpoint/worker is the twin.
//
//   every frame: u32 length of the rest | u8 type | body                          (little-endian)
//   to the worker    F  function id (16) | code
//                    T  chunk (16) | u32 epoch | function id (16) | u16 length | options, JSON | batch
//                    X  (end after what was sent)
//   from the worker  H  facts, JSON
//                    R  chunk (16) | u32 epoch | u8 last of its batch | slab
//                    N  function id (16) | chunk (16) | u32 epoch: code unknown, batch not run
import { uuidFromBytes, uuidToBytes } from '../../ids.ts';
import type { HelloFacts } from './state.ts';

const HEAD_BYTES = 5;
const MAX_FRAME_BYTES = 1024 * 1024 * 1024;
const MAX_OPTIONS_BYTES = 0xffff;

export type WorkerFrame =
  | { readonly type: 'H'; readonly facts: HelloFacts }
  | {
      readonly type: 'R';
      readonly chunk: string;
      readonly epoch: number;
      readonly last: boolean;
      readonly slab: Buffer;
    }
  | { readonly type: 'N'; readonly function_id: string; readonly chunk: string; readonly epoch: number };

function head(type: string, bodyBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES);
  bytes.writeUInt32LE(bodyBytes + 1, 0);
  bytes.write(type, 4, 'latin1');
  return bytes;
}

export function functionFrame(functionId: string, code: Buffer): Buffer[] {
  return [head('F', 16 + code.length), uuidToBytes(functionId), code];
}

/** Options as they go into a task frame; null when they are too large for it. */
export function optionsText(options: object): Buffer | null {
  const text = Buffer.from(JSON.stringify(options));
  return text.length > MAX_OPTIONS_BYTES ? null : text;
}

export function taskFrame(
  chunk: string,
  epoch: number,
  functionId: string,
  options: Buffer,
  batch: Buffer,
): Buffer[] {
  const length = 38 + options.length;
  const front = Buffer.allocUnsafe(HEAD_BYTES + length);
  front.writeUInt32LE(length + batch.length + 1, 0);
  front.write('T', 4, 'latin1');
  front.write(chunk.replaceAll('-', ''), 5, 'hex');
  front.writeUInt32LE(epoch, 21);
  front.write(functionId.replaceAll('-', ''), 25, 'hex');
  front.writeUInt16LE(options.length, 41);
  options.copy(front, 43);
  return [front, batch];
}

export function exitFrame(): Buffer[] {
  return [head('X', 0)];
}

function parseFrame(type: string, body: Buffer): WorkerFrame {
  switch (type) {
    case 'R':
      if (body.length < 21) throw new RangeError('a worker sent a short result frame');
      return {
        type,
        chunk: uuidFromBytes(body),
        epoch: body.readUInt32LE(16),
        last: body.readUInt8(20) !== 0,
        slab: body.subarray(21),
      };
    case 'N':
      if (body.length !== 36) throw new RangeError('a worker sent a wrong frame');
      return {
        type,
        function_id: uuidFromBytes(body),
        chunk: uuidFromBytes(body, 16),
        epoch: body.readUInt32LE(32),
      };
    case 'H':
      return { type, facts: JSON.parse(body.toString('utf8')) as HelloFacts };
    default:
      throw new RangeError('a worker sent a frame of an unknown type');
  }
}

/** Puts a worker's output stream together to frames; bodies are views. Throws RangeError when it is no such stream. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes the next frame needs, its head included; null until its head is here. */
  #needed: number | null = null;

  push(piece: Buffer): WorkerFrame[] {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    const frames: WorkerFrame[] = [];
    let data: Buffer | null = null;
    let at = 0;
    for (;;) {
      if (this.#bytes < (this.#needed ?? 4)) break;
      data ??=
        this.#pieces.length === 1 && this.#pieces[0] !== undefined
          ? this.#pieces[0]
          : Buffer.concat(this.#pieces);
      this.#needed ??= 4 + data.readUInt32LE(at);
      if (this.#needed < HEAD_BYTES || this.#needed > MAX_FRAME_BYTES)
        throw new RangeError('a worker sent a broken frame');
      if (this.#bytes < this.#needed) break;
      frames.push(
        parseFrame(
          data.toString('latin1', at + 4, at + 5),
          data.subarray(at + HEAD_BYTES, at + this.#needed),
        ),
      );
      at += this.#needed;
      this.#bytes -= this.#needed;
      this.#needed = null;
    }
    if (data !== null) this.#pieces = this.#bytes === 0 ? [] : [data.subarray(at)];
    return frames;
  }
}
