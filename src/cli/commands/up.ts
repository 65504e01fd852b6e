// `pilotwave up`: everything on this machine, in the foreground, until Ctrl-C.
import { join } from 'node:path';
import type { Command } from 'commander';
import { makeLogger } from '../../log.ts';
import { homeOf } from '../connection.ts';
import { EXIT, usageError } from '../exit.ts';
import { tokenFile, writeWhole } from '../stack/home.ts';
import { readSettings } from '../stack/settings.ts';
import { firstSignal } from '../stack/signals.ts';
import { startStack, type Stack } from '../stack/stack.ts';

interface UpOptions {
  readonly home?: string;
  readonly port?: string;
  readonly readyFile?: string;
  readonly quiet?: boolean;
}

function portOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw usageError(`--port is not a port: ${text}`);
  return port;
}

/** What `--ready-file` gets once requests are answered. */
function readyText(stack: Stack): string {
  return `${JSON.stringify({
    url: stack.service.url,
    token: stack.token,
    endpoint_id: stack.endpoint_id,
    pid: process.pid,
  })}\n`;
}

function welcome(stack: Stack, home: string): string {
  return [
    `Pilotwave is at ${stack.service.url}`,
    `  token     ${tokenFile(home)}`,
    `  endpoint  local (${stack.endpoint_id})`,
    `  log       ${join(home, 'log', 'service.log')}`,
    'Next, in another terminal: pilotwave doctor',
    'Ctrl-C ends it; starting it again goes on where it stopped.',
    '',
  ].join('\n');
}

async function up(options: UpOptions): Promise<void> {
  const settings = readSettings(process.env);
  const home = homeOf(options, process.env);
  const say = (line: string): void => {
    if (options.quiet !== true) process.stderr.write(`${line}\n`);
  };
  const ended = firstSignal();
  const stack = await startStack({
    home,
    port: portOf(options.port),
    settings,
    log: makeLogger('service', settings.log_level, join(home, 'log', 'service.log')),
    onProgress: say,
  });
  if (options.readyFile !== undefined) await writeWhole(options.readyFile, readyText(stack));
  if (options.quiet !== true) process.stderr.write(welcome(stack, home));
  say(`\n${await ended}: ending in order …`);
  await stack.stop();
  process.exit(EXIT.ok);
}

export function upCommand(program: Command): void {
  program
    .command('up')
    .description('run everything on this machine, in the foreground')
    .option(
      '--port <port>',
      'port of the HTTP service; 0 picks one (default: that of the last start, or 5000)',
    )
    .option(
      '--ready-file <file>',
      'write {"url","token","endpoint_id","pid"} to it when requests are answered',
    )
    .action((_options: UpOptions, command: Command) => up(command.optsWithGlobals<UpOptions>()));
}
