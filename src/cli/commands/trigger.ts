// `pilotwave trigger`: what starts runs by itself, and what it has seen.
import { basename, resolve } from 'node:path';
import { Option } from 'commander';
import type { Client } from '../../sdk/client.ts';
import type { JsonObject, TriggerEvent, TriggerKindName, TriggerView } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { flowId, triggerId } from '../lookups.ts';
import { countOption, durationOption, readJsonObject } from '../values.ts';

interface CommonOptions {
  readonly flow: string;
  readonly input: string;
  readonly name?: string;
  readonly label?: string;
  readonly config?: string;
}

async function create(
  context: Context,
  kind: TriggerKindName,
  options: CommonOptions,
  config: JsonObject,
  default_name: string,
): Promise<void> {
  const body = await readJsonObject(context.io, options.input, '--input');
  const more =
    options.config === undefined ? {} : await readJsonObject(context.io, options.config, '--config');
  const client = await context.client();
  const trigger = await client.triggers.create({
    name: options.name ?? default_name,
    kind,
    config: { ...config, ...more },
    flow_id: await flowId(client, options.flow),
    body,
    ...(options.label === undefined ? {} : { label: options.label }),
  });
  context.out.say(`Created the trigger "${trigger.name}".`);
  if (kind === 'webhook') context.out.say(`Post events to ${hookUrl(client, trigger)}`);
  context.out.value(trigger, trigger.id);
  context.out.next(`pilotwave trigger events ${trigger.id}`);
}

/** The service may say where its hook is; otherwise it is where events of this trigger go. */
function hookUrl(client: Client, trigger: TriggerView): string {
  const said = trigger['url'];
  return typeof said === 'string'
    ? new URL(said, `${client.url}/`).href
    : `${client.url}/api/triggers/${trigger.id}/events`;
}

interface FileOptions extends CommonOptions {
  readonly dir: string;
  readonly pattern: string;
  readonly settle: number;
}

function createFile(context: Context, options: FileOptions): Promise<void> {
  // The service watches: a path as seen from here would mean another folder there.
  const dir = resolve(options.dir);
  const config = { dir, pattern: options.pattern, settle_s: options.settle };
  return create(context, 'file', options, config, basename(dir) === '' ? 'files' : basename(dir));
}

interface CronOptions extends CommonOptions {
  readonly schedule: string;
  readonly tz?: string;
}

function createCron(context: Context, options: CronOptions): Promise<void> {
  const zone = options.tz ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  return create(
    context,
    'cron',
    options,
    { schedule: options.schedule, timezone: zone },
    `cron ${options.schedule}`,
  );
}

function createWebhook(context: Context, options: CommonOptions): Promise<void> {
  return create(context, 'webhook', options, {}, 'webhook');
}

/** What the service says of its state, whatever it calls it. */
function stateOf(trigger: TriggerView): string {
  const { state, paused } = trigger;
  if (typeof state === 'string') return state;
  return paused === true ? 'paused' : 'active';
}

async function list(context: Context): Promise<void> {
  const { out } = context;
  out.list(
    await (await context.client()).triggers.list(),
    [
      { title: 'id', value: (trigger) => trigger.id },
      { title: 'name', value: (trigger) => trigger.name, flexible: true },
      { title: 'kind', value: (trigger) => trigger.kind },
      { title: 'state', value: stateOf, paint: out.status },
      { title: 'created', value: (trigger) => out.when(trigger.created_at) },
      { title: 'flow', value: (trigger) => trigger.flow_id },
    ],
    'No triggers yet: pilotwave trigger create file --dir DIR --flow FLOW',
  );
}

async function show(context: Context, text: string): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const trigger = await client.triggers.get(await triggerId(client, text));
  const shown = new Set([
    'id',
    'name',
    'kind',
    'flow_id',
    'config',
    'label',
    'created_at',
    'state',
    'paused',
    'owner',
  ]);
  const others = Object.entries(trigger).filter(([name]) => !shown.has(name));
  out.document(trigger, [
    ['id', trigger.id],
    ['name', trigger.name],
    ['kind', trigger.kind],
    ['state', stateOf(trigger)],
    ['flow', trigger.flow_id],
    ['label', trigger.label],
    ['created', out.exactly(trigger.created_at)],
    ...(trigger.kind === 'webhook' ? [['url', hookUrl(client, trigger)] as const] : []),
    ['config', JSON.stringify(trigger.config)],
    ...others.map(
      ([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)] as const,
    ),
  ]);
  out.next(`pilotwave trigger events ${trigger.id}`);
}

