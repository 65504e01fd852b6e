// Builds dist/ (the program) and, with --tests, .build/ (the test files). Bundling only joins our own
// files: packages stay where npm put them. Types are checked by `npm run types`, not here.
import { build } from 'esbuild';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** Every *.test.ts below a folder. */
function testFiles(dir) {
  return readdirSync(dir, { recursive: true })
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => join(dir, name));
}

const common = {
  bundle: true,
  packages: 'external',
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: true,
  splitting: true,
  logLevel: 'warning',
  absWorkingDir: root,
};

await build({
  ...common,
  entryPoints: { main: 'src/cli/main.ts', executor: 'src/endpoint/executor/main.ts' },
  outdir: 'dist',
});

if (process.argv.includes('--tests')) {
  rmSync(join(root, '.build'), { recursive: true, force: true });
  await build({ ...common, entryPoints: testFiles(join(root, 'test')), outbase: 'test', outdir: '.build' });
}
if (process.argv.includes('--bench')) {
  await build({ ...common, entryPoints: { bench: 'bench/main.ts' }, outdir: '.build' });
}
