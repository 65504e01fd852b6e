// The commands: one row for each noun, in the order help shows them. What starts servers is loaded only when asked
// for, so that the rest starts at once.
import { Command, CommanderError, Option } from 'commander';
import { VERSION } from '../paths.ts';
import { doctorCommand } from './commands/doctor.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { flowCommand } from './commands/flow.ts';
import { functionCommand } from './commands/function.ts';
import { providerCommand } from './commands/provider.ts';
import { runCommand } from './commands/run.ts';
import { settingsCommand } from './commands/settings.ts';
import { taskCommand } from './commands/task.ts';
import { tokenCommand } from './commands/token.ts';
import { triggerCommand } from './commands/trigger.ts';
import type { Cli } from './cli.ts';
import { makeContext, type Context, type GlobalOptions } from './context.ts';
import { EXIT, type ExitCode } from './exit.ts';
import { explain } from './explain.ts';
import type { Io } from './io.ts';
import { tellError } from './output.ts';

const NOUNS: readonly ((cli: Cli) => void)[] = [
  functionCommand,
  taskCommand,
  flowCommand,
  runCommand,
  triggerCommand,
  endpointCommand,
  providerCommand,
  tokenCommand,
];

interface LazyCommand {
  readonly name: string;
  readonly summary: string;
  readonly register: (cli: Cli) => Promise<void>;
}

const LAZY: readonly LazyCommand[] = [
  {
    name: 'up',
    summary: 'run everything on this machine, in the foreground',
    register: async (cli) => (await import('./commands/up.ts')).upCommand(cli.program),
  },
  {
    name: 'serve',
    summary: 'run the service alone, on DATABASE_URL and REDIS_URL',
    register: async (cli) => (await import('./commands/serve.ts')).serveCommand(cli.program),
  },
  {
    name: 'demo',
    summary: 'show all of it in a throw-away home: frames in, analysis out',
    register: async (cli) => (await import('./commands/demo.ts')).demoCommand(cli.program),
  },
  {
    name: 'detector',
    summary: 'a virtual detector: writes simulated frames into a folder',
    register: async (cli) => (await import('./commands/detector.ts')).detectorCommand(cli),
  },
];

/** The words that are neither options nor the values of the program's own options. */
function operands(program: Command, argv: readonly string[]): string[] {
  const takes = (word: string | undefined): boolean =>
    program.options.some(
      (option) => option.required && word !== undefined && [option.short, option.long].includes(word),
    );
  return argv.filter((word, at) => !word.startsWith('-') && !takes(argv[at - 1]));
}

function makeProgram(io: Io): Command {
  const program = new Command('pilotwave')
    .description('Runs functions where the data is, driven by the files that arrive.')
    .version(VERSION, '-V, --version', 'print the version')
    .option('--home <dir>', 'folder of the local installation (PILOTWAVE_HOME; ~/.pilotwave)')
    .option('--url <url>', 'address of the service (PILOTWAVE_URL)')
    .option('--token <token>', 'access token (better in PILOTWAVE_TOKEN)')
    .addOption(new Option('-o, --output <format>', 'how to print data').choices(['table', 'json']))
    .option('-q, --quiet', 'no progress and no hints')
    .option('--utc', 'absolute times, in UTC')
    .helpCommand('help [command]', 'show help for a command')
    .showHelpAfterError('Run it with --help to see what it takes.')
    .exitOverride()
    .configureOutput({
      writeOut: io.out,
      writeErr: io.err,
      getOutHelpWidth: () => io.columns ?? 110,
      getErrHelpWidth: () => io.columns ?? 110,
    });
  return program;
}

async function addCommands(cli: Cli, argv: readonly string[]): Promise<void> {
  const wanted = new Set(operands(cli.program, argv).slice(0, 2));
  cli.program.commandsGroup('Run it:');
  for (const { name, summary, register } of LAZY) {
    if (wanted.has(name)) await register(cli);
    else cli.program.command(name).description(summary);
  }
  doctorCommand(cli);
  settingsCommand(cli);
  cli.program.commandsGroup('Use it:');
  for (const register of NOUNS) register(cli);
}

/** Was JSON asked for? Read by hand, because errors in the options themselves must be told too. */
function asksJson(argv: readonly string[]): boolean {
  return argv.some(
    (word, at) =>
      word === '-ojson' ||
      word === '--output=json' ||
      (word === 'json' && ['-o', '--output'].includes(argv[at - 1] ?? '')),
  );
}

/** Runs one command line (without `node` and the program's name); answers the exit code and never throws. */
export async function runCli(argv: readonly string[], io: Io): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  const program = makeProgram(io);
  const run =
    <P extends unknown[]>(work: (context: Context, ...params: P) => Promise<void>) =>
    (...received: [...P, Command]): Promise<void> => {
      const command = received.at(-1) as Command;
      const context = makeContext(io, command.optsWithGlobals<GlobalOptions>(), (end) => (code = end));
      return work(context, ...(received.slice(0, -1) as unknown as P));
    };
  const cli: Cli = { program, run };
  try {
    await addCommands(cli, argv);
    await program.parseAsync(argv, { from: 'user' });
    return code;
  } catch (error) {
    // Commander has told its own errors already. Help that was asked for ends with 0.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const told = explain(error);
    tellError(io, told, asksJson(argv));
    return told.exit;
  }
}
