import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  atLeast,
  checkHome,
  checkNode,
  judgeClock,
  judgeDisk,
  judgePython,
} from '../../../src/cli/checks.ts';

describe('cli: what doctor looks at', () => {
  it('versions are compared as numbers', () => {
    assert.ok(atLeast('v20.19.0', [20, 19]));
    assert.ok(atLeast('20.20.2', [20, 19]));
    assert.ok(atLeast('22.1.0', [20, 19]));
    assert.ok(!atLeast('20.9.0', [20, 19]));
    assert.ok(!atLeast('3.7.17', [3, 8]));
    assert.ok(atLeast('3.13.0', [3, 8]));
  });

  it('Node and Python must be recent enough; dill and numpy may be missing', () => {
    assert.equal(checkNode('v20.19.0', '>=20.19').state, 'ok');
    assert.equal(checkNode('v18.20.0', '>=20.19').state, 'fail');
    assert.equal(judgePython({ version: '3.7.1', dill: null, numpy: null }).state, 'fail');
    assert.deepEqual(judgePython({ version: '3.11.7', dill: '0.3.9', numpy: null }), {
      name: 'python',
      state: 'ok',
      detail: 'Python 3.11.7, dill 0.3.9, no numpy',
    });
  });

  it('little disk warns, almost none fails', () => {
    assert.deepEqual(
      [10, 1, 0.1].map((gib) => judgeDisk(gib * 2 ** 30).state),
      ['ok', 'warn', 'fail'],
    );
  });

  it('clocks that differ by more than the header can tell', () => {
    const at = Date.UTC(2026, 0, 1);
    const judge = (server_time: number | null) =>
      judgeClock({ status: 'ok', version: '1', server_time }, at, at + 100);
    assert.equal(judge(null).state, 'skip');
    assert.equal(judge(at - 1000).state, 'ok');
    assert.match(judge(at + 60_000).detail, /^1 min behind/);
    assert.equal(judge(at + 60_000).state, 'warn');
    assert.match(judge(at - 7_200_000).detail, /ahead of/);
    assert.equal(judge(at - 7_200_000).state, 'fail');
  });

  it('a home may be missing, but what is above it must be a folder', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
    try {
      await writeFile(join(dir, 'file'), '');
      assert.equal((await checkHome(dir)).state, 'ok');
      assert.match((await checkHome(join(dir, 'a', 'b'))).detail, /will be made/);
      assert.equal((await checkHome(join(dir, 'file', 'b'))).state, 'fail');
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
});
