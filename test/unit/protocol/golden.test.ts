// Two implementations, one truth: bytes made by the Python worker's side mean the same here, and ours are the same bytes.
// test/worker/golden.py makes the files; test/worker/test_wire.py holds the Python side to them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { exitFrame, FrameReader, functionFrame, taskFrame } from '../../../src/endpoint/executor/frames.ts';
import { uuidFromBytes } from '../../../src/ids.ts';
import type { Outcome } from '../../../src/lifecycle.ts';
import { PACKAGE_ROOT } from '../../../src/paths.ts';
import { decodeBatch, encodeBatch } from '../../../src/protocol/batch.ts';
import { decodeSlab, encodeSlab, scanSlab } from '../../../src/protocol/slab.ts';

interface GoldenBatch {
  readonly name: string;
  readonly hex: string;
  readonly entries: readonly { readonly index: number; readonly attempt: number; readonly payload: string }[];
}

interface GoldenSlab {
  readonly name: string;
  readonly hex: string;
  readonly entries: readonly {
    readonly index: number;
    readonly outcome: Outcome;
    readonly attempt: number;
    readonly started_s: number;
    readonly duration_s: number;
    readonly data: string;
    readonly stdout: string;
    readonly stderr: string;
  }[];
}

type GoldenFrames = Record<
  'F' | 'T' | 'X' | 'H' | 'R' | 'N',
  Record<string, unknown> & { readonly hex: string }
>;

function golden<T>(file: string): T {
  return JSON.parse(readFileSync(join(PACKAGE_ROOT, 'test', 'fixtures', 'protocol', file), 'utf8')) as T;
}

const fromHex = (hex: unknown): Buffer => Buffer.from(hex as string, 'hex');
const uuidFromHex = (hex: unknown): string => uuidFromBytes(fromHex(hex));

describe('golden batches', () => {
  for (const { name, hex, entries } of golden<GoldenBatch[]>('batches.json')) {
    it(name, () => {
      const meaning = entries.map((entry) => ({ ...entry, payload: fromHex(entry.payload) }));
      assert.deepEqual(decodeBatch(fromHex(hex)), meaning);
      assert.equal(encodeBatch(meaning).toString('hex'), hex);
    });
  }
});

describe('golden slabs', () => {
  for (const { name, hex, entries } of golden<GoldenSlab[]>('slabs.json')) {
    it(name, () => {
      const meaning = entries.map((entry) => ({
        ...entry,
        data: fromHex(entry.data),
        stdout: fromHex(entry.stdout),
        stderr: fromHex(entry.stderr),
      }));
      assert.deepEqual(decodeSlab(fromHex(hex)), meaning);
      assert.equal(encodeSlab(meaning).toString('hex'), hex);
      assert.deepEqual(
        scanSlab(fromHex(hex)).indexes,
        entries.map(({ index }) => index),
      );
    });
  }
});

describe('golden frames', () => {
  const { F, T, X, H, R, N } = golden<GoldenFrames>('frames.json');
  const written = (frames: readonly Buffer[]): string => Buffer.concat(frames).toString('hex');

  it('to a worker', () => {
    assert.equal(written(functionFrame(uuidFromHex(F['function_id']), fromHex(F['code']))), F.hex);
    const options = Buffer.from(T['options'] as string);
    const task = taskFrame(
      uuidFromHex(T['chunk']),
      T['epoch'] as number,
      uuidFromHex(T['function_id']),
      options,
      fromHex(T['batch']),
    );
    assert.equal(written(task), T.hex);
    assert.equal(written(exitFrame()), X.hex);
  });

  it('from a worker, however the pipe cuts them', () => {
    const stream = fromHex(H.hex + R.hex + N.hex);
    const meaning = [
      { type: 'H', facts: H['facts'] },
      {
        type: 'R',
        chunk: uuidFromHex(R['chunk']),
        epoch: R['epoch'],
        last: R['last'],
        slab: fromHex(R['slab']),
      },
      {
        type: 'N',
        function_id: uuidFromHex(N['function_id']),
        chunk: uuidFromHex(N['chunk']),
        epoch: N['epoch'],
      },
    ];
    for (const size of [1, 2, 3, 7, 64, stream.length]) {
      const reader = new FrameReader();
      const frames = [];
      for (let at = 0; at < stream.length; at += size)
        frames.push(...reader.push(stream.subarray(at, at + size)));
      assert.deepEqual(frames, meaning, `pieces of ${size} bytes`);
    }
  });
});
