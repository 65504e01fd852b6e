// `pilotwave trigger`: what starts runs by itself, and what it has seen.
import { basename, resolve } from 'node:path';
import { Option } from 'commander';
import type { Client } from '../../sdk/client.ts';
import type { JsonObject, TriggerDecision, TriggerKindName, TriggerView } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { flowId, triggerId } from '../lookups.ts';
import type { Field } from '../output.ts';
import { collectText, countOption, durationOption, readJson, readJsonObject } from '../values.ts';

const DECISIONS: readonly TriggerDecision[] = ['fired', 'filtered', 'paused', 'failed'];

interface CommonOptions {
  readonly flow: string;
  readonly input?: string;
  readonly name?: string;
  readonly label?: string;
  readonly config?: string;
  readonly subject?: readonly string[];
  readonly maxInFlight?: number;
}

interface Made {
  readonly kind: TriggerKindName;
  readonly name: string;
  readonly config: JsonObject;
  readonly signing_secret?: string;
}

async function create(context: Context, options: CommonOptions, made: Made): Promise<void> {
  const { out } = context;
  const input =
    options.input === undefined ? undefined : await readJsonObject(context.io, options.input, '--input');
  const more =
    options.config === undefined ? {} : await readJsonObject(context.io, options.config, '--config');
  const client = await context.client();
  const trigger = await client.triggers.create({
    ...made,
    name: options.name ?? made.name,
    config: { ...made.config, ...more },
    flow_id: await flowId(client, options.flow),
    ...(input === undefined ? {} : { input }),
    ...(options.label === undefined ? {} : { label: options.label }),
    ...(options.subject === undefined ? {} : { filter: { subject: options.subject } }),
    ...(options.maxInFlight === undefined ? {} : { max_in_flight: options.maxInFlight }),
  });
  const url = hookUrl(client, trigger);
  out.say(`Created the trigger "${trigger.name}", ${trigger.id}.`);
  if (url !== null) out.say('Post events to this address; the secret in it is shown this once:');
  out.value(url === null ? trigger : { ...trigger, url }, url ?? trigger.id);
  out.next(`pilotwave trigger events ${trigger.id}`);
}

/** Where a webhook takes events without a token; null for other kinds. */
function hookUrl(client: Client, trigger: TriggerView): string | null {
  return trigger.hook === undefined ? null : client.url + trigger.hook.path;
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
  return create(context, options, {
    kind: 'file',
    name: basename(dir) === '' ? 'files' : basename(dir),
    config,
  });
}

interface CronOptions extends CommonOptions {
  readonly schedule: string;
  readonly tz?: string;
}

function createCron(context: Context, options: CronOptions): Promise<void> {
  const { schedule } = options;
  // People who type a time mean their own; the service alone would mean UTC.
  const timezone = options.tz ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  return create(context, options, { kind: 'cron', name: `cron ${schedule}`, config: { schedule, timezone } });
}

function createWebhook(context: Context, options: CommonOptions & { signingSecret?: string }): Promise<void> {
  const signed = options.signingSecret === undefined ? {} : { signing_secret: options.signingSecret };
  return create(context, options, { kind: 'webhook', name: 'webhook', config: {}, ...signed });
}

/** What its source says of how it is. */
function healthText(trigger: TriggerView): string {
  const { state, error } = trigger.health;
  if (typeof error === 'string') return error;
  return typeof state === 'string' ? state : '';
}

async function list(context: Context): Promise<void> {
  const { out } = context;
  out.list(
    await (await context.client()).triggers.list(),
    [
      { title: 'id', value: (trigger) => trigger.id },
      { title: 'name', value: (trigger) => trigger.name, flexible: true },
      { title: 'kind', value: (trigger) => trigger.kind },
      { title: 'state', value: (trigger) => trigger.state, paint: out.status },
      { title: 'events', value: (trigger) => String(trigger.stats.events) },
      { title: 'fired', value: (trigger) => String(trigger.stats.fired) },
      { title: 'last event', value: (trigger) => out.when(trigger.stats.last_event_at) },
      { title: 'how it is', value: healthText, flexible: true },
    ],
    'No triggers yet: pilotwave trigger create file --dir DIR --flow FLOW',
  );
}

