// The user's Python function on simulated frames: it finds what was put there, tells rings and blanks from spots,
// and refuses what is broken with a reason a person can read.
import assert from 'node:assert/strict';
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, inflateSync } from 'node:zlib';
import { miniCbf } from '../../../src/demo/mini-cbf.ts';
import type { Image } from '../../../src/demo/mini-cbf.ts';
import { factsOf, geometryOf, reflectionsOf, renderStill } from '../../../src/demo/simulated-still.ts';
import type { Still } from '../../../src/demo/simulated-still.ts';
import { HIT_SPOTS, readStills } from '../../../src/demo/stills.ts';
import { planFrames, runDetector } from '../../../src/demo/virtual-detector.ts';
import { analyse, callStills, hasNumpy, python, refusal } from './support/python.ts';
import { edf, smv, tiff } from './support/write-frames.ts';

const GEOMETRY = geometryOf(487, 619);
const FACTS = factsOf(GEOMETRY, 'still', '2026-01-31T08:00:00.000');
const SPOTS = reflectionsOf(GEOMETRY, 11);

let dir: string;
const at = (name: string): string => join(dir, name);

async function put(name: string, data: Buffer | string): Promise<string> {
  await writeFile(at(name), data);
  return at(name);
}

function still(more: Partial<Still> = {}): Image {
  return renderStill(GEOMETRY, { seed: 1, reflections: SPOTS, ring: 0, ...more });
}

const cbf = (image: Image): Buffer => miniCbf(image, FACTS);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pilotwave-stills-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('stills function: counting', () => {
  it('finds the spots of every simulated frame, and refuses the broken ones', async () => {
    const plan = planFrames({ count: 30, seed: 12 });
    const signal = new AbortController().signal;
    const written = await runDetector(plan, { dir, rate_hz: 0, slow_ms: 0, signal });
    const answers = await callStills(written.map(({ path }) => ({ kwargs: { path, use_numpy: false } })));
    written.forEach(({ frame }, index) => {
      const answer = answers[index];
      assert.ok(answer !== undefined);
      if ('error' in answer) {
        assert.equal(frame.expected, 'broken', answer.error);
        const words = { truncated: /truncated/, empty: /empty: 0 bytes/, garbage: /not a detector frame/ };
        assert.match(answer.error, words[frame.damage ?? 'empty']);
        assert.ok(answer.error.startsWith(`${frame.name}: `));
      } else {
        const { spots } = answer.value;
        assert.equal(spots >= HIT_SPOTS ? 'hit' : 'miss', frame.expected, frame.name);
        const truth = frame.reflections.length;
        assert.ok(
          Math.abs(spots - truth) <= Math.max(2, 0.05 * truth),
          `${frame.name}: ${spots} of ${truth}`,
        );
      }
    });
  });

  it('says where the strongest spots are and how many counts they bring', async () => {
    const [found] = await analyse([{ kwargs: { path: await put('a.cbf', cbf(still())) } }]);
    for (const { x, y, counts } of SPOTS.slice(0, 10)) {
      const spot = found?.strongest.find((one) => Math.hypot(one[0] - x, one[1] - y) < 0.4);
      assert.ok(spot !== undefined, `nothing at ${x}, ${y}`);
      assert.ok(spot[2] > 0.6 * counts && spot[2] < 1.2 * counts, `${spot[2]} of ${counts}`);
    }
    assert.ok((found?.strongest.length ?? 99) <= 50);
  });

  it('computes the resolution from the header', async () => {
    const spot = { x: 400, y: 500, counts: 4000 };
    const [found] = await analyse([
      { kwargs: { path: await put('a.cbf', cbf(still({ reflections: [spot] }))) } },
    ]);
    const radius_mm = Math.hypot(spot.x + 0.5 - GEOMETRY.beam_x, spot.y + 0.5 - GEOMETRY.beam_y) * 0.172;
    const spacing = 0.9795 / (2 * Math.sin(Math.atan(radius_mm / 120) / 2));
    assert.equal(found?.spots, 1);
    assert.ok(
      Math.abs(Number(found?.resolution['d_min']) - spacing) < 0.01,
      JSON.stringify(found?.resolution),
    );
  });

  it('describes the pixels: mean, median, highest, masked and saturated', async () => {
    const image = still({ reflections: [] });
    image.pixels[0] = 2_000_000;
    const good = [...image.pixels].filter((value) => value >= 0 && value < 1_000_000).sort((a, b) => a - b);
    const [found] = await analyse([{ kwargs: { path: await put('a.cbf', cbf(image)) } }]);
    assert.deepEqual([found?.width, found?.height, found?.format], [487, 619, 'miniCBF']);
    assert.deepEqual(
      [found?.saturated, found?.masked],
      [1, image.pixels.filter((value) => value < 0).length],
    );
    assert.equal(found?.median, good[Math.floor((good.length - 1) / 2)]);
    assert.equal(found?.max, good.at(-1));
    assert.ok(
      Math.abs((found?.mean ?? 0) - good.reduce((sum, value) => sum + value, 0) / good.length) < 1e-3,
    );
  });

  it('takes powder rings for rings, faint ones and bright ones, and still sees spots beside them', async () => {
    const rings = [3, 10, 40, 400];
    const calls = await Promise.all(
      rings.flatMap((ring) => [
        put(`blank-${ring}.cbf`, cbf(still({ ring, reflections: [] }))),
        put(`lit-${ring}.cbf`, cbf(still({ ring }))),
      ]),
    );
    const found = await analyse(calls.map((path) => ({ kwargs: { path } })));
    rings.forEach((ring, index) => {
      assert.ok((found[2 * index]?.spots ?? 99) < 3, `ring ${ring}: ${found[2 * index]?.spots} false spots`);
    });
    assert.ok((found[3]?.spots ?? 0) > 0.7 * SPOTS.length, 'spots beside an ice ring');
    assert.ok((found[6]?.ring_pixels ?? 0) > 1000);
  });

  it('does not take the wider noise of an amplifying detector for spots', async () => {
    const image = still({ reflections: [] });
    const high: Image = {
      ...image,
      pixels: image.pixels.map((value) => (value < 0 ? value : 100 + 12 * value)),
    };
    const [found] = await analyse([{ kwargs: { path: await put('a.cbf', cbf(high)) } }]);
    assert.ok((found?.spots ?? 99) < HIT_SPOTS, `${found?.spots} false spots`);
  });

  it('gives the same numbers with and without numpy', async function () {
    if (!(await hasNumpy())) return this.skip();
    const paths = await Promise.all([
      put('a.cbf', cbf(still())),
      put('b.cbf', cbf(still({ ring: 20 }))),
      put('c.tif', tiff(still(), 16, false, '')),
    ]);
    const calls = paths.flatMap((path) =>
      [true, false].map((use_numpy) => ({ kwargs: { path, use_numpy } })),
    );
    const found = await analyse(calls);
    for (let index = 0; index < found.length; index += 2) {
      const [numpy, stdlib] = [found[index], found[index + 1]].map(({ ...all }) => ({ ...all, seconds: 0 }));
      assert.deepEqual([numpy?.reader, stdlib?.reader], ['numpy', 'stdlib']);
      assert.deepEqual({ ...numpy, reader: '' }, { ...stdlib, reader: '' });
    }
  });
});

