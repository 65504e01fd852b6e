// `pilotwave function` (`fn`): register a Python file, see what is registered, call one.
import { basename } from 'node:path';
import type { Client } from '../../sdk/client.ts';
import type { EndpointView, Json, JsonObject } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { endpointId, functionId } from '../lookups.ts';
import { chooseDef, pythonDefs } from '../python-defs.ts';
import { finishTask } from '../task-end.ts';
import {
  collectText,
  countOption,
  durationOption,
  parseKeyValue,
  readJson,
  readJsonObject,
  readText,
} from '../values.ts';

interface RegisterOptions {
  readonly name?: string;
  readonly description?: string;
  readonly public?: boolean;
}

/** `dir/file.py:NAME` → path and name. A path may hold colons of its own: the last part counts when it is a name. */
function splitFile(text: string): { path: string; wanted: string | undefined } {
  const found = /^(.+):([\p{L}_][\p{L}\p{N}_]*)$/u.exec(text);
  return { path: found?.[1] ?? text, wanted: found?.[2] };
}

async function register(context: Context, file: string, options: RegisterOptions): Promise<void> {
  const { path, wanted } = splitFile(file);
  const source = await readText(path);
  const chosen = chooseDef(pythonDefs(source), wanted);
  if (chosen.kind === 'problem') throw usageError(`${basename(path)}: ${chosen.message}`);
  const client = await context.client();
  const { function_uuid } = await client.functions.registerSource({
    name: chosen.name,
    source,
    title: options.name,
    description: options.description,
    public: options.public,
  });
  const name = options.name ?? chosen.name;
  context.out.say(`Registered ${name} from ${path}.`);
  context.out.value({ id: function_uuid, name }, function_uuid);
  context.out.next(`pilotwave function run ${name} --wait`);
}

async function list(context: Context, options: { name?: string; limit?: number }): Promise<void> {
  const { out } = context;
  const functions = await (await context.client()).functions.list(options);
  out.list(
    functions,
    [
      { title: 'id', value: (fn) => fn.id },
      { title: 'name', value: (fn) => fn.name },
      { title: 'created', value: (fn) => out.when(fn.created_at) },
      { title: 'public', value: (fn) => (fn.public ? 'yes' : 'no') },
      { title: 'description', value: (fn) => fn.description ?? '', flexible: true },
    ],
    'No functions yet: pilotwave function register FILE.py',
  );
}

/** Packed source code `<length>\nst\nNAME:SOURCE` → the source; null for code of another kind. */
function sourceOf(code: string): string | null {
  return /^\d+\ns[td]\n[^:]*:/.test(code) ? code.replace(/^\d+\ns[td]\n[^:]*:/, '') : null;
}

async function show(context: Context, text: string, options: { source?: boolean }): Promise<void> {
  const client = await context.client();
  const fn = await client.functions.get(await functionId(client, text));
  const source = sourceOf(fn.function_code);
  if (options.source === true) {
    if (source === null)
      throw new CliError(
        EXIT.failed,
        `${fn.function_name} was registered as bytecode: it has no source here.`,
      );
    context.out.value({ id: fn.function_uuid, source }, source);
    return;
  }
  context.out.document(fn, [
    ['id', fn.function_uuid],
    ['name', fn.function_name],
    ['description', fn.description],
    ['python', fn.metadata?.['python_version']],
    ['code', source === null ? 'bytecode' : `source, ${source.split('\n').length} lines`],
  ]);
  if (source !== null) context.out.next(`pilotwave function show ${fn.function_uuid} --source`);
}

interface RunOptions {
  readonly endpoint?: string;
  readonly arg?: readonly string[];
  readonly args?: string;
  readonly kwargs?: string;
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly walltime?: number;
  readonly maxAttempts?: number;
}

