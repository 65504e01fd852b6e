// Replaying real frames: what is taken for a frame, what is left, and how the copies arrive.
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { copyFrames, isFrameName, listFrames } from '../../../src/demo/copy-frames.ts';
import { Fault } from '../../../src/errors.ts';

const never = new AbortController().signal;

describe('copying frames', () => {
  let dir: string;
  let drop: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pilotwave-copy-'));
    drop = join(dir, 'drop');
    await mkdir(join(dir, 'in', 'run1', 'deep'), { recursive: true });
    await mkdir(join(dir, 'in', 'run2'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const put = (path: string, text: string): Promise<void> => writeFile(join(dir, 'in', path), text);

  it('knows the names that detectors give, packed ones too', () => {
    const frames = [
      'a.cbf',
      'A.CBF',
      'a.cbf.gz',
      'a.cbf.bz2',
      'a.tif',
      'a.tiff',
      'a.edf',
      'a.img',
      'a.h5',
      'a.hdf5',
    ];
    for (const name of [...frames, 'a.nxs', 'a.npz']) assert.ok(isFrameName(name), name);
    for (const name of ['a.csv', 'a.cbf.tmp', 'cbf', '.a.cbf', 'a.gz', 'a.png', 'a.img.zip']) {
      assert.ok(!isFrameName(name), name);
    }
  });

  it('finds the frames of every folder below, in order, and says why it skips the others', async () => {
    await Promise.all([
      put('b.cbf', 'b'),
      put('a.txt', 't'),
      put('run1/deep/c.cbf.gz', 'c'),
      put('run2/d.tif', 'd'),
    ]);
    await symlink(join(dir, 'in'), join(dir, 'in', 'run2', 'loop'));
    await symlink(join(dir, 'gone'), join(dir, 'in', 'run2', 'lost.cbf'));
    const { frames, skipped } = await listFrames(join(dir, 'in'), drop);
    assert.deepEqual(
      frames.map(({ name, bytes }) => [name, bytes]),
      [
        ['b.cbf', 1],
        ['c.cbf.gz', 1],
        ['d.tif', 1],
      ],
    );
    assert.deepEqual(
      skipped.map(({ source, why }) => [basename(source), why]),
      [
        ['a.txt', 'not a name that detectors give to frames'],
        ['loop', 'not a name that detectors give to frames'],
        ['lost.cbf', 'cannot be read'],
      ],
    );
  });

  it('copies whole files under their names and tells of each', async () => {
    await Promise.all([put('b.cbf', 'bytes of b'), put('run1/c.edf', 'bytes of c'), put('notes.md', '')]);
    const told: string[] = [];
    const { written, skipped } = await copyFrames(join(dir, 'in'), {
      dir: drop,
      rate_hz: 0,
      signal: never,
      onWritten: ({ name }) => told.push(name),
    });
    assert.deepEqual(told, ['b.cbf', 'c.edf']);
    assert.deepEqual(await readdir(drop), ['b.cbf', 'c.edf']);
    assert.equal(await readFile(join(drop, 'c.edf'), 'utf8'), 'bytes of c');
    assert.deepEqual([written.length, skipped.length], [2, 1]);
  });

  it('keeps files apart that share a name', async () => {
    await Promise.all([put('run1/x.cbf', 'one'), put('run2/x.cbf', 'two')]);
    await copyFrames(join(dir, 'in'), { dir: drop, rate_hz: 0, signal: never });
    const texts = await Promise.all((await readdir(drop)).map((name) => readFile(join(drop, name), 'utf8')));
    assert.deepEqual(texts.sort(), ['one', 'two']);
  });

  it('leaves out a drop folder inside the input, so that nothing is copied twice', async () => {
    const inside = join(dir, 'in', 'drop');
    await put('a.cbf', 'a');
    for (let round = 0; round < 2; round++) {
      const { written } = await copyFrames(join(dir, 'in'), { dir: inside, rate_hz: 0, signal: never });
      assert.deepEqual(
        written.map(({ name }) => name),
        ['a.cbf'],
      );
    }
    assert.deepEqual(await readdir(inside), ['a.cbf']);
  });

  it('skips a file that is gone before its turn and goes on', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => put(`${name}.cbf`, name)));
    const { written, skipped } = await copyFrames(join(dir, 'in'), {
      dir: drop,
      rate_hz: 0,
      signal: never,
      onWritten: ({ name }) => (name === 'a.cbf' ? rmSync(join(dir, 'in', 'b.cbf')) : undefined),
    });
    assert.deepEqual(
      written.map(({ name }) => name),
      ['a.cbf', 'c.cbf'],
    );
    assert.match(skipped[0]?.why ?? '', /ENOENT/);
    assert.deepEqual(await readdir(drop), ['a.cbf', 'c.cbf']);
  });

  it('copies nothing more after the signal', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => put(`${name}.cbf`, name)));
    const end = new AbortController();
    const options = { dir: drop, rate_hz: 0, signal: end.signal, onWritten: () => end.abort() };
    assert.equal((await copyFrames(join(dir, 'in'), options)).written.length, 1);
    assert.deepEqual(await readdir(drop), ['a.cbf']);
  });

  it('says so when the folder is not there', async () => {
    await assert.rejects(
      copyFrames(join(dir, 'nowhere'), { dir: drop, rate_hz: 0, signal: never }),
      (error: unknown) => {
        assert.ok(error instanceof Fault);
        assert.match(error.message, /nowhere/);
        return error.code === 'invalid_request';
      },
    );
  });
});
