// What a batch scheduler must tell us to be used for blocks: builders of scripts and commands, parsers of what
// they print. All pure; run-command.ts does the I/O for every one of them.

/** A program and its arguments; never a shell line. */
export interface Command {
  readonly argv: readonly [string, ...string[]];
}

export interface CommandOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** One pilot job to be. */
export interface BlockSpec {
  readonly block_id: string;
  /** What starts an executor on a node: program and arguments. */
  readonly executor: readonly [string, ...string[]];
  /** Lines of shell run before it: modules, virtual environments. */
  readonly worker_init: string;
  /** Folder of the block's script and log. */
  readonly dir: string;
  /** File for everything the block prints. */
  readonly log_file: string;
}

/** `unknown` is what the scheduler does not tell of; only the manager decides what that means. */
export type BlockPhase = 'pending' | 'running' | 'ended' | 'unknown';

export interface BlockReport {
  readonly phase: BlockPhase;
  /** The scheduler's own words, when it has some. */
  readonly words: string;
}

export interface BatchScheduler {
  readonly name: string;
  /** Between two looks at the blocks, in milliseconds. */
  readonly poll_ms: number;
  /** Is the submit command itself the block? It then runs in a session of its own, its end is noticed at once, and
   *  "PID START" of its process stands for what submitting printed. */
  readonly foreground: boolean;
  /** Text of the script that is the block. */
  script(block: BlockSpec): string;
  /** Submits a script file. */
  submitCommand(scriptFile: string): Command;
  /** The native id in what submitting printed. Throws an Error in the scheduler's words. */
  parseSubmit(output: CommandOutput): string;
  statusCommand(nativeIds: readonly string[]): Command;
  /** Reports by native id; ids it does not mention are `unknown`. Throws when the listing failed. */
  parseStatus(output: CommandOutput, nativeIds: readonly string[]): Map<string, BlockReport>;
  /** Ends blocks: asks their processes to end or, by force, ends them. */
  cancelCommand(nativeIds: readonly string[], force: boolean): Command;
}

/** One argument, quoted for a POSIX shell. */
export function shellQuote(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A command line, quoted for a POSIX shell. */
export function shellLine(argv: readonly string[]): string {
  return argv.map(shellQuote).join(' ');
}
