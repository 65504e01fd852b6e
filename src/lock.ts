// Locks between processes: at most one holder. The lock is a file that names its holder; the lock of a process that
// is gone is taken over. Another host's holder cannot be looked at, so its lock counts while it is kept fresh.
import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Fault } from './errors.ts';
import { isAlive, nameProcess, type ProcessName } from './processes.ts';

const FRESHEN_MS = 15_000;
/** A lock of another host not freshened for this long is stale. */
const STALE_MS = 90_000;
const TRIES = 5;

interface Holder extends ProcessName {
  readonly host: string;
  readonly since: string;
}

export interface Lock {
  release(): void;
}

/** Takes the lock `file`; `what` it guards begins the sentence that names its holder. Throws Fault endpoint_locked. */
export function takeLock(file: string, what: string, now: () => number): Lock {
  const me = nameProcess(process.pid);
  const holder: Holder = {
    pid: process.pid,
    start: me?.start ?? '',
    host: hostname(),
    since: new Date(now()).toISOString(),
  };
  const text = JSON.stringify(holder);
  for (let tries = 0; tries < TRIES; tries++) {
    if (create(file, text)) return held(file, text, now);
    const other = read(file);
    if (other === undefined) continue;
    if (other !== null && isHeld(file, other.holder, now())) throw lockedBy(what, other.holder);
    clear(file, other?.text ?? null);
  }
  throw new Fault('endpoint_locked', `The lock ${file} changes hands too quickly; try again.`);
}

/** Creates the lock file with its content in one step; false when there is one. */
function create(file: string, text: string): boolean {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Undefined: gone meanwhile. Null: not a lock of ours. */
function read(file: string): { holder: Holder; text: string } | null | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return { holder: JSON.parse(text) as Holder, text };
  } catch {
    return null;
  }
}

function isHeld(file: string, holder: Holder, now: number): boolean {
  if (holder.host === hostname()) return isAlive(holder);
  try {
    return now - statSync(file).mtimeMs < STALE_MS;
  } catch {
    return false;
  }
}

/** Removes a stale lock, unless somebody else replaced it a moment ago: then it is put back. */
function clear(file: string, text: string | null): void {
  const aside = `${file}.${process.pid}.stale`;
  try {
    renameSync(file, aside);
    if (text !== null && readFileSync(aside, 'utf8') !== text) linkSync(aside, file);
  } catch {
    // Gone, or taken by another: the next try sees how it is.
  } finally {
    rmSync(aside, { force: true });
  }
}

function held(file: string, text: string, now: () => number): Lock {
  const freshen = setInterval(() => {
    try {
      utimesSync(file, now() / 1000, now() / 1000);
    } catch {
      // A lock file somebody removed does not end a manager that works.
    }
  }, FRESHEN_MS);
  freshen.unref();
  return {
    release() {
      clearInterval(freshen);
      if (read(file)?.text === text) rmSync(file, { force: true });
    },
  };
}

function lockedBy(what: string, holder: Holder): Fault {
  return new Fault(
    'endpoint_locked',
    `${what} is in use by process ${holder.pid} on ${holder.host}, since ${holder.since}.`,
    { remedy: 'Stop that one first, or use another.', args: [holder.pid] },
  );
}