describe('stills function: formats', () => {
  it('reads TIFF, EDF and SMV, and CBF inside gzip and bzip2, to the same spots', async () => {
    const image = still();
    const header =
      '# Pixel_size 172e-6 m x 172e-6 m\n# Wavelength 0.9795 A\n# Detector_distance 0.12 m\n# Beam_xy (245.8, 306.4) pixels';
    await put('a.cbf', cbf(image));
    await python(
      'import bz2, sys, json; p = json.load(sys.stdin); open(p + ".bz2", "wb").write(bz2.compress(open(p, "rb").read()))',
      at('a.cbf'),
    );
    const frames = [
      ['miniCBF', at('a.cbf')],
      ['miniCBF', await put('a.cbf.gz', gzipSync(cbf(image)))],
      ['miniCBF', at('a.cbf.bz2')],
      ['TIFF', await put('a32.tif', tiff(image, 32, false, header))],
      ['TIFF', await put('a16.tif', tiff(image, 16, false, header))],
      ['TIFF', await put('packed.tif', tiff(image, 16, true, header))],
      ['EDF', await put('a.edf', edf(image))],
      ['EDF', await put('big-endian.edf', edf(image, true))],
      ['SMV', await put('a.img', smv(image))],
    ] as const;
    const found = await analyse(frames.map(([, path]) => ({ kwargs: { path, use_numpy: false } })));
    frames.forEach(([format], index) => {
      const one = found[index];
      assert.deepEqual([one?.format, one?.width, one?.height], [format, 487, 619]);
      assert.ok(Math.abs((one?.spots ?? 0) - SPOTS.length) <= 2, `${one?.file}: ${one?.spots}`);
      const best = Number(found[0]?.resolution['d_min']);
      assert.ok(
        Math.abs(Number(one?.resolution['d_min']) - best) < 0.02,
        `${one?.file}: ${JSON.stringify(one?.resolution)}`,
      );
    });
  });

  it('says what is missing for formats that need a package', async () => {
    const hdf5 = await put(
      'a.h5',
      Buffer.concat([Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), Buffer.alloc(64)]),
    );
    const npz = await put('a.npz', Buffer.from('PK\x03\x04junk', 'latin1'));
    assert.match(
      await refusal({ kwargs: { path: npz, use_numpy: false } }),
      /^a\.npz: \.npz needs numpy .*pip install numpy$/,
    );
    const why = await refusal({ kwargs: { path: hdf5, use_numpy: false } });
    assert.match(why, /^a\.h5: HDF5 needs (h5py|numpy) in the worker's Python: pip install (h5py|numpy)$/);
  });
});

