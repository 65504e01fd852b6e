import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../../src/paths.ts';

describe('npm run help', () => {
  it('says one line on every script', () => {
    const manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(PACKAGE_ROOT, 'scripts', 'help.mjs')],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stderr);
    const listed = stdout
      .trimEnd()
      .split('\n')
      .map((line) => /^npm run (\S+) +(\S.*)$/.exec(line)?.[1]);
    assert.deepEqual(listed, Object.keys(manifest.scripts));
  });
});
