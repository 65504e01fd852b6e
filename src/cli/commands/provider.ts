// `pilotwave provider`: action providers, of this service by name and of others by URL.
import type { Client } from '../../sdk/client.ts';
import { runEnded, type ActionDocument } from '../../sdk/documents.ts';
import type { ProviderOptions } from '../../sdk/providers.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { durationOption, readJsonObject } from '../values.ts';
import { changes, interruptible, waitedLongEnough, type Waiting } from '../wait.ts';

interface TokenOption {
  readonly providerToken?: string;
}

function own(options: TokenOption): ProviderOptions {
  return options.providerToken === undefined ? {} : { token: options.providerToken };
}

async function list(context: Context): Promise<void> {
  const { out } = context;
  out.list(
    await (await context.client()).providers.list(),
    [
      { title: 'name', value: (provider) => provider.name ?? '' },
      { title: 'title', value: (provider) => provider.title },
      { title: 'ends', value: (provider) => (provider.synchronous ? 'at once' : 'later') },
      {
        title: 'description',
        value: (provider) => provider.description ?? provider.subtitle ?? '',
        flexible: true,
      },
    ],
    'No providers.',
  );
}

async function show(context: Context, provider: string, options: TokenOption): Promise<void> {
  const { out } = context;
  const found = await (await context.client()).providers.describe(provider, own(options));
  out.document(found, [
    ['title', found.title],
    ['subtitle', found.subtitle],
    ['description', found.description],
    ['ends', found.synchronous ? 'at once' : 'later'],
    ['input', JSON.stringify(found.input_schema ?? {})],
  ]);
  out.next(`pilotwave provider run ${provider} --body '{}'`);
}

function stateText(action: ActionDocument): string {
  const { description } = action.details;
  const said = typeof description === 'string' ? description : (action.display_status ?? action.status);
  return said === action.status ? action.status : `${action.status}: ${said}`;
}

function showAction(context: Context, provider: string, action: ActionDocument): void {
  const { out } = context;
  out.document(action, [
    ['id', action.action_id],
    ['status', stateText(action)],
    ['label', action.label],
    ['started', out.exactly(action.start_time)],
    ['completed', out.exactly(action.completion_time)],
    ['details', JSON.stringify(action.details)],
  ]);
  out.next(`pilotwave provider ${runEnded(action) ? 'release' : 'status'} ${provider} ${action.action_id}`);
}

interface RunOptions extends TokenOption {
  readonly body: string;
  readonly label?: string;
  readonly requestId?: string;
  readonly wait?: boolean;
  readonly timeout?: number;
}

async function waited(
  context: Context,
  client: Client,
  provider: string,
  started: ActionDocument,
  options: RunOptions,
): Promise<ActionDocument> {
  const id = started.action_id;
  const waiting: Waiting = {
    what: `Action ${id}`,
    show_command: `pilotwave provider status ${provider} ${id}`,
    cancel: () => client.providers.cancel(provider, id, own(options)),
  };
  const say = changes((text) => context.out.say(text));
  const action = await interruptible(context, waiting, (signal) =>
    client.providers.wait(provider, id, {
      ...own(options),
      timeout_s: options.timeout,
      signal,
      onLook: (now) => {
        if (!runEnded(now)) say(`Action ${id}: ${stateText(now)}`);
      },
    }),
  );
  if (!runEnded(action)) throw waitedLongEnough(waiting, options.timeout, stateText(action));
  return action;
}

async function run(context: Context, provider: string, options: RunOptions): Promise<void> {
  const body = await readJsonObject(context.io, options.body, '--body');
  const client = await context.client();
  const started = await client.providers.run(
    provider,
    {
      request_id: options.requestId ?? crypto.randomUUID(),
      body,
      ...(options.label === undefined ? {} : { label: options.label }),
    },
    own(options),
  );
  const done = options.wait === true && !runEnded(started);
  const action = done ? await waited(context, client, provider, started, options) : started;
  if (action.status === 'FAILED') {
    throw new CliError(EXIT.failed, `Action ${action.action_id} failed: ${stateText(action)}`, {
      why: JSON.stringify(action.details, null, 2),
      code: 'action_failed',
    });
  }
  showAction(context, provider, action);
}

type ActionVerb = 'status' | 'cancel' | 'release';

function verb(name: ActionVerb) {
  return async (
    context: Context,
    provider: string,
    actionId: string,
    options: TokenOption,
  ): Promise<void> => {
    const client = await context.client();
    showAction(context, provider, await client.providers[name](provider, actionId, own(options)));
  };
}

export function providerCommand(cli: Cli): void {
  const noun = cli.program.command('provider').description('action providers, by name or URL');
  const token = ['--provider-token <token>', 'its own token, for a provider elsewhere'] as const;
  noun.command('list').alias('ls').description('providers of this service').action(cli.run(list));
  noun
    .command('show <provider>')
    .description('what it does and takes')
    .option(...token)
    .action(cli.run(show));
  noun
    .command('run <provider>')
    .description('start an action')
    .requiredOption('--body <json>', 'its input: a JSON object, or @file')
    .option('--label <text>', 'what the action is called')
    .option('--request-id <id>', 'the same id starts it once only')
    .option('--wait', 'wait until it has ended')
    .option('--timeout <duration>', 'wait at most so long; the action goes on', durationOption)
    .option(...token)
    .action(cli.run(run));
  noun
    .command('status <provider> <action>')
    .description('how an action is')
    .option(...token)
    .action(cli.run(verb('status')));
  noun
    .command('cancel <provider> <action>')
    .description('end an action')
    .option(...token)
    .action(cli.run(verb('cancel')));
  noun
    .command('release <provider> <action>')
    .description('let an ended action be forgotten')
    .option(...token)
    .action(cli.run(verb('release')));
}
