// A compute site for tests: a folder of its own and manager processes in it, and what is left of them.
import { build } from 'esbuild';
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ManagerRunOptions } from '../../../../src/endpoint/manager/options.ts';
import { EXECUTOR_PROGRAM, PACKAGE_ROOT } from '../../../../src/paths.ts';
import { eventually } from './eventually.ts';
import { ENDPOINT_ID, type TestService } from './test-service.ts';

const PROGRAM = join(PACKAGE_ROOT, '.build', `test-manager-${process.pid}.mjs`);
let built: Promise<unknown> | null = null;

function buildProgram(): Promise<unknown> {
  if (!existsSync(EXECUTOR_PROGRAM)) throw new Error(`${EXECUTOR_PROGRAM} is missing: npm run build`);
  process.once('exit', () => rmSync(PROGRAM, { force: true }));
  return build({
    entryPoints: [join(PACKAGE_ROOT, 'test/integration/endpoint/support/manager-main.ts')],
    outfile: PROGRAM,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
}

export interface ManagerProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Everything it wrote to stderr so far. */
  readonly said: () => string;
}

export class Site {
  readonly dir = mkdtempSync(join(tmpdir(), 'pilotwave-site-'));
  readonly #managers: ManagerProcess[] = [];

  /** Starts a manager process; it may be refused, see `exited`. */
  async start(service: TestService, more: Partial<ManagerRunOptions> = {}): Promise<ManagerProcess> {
    await (built ??= buildProgram());
    const options = {
      dir: this.dir,
      endpoint_id: ENDPOINT_ID,
      link: service.link,
      workers_per_node: 2,
      python: 'python3',
      ...more,
    };
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
      stdio: ['pipe', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
    const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code, signal }));
    });
    const manager = { child, exited, said: () => said };
    this.#managers.push(manager);
    return manager;
  }

  /** Starts a manager and waits until its workers are there. */
  async startReady(service: TestService, more: Partial<ManagerRunOptions> = {}): Promise<ManagerProcess> {
    const manager = await this.start(service, more);
    await eventually('workers', () => (service.status?.total_workers ?? 0) > 0);
    return manager;
  }

  /** Processes of this site other than managers. */
  processes(): {
    readonly pid: number;
    readonly kind: 'executor' | 'worker' | 'other';
    readonly line: string;
  }[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const line = commandOf(Number(name));
        if (!line.includes(this.dir) || line.includes(PROGRAM)) return [];
        const kind = line.includes('executor.js')
          ? 'executor'
          : line.includes('--state')
            ? 'worker'
            : 'other';
        return [{ pid: Number(name), kind }].map((found) => ({ ...found, kind, line }) as const);
      });
  }

  pids(kind: 'executor' | 'worker'): number[] {
    return this.processes()
      .filter((found) => found.kind === kind)
      .map(({ pid }) => pid);
  }

  /** Ends whatever is left and removes the folder. */
  async close(): Promise<void> {
    for (const { child } of this.#managers) child.kill('SIGTERM');
    await Promise.all(this.#managers.map(({ exited }) => exited));
    for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL');
    await eventually('nothing left', () => this.processes().length === 0);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** A process's command line; '' when it is gone or a zombie. */
export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}
