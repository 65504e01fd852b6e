// Where this installation's own files are: the package's root and what ships in it.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

function findRoot(): string {
  let dir = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(dir, 'package.json'))) {
    const up = dirname(dir);
    if (up === dir) throw new Error('package.json not found above this program');
    dir = up;
  }
  return dir;
}

/** The folder that holds package.json. */
export const PACKAGE_ROOT = findRoot();

/** The Python worker: a folder that `python3` runs. */
export const WORKER_DIR = join(PACKAGE_ROOT, 'src', 'endpoint', 'worker');

/** The executor's bundle, started once per node. */
export const EXECUTOR_PROGRAM = join(PACKAGE_ROOT, 'dist', 'executor.js');

/** The command-line program. */
export const MAIN_PROGRAM = join(PACKAGE_ROOT, 'dist', 'main.js');

const manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string };

/** This installation's version. */
export const VERSION = manifest.version;
