// All subprocess I/O of the schedulers: commands with a time limit and bounded output, and blocks that are
// processes of ours.
import { spawn, type ChildProcess } from 'node:child_process';
import { messageOf } from '../../errors.ts';
import { nameProcess } from '../../processes.ts';
import type { Command, CommandOutput } from './contract.ts';

const MAX_OUTPUT_BYTES = 1024 * 1024;
const COMMAND_MS = 30_000;

/** Runs a command to its end. Never rejects: what went wrong is in `code` (127: not found, 124: too slow) and `stderr`. */
export function runCommand(command: Command, timeout_ms = COMMAND_MS): Promise<CommandOutput> {
  const [program, ...args] = command.argv;
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const texts = { stdout: '', stderr: '' };
    const read = (name: 'stdout' | 'stderr') => (piece: Buffer) => {
      if (texts[name].length < MAX_OUTPUT_BYTES) texts[name] += piece.toString('utf8');
    };
    child.stdout.on('data', read('stdout'));
    child.stderr.on('data', read('stderr'));
    const end = (code: number, more = ''): void => {
      clearTimeout(timer);
      resolve({ code, stdout: texts.stdout, stderr: texts.stderr + more });
    };
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      end(124, `${program} did not end within ${timeout_ms / 1000} s`);
    }, timeout_ms);
    child.once('error', (error) => end(127, messageOf(error)));
    child.once('close', (code) => end(code ?? 1));
  });
}

/** A block that is a child process; `output` is what its submission would have printed. */
export interface ForegroundBlock {
  readonly output: CommandOutput;
  /** Resolves with how it ended, in words. */
  readonly ended: Promise<string>;
}

/** Starts a command as the leader of a session of its own. Rejects when it cannot be started. */
export function startForeground(command: Command): Promise<ForegroundBlock> {
  const [program, ...args] = command.argv;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { detached: true, stdio: 'ignore' });
    const ended = endOf(child);
    child.once('error', reject);
    child.once('spawn', () => {
      child.unref();
      const name = child.pid === undefined ? null : nameProcess(child.pid);
      const stdout = name === null ? '' : `${name.pid} ${name.start}\n`;
      resolve({ output: { code: 0, stdout, stderr: '' }, ended });
    });
  });
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(signal === null ? `it exited with code ${code ?? '?'}` : `it was killed by signal ${signal}`);
    });
  });
}
