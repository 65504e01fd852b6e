import assert from 'node:assert/strict';
import { join } from 'node:path';
import { build } from 'esbuild';
import { PACKAGE_ROOT } from '../../../src/paths.ts';

describe('sdk: in a browser', () => {
  it('needs nothing that only Node has', async () => {
    const built = await build({
      entryPoints: [join(PACKAGE_ROOT, 'src', 'sdk', 'client.ts')],
      bundle: true,
      write: false,
      platform: 'browser',
      format: 'esm',
      logLevel: 'silent',
    });
    const text = built.outputFiles[0]?.text ?? '';
    assert.ok(text.includes('/v2/batch_status'));
    assert.doesNotMatch(text, /\bBuffer\b|\bprocess\.|\brequire\(|node:/);
  });
});
