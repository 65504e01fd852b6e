#!/usr/bin/env node
// The command a user types. `npm ci` has built dist/; without it, say what to do instead of a stack trace.
import { existsSync } from 'node:fs';

const program = new URL('../dist/main.js', import.meta.url);
if (!existsSync(program)) {
  process.stderr.write(
    'pilotwave is not built yet: run "npm ci" (or "npm run build") in its folder first.\n',
  );
  process.exit(78);
}
await import(program.href);
