// Resident memory of the program's processes while nothing happens.
import { readFileSync, readdirSync } from 'node:fs';

interface Found {
  readonly name: string;
  readonly rss_mib: number;
}

const SETTLE_MS = 3_000;

function readProcess(pid: string): { ppid: number; command: string; rss_mib: number } | null {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return {
      ppid: Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]),
      rss_mib: Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024,
      command: readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' '),
    };
  } catch {
    return null;
  }
}

function nameOf(command: string): string {
  if (command.includes('executor.js')) return 'executor';
  if (command.includes('endpoint start')) return 'manager';
  if (command.includes('endpoint/worker')) return 'Python worker, each';
  if (command.includes('postgres -D') || command.startsWith('postgres:'))
    return 'PostgreSQL, all processes (shared pages counted in each)';
  if (command.includes(' up ')) return 'service (HTTP, dispatcher, flows, triggers)';
  return 'helpers (sh, cat)';
}

/** Every process below `root`, by what it is. */
export async function measureMemory(root: number): Promise<readonly Found[]> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
  const all = new Map(
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        const found = readProcess(pid);
        return found === null ? [] : [[Number(pid), found] as const];
      }),
  );
  const ours = new Set([root]);
  for (let grown = true; grown;) {
    grown = false;
    for (const [pid, { ppid }] of all) {
      if (ours.has(ppid) && !ours.has(pid)) {
        ours.add(pid);
        grown = true;
      }
    }
  }
  const sums = new Map<string, { total: number; count: number }>();
  for (const pid of ours) {
    const found = all.get(pid);
    if (found === undefined) continue;
    const name = nameOf(found.command);
    const sum = sums.get(name) ?? { total: 0, count: 0 };
    sums.set(name, { total: sum.total + found.rss_mib, count: sum.count + 1 });
  }
  return [...sums].map(([name, { total, count }]) => ({
    name,
    rss_mib: name.endsWith('each') ? total / count : total,
  }));
}
