// Processes by name that outlives a restart of ours: a pid alone may be another's by then, a pid with its start
// time is not. Also the ending of whole process groups.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { messageOf } from './errors.ts';

/** One process of this machine. `start` is opaque: equal for the same process, different for any other. */
export interface ProcessName {
  readonly pid: number;
  readonly start: string;
}

/** Field 22 of /proc/PID/stat; the command before it may hold spaces and brackets. */
export function parseStart(stat: string): string | null {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  // A zombie is over: only its parent has not looked yet.
  if (state === undefined || state === 'Z' || state === 'X') return null;
  return fields[19] ?? null;
}

/** When a process started, or null when there is none with this pid. */
export function processStart(pid: number): string | null {
  if (!Number.isInteger(pid) || pid <= 1) return null;
  if (process.platform === 'linux') {
    try {
      return parseStart(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return null;
    }
  }
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      timeout: 5_000,
    });
    return text.trim() === '' ? null : text.trim().replaceAll(/\s+/g, '_');
  } catch {
    return null;
  }
}

/** The name of a live process; null when there is none with this pid. */
export function nameProcess(pid: number): ProcessName | null {
  const start = processStart(pid);
  return start === null ? null : { pid, start };
}

/** Does exactly this process still run? */
export function isAlive(name: ProcessName): boolean {
  return processStart(name.pid) === name.start;
}

/** Signals a process group. False when it has no members left. */
export function signalGroup(pgid: number, signal: NodeJS.Signals): boolean {
  if (!Number.isInteger(pgid) || pgid <= 1) return false;
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw new Error(`cannot signal process group ${pgid}: ${messageOf(error)}`, { cause: error });
  }
}
