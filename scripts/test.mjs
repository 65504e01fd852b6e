// `npm test`: types, lint, then every test. A word narrows it: `npm test -- unit` runs test/unit only,
// `npm test -- flows` every test file with "flows" in its path.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const filters = process.argv.slice(2);

/** Runs one command in the repository root; a failure ends the whole run with its exit code. */
function run(title, command, args) {
  process.stderr.write(`\n== ${title}\n`);
  const { status, signal } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, NODE_ENV: 'test' },
  });
  if (status !== 0) {
    process.stderr.write(`\n${title} failed (${signal ?? `exit ${status}`})\n`);
    process.exit(status ?? 1);
  }
}

const bin = (name) => join(root, 'node_modules', '.bin', name);
if (filters.length === 0) {
  run('types', bin('tsc'), ['--noEmit']);
  run('lint', bin('eslint'), ['.']);
  run('format', bin('prettier'), ['--check', '--log-level=warn', '.']);
}
run('build', process.execPath, [join(root, 'scripts', 'build.mjs'), '--tests']);
if (filters.length === 0 || filters.includes('worker')) {
  run('worker', 'python3', [
    '-m',
    'unittest',
    'discover',
    '-s',
    join(root, 'test', 'worker'),
    '-p',
    'test_*.py',
  ]);
}
const files = readdirSync(join(root, '.build'), { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .filter((name) => filters.length === 0 || filters.some((word) => name.includes(word)))
  .map((name) => join(root, '.build', name))
  .sort();
if (files.length > 0) {
  run('tests', bin('mocha'), ['--timeout', '60000', '--exit', ...files]);
}
