// `npm run help`: every npm script with one line on what it is for. A script without a line here fails a test.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DESCRIPTIONS = {
  prepare: 'what `npm ci` runs after the install: the build',
  build: 'build the program into dist/',
  demo: 'show the whole system in a throw-away home; options after --, such as -- --json',
  start: 'run everything on this machine: pilotwave up',
  pilotwave: 'the command line: npm run pilotwave -- task list',
  test: 'types, lint, format, then every test; a word narrows it: npm test -- unit',
  lint: 'lint and check the format of every file',
  format: 'put every file into the one format',
  types: 'check types',
  bench: 'measure it on this machine',
  help: 'this list',
};

const root = join(import.meta.dirname, '..');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const names = Object.keys(scripts);
const width = Math.max(...names.map((name) => name.length));

for (const name of names) {
  process.stdout.write(
    `npm run ${name.padEnd(width)}  ${DESCRIPTIONS[name] ?? '(nothing said: add a line to scripts/help.mjs)'}\n`,
  );
}
const silent = names.filter((name) => DESCRIPTIONS[name] === undefined);
if (silent.length > 0) {
  process.stderr.write(`without a description in scripts/help.mjs: ${silent.join(', ')}\n`);
  process.exitCode = 1;
}