describe('stills function: broken files', () => {
  it('refuses each with its reason', async () => {
    const whole = cbf(still());
    const start = whole.indexOf(Buffer.from([0x0c, 0x1a, 0x04, 0xd5]));
    const flipped = Buffer.from(whole);
    flipped.writeUInt8((whole.readUInt8(start + 5000) + 1) % 127, start + 5000);
    const text = whole.toString('latin1');
    const changed = (from: RegExp, to: string): Buffer => Buffer.from(text.replace(from, to), 'latin1');
    const packed = gzipSync(whole);
    await mkdir(at('folder.cbf'));
    const cases: readonly (readonly [string, RegExp])[] = [
      [at('gone.cbf'), /^gone\.cbf: the file is gone: it was moved or removed before it was read$/],
      [at('folder.cbf'), /^folder\.cbf: this is a folder or a device, not a file$/],
      [await put('empty.cbf', ''), /^empty\.cbf: empty: 0 bytes$/],
      [await put('header.cbf', whole.subarray(0, 400)), /truncated: it ends inside its header/],
      [
        await put('half.cbf', whole.subarray(0, whole.length / 2)),
        /truncated: \d+ of \d+ bytes of image data/,
      ],
      [await put('flip.cbf', flipped), /damaged: the image data do not match their checksum/],
      [
        await put('shape.cbf', changed(/Fastest-Dimension: 487/, 'Fastest-Dimension: 488')),
        /damaged: 301453 pixels where its header says 488 x 619/,
      ],
      [
        await put('huge.cbf', changed(/Fastest-Dimension: 487/, 'Fastest-Dimension: 4870000')),
        /4870000 x 619 pixels/,
      ],
      [
        await put('kind.cbf', changed(/x-CBF_BYTE_OFFSET/, 'x-CBF_PACKED')),
        /its compression, x-CBF_PACKED, is not byte offset/,
      ],
      [await put('text.cbf', 'a letter home'), /not a detector frame: it starts with b'a letter'/],
      [
        await put('half.cbf.gz', packed.subarray(0, packed.length / 2)),
        /truncated: its compressed data end too early/,
      ],
      [
        await put('bad.cbf.gz', Buffer.concat([packed.subarray(0, 200), Buffer.alloc(900, 7)])),
        /damaged|truncated/,
      ],
      [await put('half.tif', tiff(still(), 16, false, '').subarray(0, 9000)), /truncated or damaged/],
      [await put('half.edf', edf(still()).subarray(0, 9000)), /truncated: \d+ of \d+ bytes of image data/],
      [await put('half.img', smv(still()).subarray(0, 9000)), /truncated: \d+ of \d+ bytes of image data/],
    ];
    const answers = await callStills(cases.map(([path]) => ({ kwargs: { path, use_numpy: false } })));
    cases.forEach(([path, reason], index) => {
      const answer = answers[index];
      assert.ok(answer !== undefined && 'error' in answer, `${path} was not refused`);
      assert.match(answer.error, reason);
      assert.doesNotMatch(answer.error, /\n/);
    });
  });

  it('refuses a frame too large to be one', async () => {
    const path = await put('large.cbf', '###CBF: VERSION 1.5');
    await truncate(path, 513 * 2 ** 20);
    assert.equal(await refusal({ kwargs: { path } }), 'large.cbf: too large: 513 MiB, the limit is 512 MiB');
  });

  it('unpacks no more than the limit', async () => {
    const { source } = await readStills('');
    const small = source.replace('limit = 512 << 20', 'limit = 1 << 20');
    assert.notEqual(small, source);
    const path = await put('bomb.cbf.gz', gzipSync(Buffer.alloc(1_500_000)));
    const [answer] = await callStills([{ kwargs: { path } }], small);
    assert.deepEqual(answer, { error: 'bomb.cbf.gz: too large: more than 1 MiB when unpacked' });
  });

  for (const [meanwhile, words] of [
    ['replace', /^a\.cbf: the file was replaced or written to while it was read$/],
    ['append', /^a\.cbf: the file was replaced or written to while it was read$/],
    ['remove', /^a\.cbf: the file is gone: it was moved or removed while it was read$/],
  ] as const) {
    it(`notices when someone does this to the file while it is read: ${meanwhile}`, async () => {
      const path = await put('a.cbf', cbf(still()));
      assert.match(await refusal({ kwargs: { path }, meanwhile }), words);
    });
  }

  it('says that a truncated frame was still being written when it was', async () => {
    const path = await put('a.cbf', cbf(still()).subarray(0, 100_000));
    assert.match(await refusal({ kwargs: { path }, meanwhile: 'append' }), /written to while it was read/);
  });
});

