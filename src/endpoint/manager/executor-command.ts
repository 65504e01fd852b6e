// How an executor is started: the command line in a block's script. src/endpoint/executor/main.ts reads it.
import { EXECUTOR_PROGRAM } from '../../paths.ts';

export interface ExecutorArguments {
  /** Address and key of the manager's hub. */
  readonly manager: string;
  readonly server_key: string;
  /** File with the keys executors use. */
  readonly key_file: string;
  readonly block_id: string;
  readonly slots: number;
  readonly python: string;
  /** Folder of the block. */
  readonly dir: string;
  /** Where tasks start. */
  readonly cwd: string;
  readonly silence_s: number;
}

/** Program and arguments of an executor. */
export function executorCommand(executor: ExecutorArguments): readonly [string, ...string[]] {
  // `--name=value`: a CURVE key may begin with a dash.
  const args = Object.entries(executor).map(([name, value]) => `--${name.replaceAll('_', '-')}=${value}`);
  return [process.execPath, EXECUTOR_PROGRAM, ...args];
}