async function show(context: Context, text: string): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const trigger = await client.triggers.get(await triggerId(client, text));
  const { last_event_at, last_fired_at, oldest_waiting_at, ...counts } = trigger.stats;
  out.document(trigger, [
    ['id', trigger.id],
    ['name', trigger.name],
    ['kind', trigger.kind],
    ['state', trigger.state],
    ['flow', trigger.flow_id],
    ['input', JSON.stringify(trigger.input)],
    ['label', trigger.label],
    ['created', out.exactly(trigger.created_at)],
    ['url', hookUrl(client, trigger)],
    ['config', JSON.stringify(trigger.config)],
    [
      'counts',
      Object.entries(counts)
        .map(([name, count]) => `${count} ${name}`)
        .join(', '),
    ],
    ['last event', out.exactly(last_event_at)],
    ['last fired', out.exactly(last_fired_at)],
    ['oldest waiting', typeof oldest_waiting_at === 'string' ? out.exactly(oldest_waiting_at) : null],
    ...Object.entries(trigger.health).map(([name, value]): Field => [
      `source: ${name}`,
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  ]);
  out.next(`pilotwave trigger events ${trigger.id}`);
}

interface EventsOptions {
  readonly limit: number;
  readonly decision?: TriggerDecision;
}

async function events(context: Context, text: string, options: EventsOptions): Promise<void> {
  const { out } = context;
  const client = await context.client();
  out.list(
    await client.triggers.events(await triggerId(client, text), options),
    [
      { title: 'seen', value: (event) => out.when(event.stored_at) },
      { title: 'decision', value: (event) => event.decision, paint: out.status },
      { title: 'run', value: (event) => event.run_id ?? '' },
      { title: 'subject', value: (event) => event.subject ?? event.type, flexible: true },
      { title: 'reason', value: (event) => event.reason ?? '', flexible: true },
    ],
    'No events yet.',
  );
}

function verb(name: 'pause' | 'resume') {
  return async (context: Context, text: string): Promise<void> => {
    const client = await context.client();
    const trigger = await client.triggers[name](await triggerId(client, text));
    context.out.value(trigger, `${trigger.name}: ${trigger.state}`);
  };
}

interface FireOptions {
  readonly event?: string;
  readonly subject?: string;
  readonly data?: string;
}

async function fire(context: Context, text: string, options: FireOptions): Promise<void> {
  if (options.event !== undefined && (options.data !== undefined || options.subject !== undefined)) {
    throw usageError('--event takes a stored event as it was: not with --data or --subject.');
  }
  const data = options.data === undefined ? undefined : await readJson(context.io, options.data, '--data');
  const event = {
    ...(options.subject === undefined ? {} : { subject: options.subject }),
    ...(data === undefined ? {} : { data }),
  };
  const client = await context.client();
  const id = await triggerId(client, text);
  const fired = await client.triggers.fire(id, {
    ...(options.event === undefined ? {} : { event_id: options.event }),
    ...(Object.keys(event).length === 0 ? {} : { event }),
  });
  if (fired.decision === 'failed') {
    throw new CliError(
      EXIT.failed,
      `The event was stored and started no run: ${fired.reason ?? 'no reason was given'}`,
      {
        remedy: `see its events: pilotwave trigger events ${id}`,
      },
    );
  }
  if (fired.run_id === null)
    context.out.say(
      `The event ${fired.event_id} is ${fired.decision}: ${fired.reason ?? 'not decided yet.'}`,
    );
  context.out.value(fired, fired.run_id ?? fired.event_id);
  context.out.next(
    fired.run_id === null ? `pilotwave trigger events ${id}` : `pilotwave run watch ${fired.run_id}`,
  );
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
      .option(
        '--input <json>',
        "template of each run's input: a JSON object, or @file; keys ending in .$ take from the event",
      )
      .option('--name <name>', 'what the trigger is called')
      .option('--label <template>', 'what its runs are called, such as "{subject}"')
      .option('--subject <glob>', 'only events with a subject like this; repeat for several', collectText)
      .option('--max-in-flight <n>', 'runs that may be going on at a time', countOption)
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
  common('webhook', 'start a run for each event that is posted')
    .option('--signing-secret <secret>', 'posts must be signed with it (HMAC-SHA256)')
    .action(cli.run(createWebhook));
  noun.command('list').alias('ls').description('triggers and their state').action(cli.run(list));
  noun.command('show <trigger>').description('one trigger, and how it is').action(cli.run(show));
  noun
    .command('events <trigger>')
    .description('what it has seen, and what was decided')
    .addOption(new Option('--decision <decision>', 'only these').choices(DECISIONS))
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
    .option('--event <id>', 'with an event that it has seen')
    .option('--subject <text>', "the made-up event's subject")
    .option('--data <json>', "the made-up event's data: JSON, or @file")
    .action(cli.run(fire));
  noun.command('delete <trigger>').description('take it away; its runs go on').action(cli.run(remove));
}
