// `pilotwave token`: access tokens of the service.
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { resolveId } from '../resolve.ts';
import type { TokenView } from '../../sdk/documents.ts';
import { collectText, durationOption } from '../values.ts';

interface CreateOptions {
  readonly scope?: readonly string[];
  readonly expires?: number;
  readonly user?: string;
}

async function create(context: Context, name: string, options: CreateOptions): Promise<void> {
  const client = await context.client();
  const made = await client.tokens.create({
    name,
    ...(options.scope === undefined ? {} : { scopes: options.scope }),
    ...(options.expires === undefined ? {} : { expires_in_s: options.expires }),
    ...(options.user === undefined ? {} : { username: options.user }),
  });
  context.out.say(
    `Token "${made.name}", valid until ${context.out.exactly(made.expires_at) ?? 'revoked'}. It is shown this once:`,
  );
  context.out.value(made, made.token);
  context.out.next('export PILOTWAVE_TOKEN=…');
}

function stateOf(token: TokenView, now: number): string {
  if (token.revoked_at !== null) return 'revoked';
  return token.expires_at !== null && Date.parse(token.expires_at) <= now ? 'expired' : 'ok';
}

async function list(context: Context): Promise<void> {
  const { out } = context;
  const tokens = await (await context.client()).tokens.list();
  out.list(
    tokens,
    [
      { title: 'id', value: (token) => token.id },
      { title: 'name', value: (token) => token.name, flexible: true },
      { title: 'user', value: (token) => token.username ?? '' },
      { title: 'state', value: (token) => stateOf(token, out.now()), paint: out.status },
      { title: 'created', value: (token) => out.when(token.created_at) },
      { title: 'expires', value: (token) => out.when(token.expires_at) },
    ],
    'No tokens.',
  );
}

async function revoke(context: Context, name: string): Promise<void> {
  const client = await context.client();
  const id = await resolveId(name, { noun: 'token', list_command: 'pilotwave token list' }, async () =>
    (await client.tokens.list()).filter((token) => token.revoked_at === null),
  );
  await client.tokens.revoke(id);
  context.out.value({ id, revoked: true }, `Revoked ${id}.`);
}

export function tokenCommand(cli: Cli): void {
  const noun = cli.program.command('token').description('access tokens');
  noun
    .command('create <name>')
    .description('make a token; it is printed once')
    .option('--scope <scope>', 'what it may do; repeat for several (all but administration)', collectText)
    .option('--expires <duration>', 'how long it is valid, such as 30d', durationOption)
    .option('--user <name>', 'for another user; administrators only')
    .action(cli.run(create));
  noun.command('list').alias('ls').description('tokens and their state').action(cli.run(list));
  noun.command('revoke <token>').description('end a token now').action(cli.run(revoke));
}
