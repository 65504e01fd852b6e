// The stills function on real frames: it ranks them as the reference software does, finds its spots, and takes
// blank and powder frames for what they are. Runs where the shared data are.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { listFrames } from '../../src/demo/copy-frames.ts';
import { HIT_SPOTS } from '../../src/demo/stills.ts';
import { PACKAGE_ROOT } from '../../src/paths.ts';
import { analyse, callStills, hasNumpy, python } from '../unit/demo/support/python.ts';
import type { Analysis } from '../unit/demo/support/python.ts';

const SHARED = process.env['PILOTWAVE_SHARED'] ?? join(PACKAGE_ROOT, '..', 'shared');
const DATA = join(SHARED, 'data', 'case3-ssx');
/** Spots of DIALS 3.12.1 on each thaumatin frame. */
const THAUMATIN = new Map([
  ['0001', 290],
  ['0002', 1143],
  ['0003', 1313],
  ['0005', 1201],
  ['0011', 853],
  ['0014', 354],
  ['0015', 51],
  ['0016', 0],
  ['0019', 1],
]);
const LCYSTEINE = join(DATA, 'lcysteine-i19', 'l-cyst_01_00015.cbf');
const CERIA = join(DATA, 'ceria-powder-negative', 'ceria_50x30_740mm_000005_Pilatus2M.hdf5');

const thaumatin = (frame: string): string => join(DATA, 'thaumatin-i24-grid', `thau_3_2_${frame}.cbf.bz2`);

/** Centres of the reference spots, in our pixel coordinates (theirs start at the corner of the first pixel). */
function truthOf(frame: string): readonly (readonly [number, number])[] {
  const text = readFileSync(join(DATA, 'truth', `thau_3_2_${frame}.dials-spots.csv`), 'utf8');
  return text
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split(','))
    .map(([, x, y]) => [Number(x) - 0.5, Number(y) - 0.5]);
}

/** Names, largest number first. */
function ranked(counts: ReadonlyMap<string, number>): readonly string[] {
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name);
}

describe('stills function on real frames', function () {
  this.timeout(180_000);

  before(function () {
    if (!existsSync(DATA)) this.skip(); // no shared data here: PILOTWAVE_SHARED says where they are
  });

  for (const use_numpy of [false, true]) {
    it(`ranks thaumatin stills as the reference does, ${use_numpy ? 'with numpy' : 'standard library only'}`, async function () {
      if (use_numpy && !(await hasNumpy())) return this.skip();
      const calls = [...THAUMATIN.keys()].map((frame) => ({ kwargs: { path: thaumatin(frame), use_numpy } }));
      const found = await analyse(calls);
      const counts = new Map([...THAUMATIN.keys()].map((frame, index) => [frame, found[index]?.spots ?? -1]));
      // The last two have none and one: too few to rank.
      assert.deepEqual(
        ranked(counts).slice(0, 7),
        ranked(THAUMATIN).slice(0, 7),
        JSON.stringify([...counts]),
      );
      for (const [frame, truth] of THAUMATIN) {
        const spots = counts.get(frame) ?? -1;
        assert.ok(
          Math.abs(spots - truth) <= Math.max(2, 0.1 * truth),
          `${frame}: ${spots}, reference ${truth}`,
        );
        assert.equal(spots >= HIT_SPOTS, truth >= HIT_SPOTS, `${frame}: hit or miss`);
      }
    });
  }

  it('puts its spots where the reference has them', async () => {
    const source = (await readFile(join(PACKAGE_ROOT, 'examples', 'stills.py'), 'utf8')).replace(
      'spots[:50],',
      'spots,',
    );
    const frames = ['0001', '0015'];
    const found = await analyse(
      frames.map((frame) => ({ kwargs: { path: thaumatin(frame) } })),
      source,
    );
    frames.forEach((frame, index) => {
      const spots: Analysis['strongest'] = found[index]?.strongest ?? [];
      const truth = truthOf(frame);
      const near = truth.filter(([x, y]) => spots.some((spot) => Math.hypot(spot[0] - x, spot[1] - y) < 2.5));
      assert.ok(near.length >= 0.95 * truth.length, `${frame}: ${near.length} of ${truth.length}`);
    });
  });

  it('reads the experiment from a real header', async () => {
    const [found] = await analyse([{ kwargs: { path: thaumatin('0003') } }]);
    assert.deepEqual([found?.width, found?.height, found?.format], [2463, 2527, 'miniCBF']);
    assert.equal(found?.resolution['wavelength'], 0.96859);
    const best = Number(found?.resolution['d_min']);
    assert.ok(best > 1.4 && best < 2, `d_min ${best}`);
  });

  it('takes a sharp small-molecule frame for a hit', async () => {
    const [found] = await analyse([{ kwargs: { path: LCYSTEINE } }]);
    assert.ok(Math.abs((found?.spots ?? 0) - 26) <= 3, `${found?.spots} spots, reference 26`);
  });

  it('takes powder rings for a miss, or says what it needs to read them', async () => {
    const [answer] = await callStills([{ kwargs: { path: CERIA } }]);
    assert.ok(answer !== undefined);
    if ('error' in answer)
      assert.match(answer.error, /HDF5 needs h5py in the worker's Python: pip install h5py/);
    else {
      assert.ok(answer.value.spots < HIT_SPOTS, `${answer.value.spots} spots`);
      assert.ok(answer.value.ring_pixels > 100_000);
    }
  });

  it('marks the spots of a large frame on a preview of at most 512 pixels', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pilotwave-frames-'));
    try {
      await analyse([{ kwargs: { path: thaumatin('0003'), preview_dir: dir } }]);
      assert.deepEqual(await readdir(dir), ['thau_3_2_0003.cbf.bz2.png']);
      const png = await readFile(join(dir, 'thau_3_2_0003.cbf.bz2.png'));
      assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [493, 506]);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('finds every frame of the folder, and every one is either read or refused with a reason', async () => {
    const { frames, skipped } = await listFrames(DATA, '');
    assert.equal(frames.filter(({ name }) => name.endsWith('.cbf.bz2')).length, 9);
    assert.ok(skipped.every(({ source }) => source.endsWith('.csv')));
    const others = frames.filter(({ name }) => /\.(npz|h5)$/.test(name));
    assert.equal(others.length, 2);
    for (const answer of await callStills(others.map(({ source }) => ({ kwargs: { path: source } })))) {
      if ('error' in answer) assert.match(answer.error, /needs (numpy|h5py)|holds no detector image/);
      else assert.equal(basename(answer.value.file), others.find(({ name }) => name.endsWith('.npz'))?.name);
    }
  });

  it('reads the same pixels as fabio, where that is installed', async function () {
    const script =
      'import json, sys\ntry:\n    import fabio\nexcept ImportError:\n    print("null")\n    sys.exit()\nimage = fabio.open(json.load(sys.stdin)).data\ngood = image[(image >= 0) & (image < 388705)]\nprint(json.dumps([int(image.shape[1]), int(image.shape[0]), int((image < 0).sum()), int(good.max()), round(float(good.mean()), 4)]))';
    const theirs = JSON.parse(await python(script, LCYSTEINE)) as readonly number[] | null;
    if (theirs === null) return this.skip();
    const [ours] = await analyse([{ kwargs: { path: LCYSTEINE } }]);
    assert.deepEqual([ours?.width, ours?.height, ours?.masked, ours?.max, ours?.mean], theirs);
  });
});