function field(event: TriggerEvent, ...names: readonly string[]): string {
  const value = names.map((name) => event[name]).find((one) => typeof one === 'string' && one !== '');
  return typeof value === 'string' ? value : '';
}

async function events(context: Context, text: string, options: { limit: number }): Promise<void> {
  const { out } = context;
  const client = await context.client();
  out.list(
    await client.triggers.events(await triggerId(client, text), options.limit),
    [
      { title: 'seen', value: (event) => out.when(field(event, 'recorded_at', 'created_at', 'time')) },
      { title: 'decision', value: (event) => field(event, 'decision', 'state', 'status'), paint: out.status },
      { title: 'run', value: (event) => field(event, 'run_id') },
      { title: 'subject', value: (event) => field(event, 'subject', 'source', 'id'), flexible: true },
      { title: 'reason', value: (event) => field(event, 'reason', 'error'), flexible: true },
    ],
    'No events yet.',
  );
}

function verb(name: 'pause' | 'resume') {
  return async (context: Context, text: string): Promise<void> => {
    const client = await context.client();
    const trigger = await client.triggers[name](await triggerId(client, text));
    context.out.value(trigger, `${trigger.name}: ${stateOf(trigger)}`);
  };
}

async function fire(context: Context, text: string, options: { data?: string }): Promise<void> {
  const data =
    options.data === undefined ? undefined : await readJsonObject(context.io, options.data, '--data');
  const client = await context.client();
  const id = await triggerId(client, text);
  const fired = await client.triggers.fire(id, data);
  const run = fired['run_id'];
  context.out.value(fired, typeof run === 'string' ? run : JSON.stringify(fired));
  context.out.next(typeof run === 'string' ? `pilotwave run watch ${run}` : `pilotwave trigger events ${id}`);
}

async function remove(context: Context, text: string): Promise<void> {
  const client = await context.client();
  const id = await triggerId(client, text);
  await client.triggers.delete(id);
  context.out.value({ id, deleted: true }, `Deleted ${id}.`);
}

export function triggerCommand(cli: Cli): void {
  const noun = cli.program
    .command('trigger')
    .description('rules that start runs from files, clocks and web hooks');
  const kinds = noun.command('create').description('make a trigger of one kind');
  const common = (name: TriggerKindName, description: string) =>
    kinds
      .command(name)
      .description(description)
      .requiredOption('--flow <flow>', 'the flow to start')
      .option('--input <json>', "template of the run's input: a JSON object, or @file", '{}')
      .option('--name <name>', 'what the trigger is called')
      .option('--label <template>', 'what its runs are called')
      .option('--config <json>', "more of the kind's settings: a JSON object, or @file");
  common('file', 'start a run for each file that arrives and has settled')
    .requiredOption('--dir <dir>', 'the folder to watch, where the service runs')
    .option('--pattern <glob>', 'only files like this', '*')
    .addOption(
      new Option('--settle <duration>', 'a file is complete when it has not changed for so long')
        .argParser(durationOption)
        .default(3, '3s'),
    )
    .action(cli.run(createFile));
  common('cron', 'start a run at set times')
    .requiredOption('--schedule <cron>', "five fields, such as '*/5 * * * *'")
    .option('--tz <zone>', "time zone, such as Europe/Berlin (this machine's)")
    .action(cli.run(createCron));
  common('webhook', 'start a run for each event that is posted').action(cli.run(createWebhook));
  noun.command('list').alias('ls').description('triggers and their state').action(cli.run(list));
  noun.command('show <trigger>').description('one trigger, and how it is').action(cli.run(show));
  noun
    .command('events <trigger>')
    .description('what it has seen, and what was decided')
    .option('--limit <n>', 'at most so many', countOption, 50)
    .action(cli.run(events));
  noun
    .command('pause <trigger>')
    .description('start no runs until resumed')
    .action(cli.run(verb('pause')));
  noun
    .command('resume <trigger>')
    .description('go on')
    .action(cli.run(verb('resume')));
  noun
    .command('fire <trigger>')
    .description('start a run now')
    .option('--data <json>', "the made-up event's data: a JSON object, or @file")
    .action(cli.run(fire));
  noun.command('delete <trigger>').description('take it away; its runs go on').action(cli.run(remove));
}