async function argumentsOf(
  context: Context,
  options: RunOptions,
): Promise<{ args: readonly Json[]; kwargs: JsonObject }> {
  const args = options.args === undefined ? [] : await readJson(context.io, options.args, '--args');
  if (!Array.isArray(args)) throw usageError('--args must be a JSON array, like \'[1, "two"]\'.');
  const kwargs =
    options.kwargs === undefined ? {} : await readJsonObject(context.io, options.kwargs, '--kwargs');
  return {
    args: args as readonly Json[],
    kwargs: { ...kwargs, ...Object.fromEntries((options.arg ?? []).map(parseKeyValue)) },
  };
}

/** The endpoint named, or the only one that is online. */
async function endpointFor(client: Client, named: string | undefined): Promise<string> {
  if (named !== undefined) return endpointId(client, named);
  const endpoints = await client.endpoints.list();
  const online = endpoints.filter((endpoint) => endpoint.status === 'online');
  const [only, ...others] = online;
  if (only !== undefined && others.length === 0) return only.id;
  const names = (some: readonly EndpointView[]): string => some.map((endpoint) => endpoint.name).join(', ');
  if (only !== undefined)
    throw usageError(`Several endpoints are online: ${names(online)}.`, 'choose one: --endpoint NAME');
  throw new CliError(EXIT.unavailable, 'No endpoint is online.', {
    why: endpoints.length === 0 ? 'none is registered' : `offline: ${names(endpoints)}`,
    remedy:
      endpoints.length === 0
        ? 'start one: pilotwave up, or pilotwave endpoint configure NAME'
        : `start one: pilotwave endpoint start ${endpoints[0]?.name}; or let the task wait for it: --endpoint NAME`,
  });
}

async function run(context: Context, text: string, options: RunOptions): Promise<void> {
  const call = await argumentsOf(context, options);
  const client = await context.client();
  const function_id = await functionId(client, text);
  const endpoint_id = await endpointFor(client, options.endpoint);
  const limits = {
    ...(options.walltime === undefined ? {} : { timeout_s: options.walltime }),
    ...(options.maxAttempts === undefined ? {} : { max_attempts: options.maxAttempts }),
  };
  const submitted = await client.tasks.submit({
    endpoint_id,
    function_id,
    calls: [call],
    ...(Object.keys(limits).length === 0 ? {} : { options: limits }),
  });
  const [task_id = ''] = submitted.task_ids;
  if (options.wait === true) {
    await finishTask(context, client, task_id, { wait: true, timeout_s: options.timeout, logs: true });
    return;
  }
  context.out.value(submitted, task_id);
  context.out.next(`pilotwave task result ${task_id} --wait`);
}

export function functionCommand(cli: Cli): void {
  const noun = cli.program.command('function').alias('fn').description('Python functions');
  noun
    .command('register <file>')
    .description('register a function of a Python file: FILE.py, or FILE.py:NAME when it has several')
    .option('--name <name>', "name to register it under (the function's own)")
    .option('--description <text>', 'what it does')
    .option('--public', 'anyone may call it')
    .action(cli.run(register));
  noun
    .command('list')
    .alias('ls')
    .description('registered functions, newest first')
    .option('--name <name>', 'only of this name')
    .option('--limit <n>', 'at most so many', countOption, 100)
    .action(cli.run(list));
  noun
    .command('show <function>')
    .description('one function')
    .option('--source', 'print its source')
    .action(cli.run(show));
  noun
    .command('run <function>')
    .description('call it at an endpoint')
    .option('--endpoint <endpoint>', 'where (the only one that is online)')
    .option('--arg <name=value>', 'an argument by name, JSON or text; repeat for several', collectText)
    .option('--args <json>', 'arguments by place: a JSON array, or @file')
    .option('--kwargs <json>', 'arguments by name: a JSON object, or @file')
    .option('--wait', 'wait for the result and print it')
    .option('--timeout <duration>', 'wait at most so long; the task goes on', durationOption)
    .option('--walltime <duration>', 'end the task when it runs longer', durationOption)
    .option('--max-attempts <n>', 'starts it may have when workers are lost', countOption)
    .action(cli.run(run));
}