describe('stills function: preview', () => {
  /** Rows of palette indexes of a PNG of ours. */
  function rowsOf(png: Buffer): { width: number; height: number; rows: readonly Buffer[] } {
    assert.equal(png.subarray(0, 8).toString('latin1'), '\x89PNG\r\n\x1a\n');
    const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
    const start = png.indexOf('IDAT');
    const data = inflateSync(png.subarray(start + 4, start + 4 + png.readUInt32BE(start - 4)));
    assert.equal(data.length, height * (width + 1));
    const rows = Array.from({ length: height }, (_, y) =>
      data.subarray(y * (width + 1) + 1, (y + 1) * (width + 1)),
    );
    return { width, height, rows };
  }

  it('draws a small PNG with a circle round each spot, in one step or two, and leaves no other file', async () => {
    const path = await put('a.cbf', cbf(still()));
    const spots = [[100, 100, 9]];
    const previews = at('previews');
    const two = {
      name: 'mark_preview',
      kwargs: { path, analysis: { strongest: spots }, preview_dir: previews },
    } as const;
    const [marked] = await analyse([two]);
    assert.equal(marked?.preview, join(previews, 'a.cbf.png'));
    assert.deepEqual(await readdir(previews), ['a.cbf.png']);
    const { width, height, rows } = rowsOf(await readFile(join(previews, 'a.cbf.png')));
    assert.deepEqual([width, height], [244, 310]);
    const circle = rows.flatMap((row, y) =>
      [...row].flatMap((colour, x) => (colour === 251 ? [[x, y]] : [])),
    );
    assert.ok(circle.length > 20);
    for (const [x = 0, y = 0] of circle) assert.ok(Math.abs(Math.hypot(x - 50, y - 50) - 6) < 1);
    assert.ok(
      rows[100]?.every((colour) => colour === 250),
      'a gap between modules is drawn as one',
    );

    const [one] = await analyse([{ kwargs: { path, preview_dir: at('more') } }]);
    assert.equal(one?.preview, join(at('more'), 'a.cbf.png'));
    assert.ok(rowsOf(await readFile(one?.preview ?? '')).rows.some((row) => row.includes(251)));
  });

  it('replaces an older preview', async () => {
    const path = await put('a.cbf', cbf(still()));
    await put('a.cbf.png', 'old');
    await analyse([{ kwargs: { path, preview_dir: dir } }]);
    rowsOf(await readFile(at('a.cbf.png')));
    assert.deepEqual((await readdir(dir)).sort(), ['a.cbf', 'a.cbf.png']);
  });

  it('says why when the folder cannot be made', async () => {
    const path = await put('a.cbf', cbf(still()));
    await appendFile(at('file'), '');
    const call = { kwargs: { path, preview_dir: join(at('file'), 'x') } };
    await assert.rejects(callStills([call]));
  });
});

describe('stills function: registration', () => {
  it('needs nothing but its own source', async () => {
    const cut =
      'import ast, json, sys\nsource = json.load(sys.stdin)\nnode = next(n for n in ast.parse(source).body if getattr(n, "name", "") == "analyse_frame")\njson.dump(ast.get_source_segment(source, node), sys.stdout)';
    const { source, analyse_name, preview_name } = await readStills('http://127.0.0.1:5000/providers');
    const alone = JSON.parse(await python(cut, source)) as string;
    assert.doesNotMatch(alone, /def mark_preview/);
    const path = await put('a.cbf', cbf(still()));
    const [found] = await analyse([{ name: analyse_name, kwargs: { path } }], alone);
    assert.ok((found?.spots ?? 0) >= HIT_SPOTS);
    assert.match(source, new RegExp(`^def ${preview_name}\\(path, analysis, preview_dir\\):$`, 'm'));
  });
});
