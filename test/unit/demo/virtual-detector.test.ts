// The virtual detector: the same seed gives the same frames; they arrive the ways real ones do; an end in the middle
// leaves nothing half-written behind.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, readdir, rm, stat, watch, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { geometryOf, reflectionsOf, renderStill } from '../../../src/demo/simulated-still.ts';
import { frameBytes, planFrames, runDetector } from '../../../src/demo/virtual-detector.ts';
import type { WrittenFrame } from '../../../src/demo/virtual-detector.ts';
import { until } from '../../support/until.ts';
import { decodeCbf } from './support/decode-cbf.ts';

const TAKEN = '2026-01-31T08:00:00.000';
const never = new AbortController().signal;

describe('virtual detector: the plan', () => {
  it('is the same for the same seed, byte for byte, and another for another', () => {
    const [one, same, other] = [7, 7, 8].map((seed) => planFrames({ count: 6, seed }));
    assert.deepEqual(one, same);
    assert.notDeepEqual(one?.frames, other?.frames);
    for (const frame of one?.frames ?? []) {
      assert.deepEqual(frameBytes(one as never, frame, TAKEN), frameBytes(same as never, frame, TAKEN));
    }
  });

  it('deals hits, blanks and broken frames in their shares, with every kind of damage', () => {
    const { frames } = planFrames({ count: 50, seed: 1 });
    const count = (expected: string): number => frames.filter((frame) => frame.expected === expected).length;
    assert.deepEqual([count('hit'), count('broken'), count('miss')], [30, 6, 14]);
    assert.equal(frames.filter((frame) => frame.delivery === 'in_place').length, 10);
    assert.deepEqual(
      new Set(frames.map((frame) => frame.damage)),
      new Set([null, 'truncated', 'empty', 'garbage']),
    );
    assert.equal(new Set(frames.map((frame) => frame.name)).size, 50);
  });

  it('knows how many spots each frame shows: many on a hit, none on the others', () => {
    for (const frame of planFrames({ count: 40, seed: 3 }).frames) {
      if (frame.expected === 'hit') assert.ok(frame.reflections.length >= 20, frame.name);
      else assert.equal(frame.reflections.length, 0, frame.name);
    }
  });

  it('keeps every spot whole: off the gaps and edges, and apart from the others', () => {
    const geometry = geometryOf(487, 619);
    for (let seed = 0; seed < 20; seed++) {
      const spots = reflectionsOf(geometry, seed);
      const { pixels } = renderStill(geometry, { seed, reflections: spots, ring: 0 });
      spots.forEach(({ x, y }, index) => {
        for (let dy = -5; dy <= 5; dy++) {
          for (let dx = -5; dx <= 5; dx++) {
            assert.ok((pixels[(Math.round(y) + dy) * 487 + Math.round(x) + dx] ?? -1) >= 0);
          }
        }
        for (const other of spots.slice(index + 1)) assert.ok(Math.hypot(x - other.x, y - other.y) >= 9);
      });
    }
  });

  it('brings as many counts as each reflection has, on top of the same background', () => {
    const geometry = geometryOf(200, 180);
    const spot = { x: 60, y: 50, counts: 50_000 };
    const [blank, lit] = [[], [spot]].map((reflections) =>
      renderStill(geometry, { seed: 5, reflections, ring: 0 }),
    );
    const total = (pixels: Int32Array = new Int32Array()): number =>
      pixels.reduce((sum, value) => sum + value, 0);
    const added = total(lit?.pixels) - total(blank?.pixels);
    assert.ok(Math.abs(added - spot.counts) < 5 * Math.sqrt(spot.counts), String(added));
  });

  it('masks the gaps between the modules and nothing else', () => {
    const geometry = geometryOf(487, 619);
    const { pixels } = renderStill(geometry, { seed: 5, reflections: [], ring: 0 });
    const masked = pixels.filter((value) => value < 0).length;
    assert.equal(masked, 2 * 17 * 487);
  });

  it('spoils broken frames as it says', () => {
    const plan = planFrames({ count: 12, seed: 2, broken_share: 0.5 });
    for (const frame of plan.frames) {
      const bytes = frameBytes(plan, frame, TAKEN);
      if (frame.damage === null) assert.equal(decodeCbf(bytes).pixels.length, 487 * 619);
      if (frame.damage === 'truncated')
        assert.throws(() => assert.equal(decodeCbf(bytes).pixels.length, 487 * 619));
      if (frame.damage === 'empty') assert.equal(bytes.length, 0);
      if (frame.damage === 'garbage') assert.doesNotMatch(bytes.toString('latin1'), /^###CBF/);
    }
  });
});

describe('virtual detector: at work', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pilotwave-detector-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  it('writes every planned frame, tells of each when it is whole, and leaves no temporary file', async () => {
    const plan = planFrames({
      count: 12,
      seed: 4,
      width: 200,
      height: 180,
      in_place_share: 0.5,
      broken_share: 0.3,
    });
    const told: WrittenFrame[] = [];
    const drop = join(dir, 'made', 'by', 'it');
    const answered = await runDetector(plan, {
      dir: drop,
      rate_hz: 0,
      slow_ms: 8,
      signal: never,
      onWritten: (written) => told.push(written),
    });
    assert.deepEqual(answered, told);
    assert.deepEqual((await readdir(drop)).sort(), plan.frames.map((frame) => frame.name).sort());
    for (const { frame, path, bytes } of told) {
      assert.equal((await stat(path)).size, bytes);
      if (frame.damage === null) assert.equal(decodeCbf(await readFile(path)).pixels.length, 200 * 180);
    }
  });

  it('shows a renamed frame under its name only when it is whole', async () => {
    const plan = planFrames({ count: 6, seed: 4, in_place_share: 0, broken_share: 0 });
    const sizes = new Map<string, Set<number>>();
    const watching = new AbortController();
    const watcher = (async () => {
      for await (const { filename } of watch(dir, { signal: watching.signal })) {
        if (filename === null || !filename.endsWith('.cbf')) continue;
        const facts = await stat(join(dir, filename));
        sizes.set(filename, (sizes.get(filename) ?? new Set()).add(facts.size));
      }
    })().catch((error: unknown) => assert.equal((error as Error).name, 'AbortError'));
    const written = await runDetector(plan, { dir, rate_hz: 0, slow_ms: 0, signal: never });
    await until('every frame seen', () => sizes.size === plan.frames.length);
    watching.abort();
    await watcher;
    for (const { frame, bytes } of written) assert.deepEqual([...(sizes.get(frame.name) ?? [])], [bytes]);
  });

  it('lets an in-place frame grow under its own name', async () => {
    const plan = planFrames({ count: 1, seed: 4, in_place_share: 1, broken_share: 0 });
    const path = join(dir, plan.frames[0]?.name ?? '');
    const running = runDetector(plan, { dir, rate_hz: 0, slow_ms: 400, signal: never });
    const part = await until('a part of the file', async () => (await stat(path).catch(() => null))?.size);
    const [written] = await running;
    assert.ok(part < (written?.bytes ?? 0), `${part} of ${written?.bytes}`);
    assert.equal((await stat(path)).size, written?.bytes);
  });

  it('stops at the signal and takes back what is half-written', async () => {
    const plan = planFrames({
      count: 500,
      seed: 4,
      width: 200,
      height: 180,
      in_place_share: 0.5,
      broken_share: 0,
    });
    const end = new AbortController();
    const running = runDetector(plan, { dir, rate_hz: 0, slow_ms: 60_000, signal: end.signal });
    await until('four growing frames', async () => (await readdir(dir)).length >= 4);
    end.abort();
    const written = await running;
    assert.ok(written.length < 500);
    assert.deepEqual((await readdir(dir)).sort(), written.map(({ frame }) => frame.name).sort());
  });

  it('keeps the rate, counted from the first frame', async () => {
    const plan = planFrames({
      count: 5,
      seed: 4,
      width: 100,
      height: 90,
      in_place_share: 0,
      broken_share: 0,
    });
    const start = performance.now();
    await runDetector(plan, { dir, rate_hz: 50, slow_ms: 0, signal: never });
    assert.ok(performance.now() - start >= 75, 'five frames at 50 a second take four periods of 20 ms');
  });

  it('rejects when it cannot write there', async () => {
    const plan = planFrames({ count: 2, seed: 4, width: 100, height: 90 });
    const file = join(dir, 'a-file');
    await writeFile(file, '');
    await assert.rejects(
      runDetector(plan, { dir: file, rate_hz: 0, slow_ms: 0, signal: never }),
      /EEXIST|ENOTDIR/,
    );
  });
});
