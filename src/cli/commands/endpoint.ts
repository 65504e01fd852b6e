// `pilotwave endpoint`: compute sites.
import { rm } from 'node:fs/promises';
import { Option } from 'commander';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { endpointId } from '../lookups.ts';
import { countOption, wholeOption } from '../values.ts';
import { start, stop } from './endpoint-agent.ts';
import { configure } from './endpoint-configure.ts';

async function list(context: Context): Promise<void> {
  const { out } = context;
  out.list(
    await (await context.client()).endpoints.list(),
    [
      { title: 'id', value: (endpoint) => endpoint.id },
      { title: 'name', value: (endpoint) => endpoint.name },
      { title: 'status', value: (endpoint) => endpoint.status, paint: out.status },
      { title: 'since', value: (endpoint) => out.when(endpoint.since) },
      { title: 'workers', value: (endpoint) => `${endpoint.workers} (${endpoint.idle_workers} idle)` },
      { title: 'tasks', value: (endpoint) => String(endpoint.outstanding_tasks) },
      { title: 'waits for', value: (endpoint) => endpoint.waiting_reason ?? '', flexible: true },
    ],
    'No endpoints yet: pilotwave endpoint configure NAME',
  );
}

async function show(context: Context, text: string): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const id = await endpointId(client, text);
  const [document, all] = await Promise.all([client.endpoints.get(id), client.endpoints.list()]);
  const live = all.find((endpoint) => endpoint.id === id);
  out.document({ ...document, ...live }, [
    ['id', document.uuid],
    ['name', document.name],
    ['display name', document.display_name],
    ['status', live?.status],
    ['since', out.exactly(live?.since)],
    ['workers', live === undefined ? null : `${live.workers} (${live.idle_workers} idle)`],
    ['outstanding tasks', live?.outstanding_tasks],
    ['waits for', live?.waiting_reason],
    ['host', document.hostname],
    ['user', document.local_user],
    ['python', document.python_version],
    ['version', document.endpoint_version],
    ['description', document.description],
  ]);
  if (live?.status === 'offline') out.next(`pilotwave endpoint start ${document.name}`);
}

async function remove(context: Context, text: string): Promise<void> {
  const [{ endpointNames }, { mustBeStopped, readLocal }] = await Promise.all([
    import('../../endpoint/config.ts'),
    import('../agent.ts'),
  ]);
  const client = await context.client();
  const id = await endpointId(client, text);
  const here = endpointNames(context.home)
    .map((name) => readLocal(context.home, name))
    .find((local) => local.config.endpoint_id === id);
  if (here !== undefined) await mustBeStopped(here.dir, here.config.name);
  await client.endpoints.delete(id);
  if (here !== undefined) await rm(here.dir, { recursive: true, force: true });
  context.out.value({ id, deleted: true }, `Deleted ${id}.`);
}

export function endpointCommand(cli: Cli): void {
  const noun = cli.program.command('endpoint').description('compute sites');
  noun
    .command('configure <name>')
    .description('register this machine as an endpoint')
    .option('--display-name <text>', 'what people see')
    .option('--workers <n>', 'Python workers of each node (one per core)', countOption)
    .option('--python <program>', 'Python that runs the workers (python3)')
    .option('--scheduler <name>', 'what gives it nodes (local)')
    .option('--worker-init <lines>', 'shell lines run before the workers: modules, environments')
    .option('--min-blocks <n>', 'blocks of nodes to keep (1)', wholeOption)
    .option('--max-blocks <n>', 'blocks of nodes to have at most (1)', countOption)
    .option('--replace', 'take the place of one with this name')
    .action(cli.run(configure));
  noun
    .command('start [name]')
    .description('run its manager, in the foreground')
    .option('--detach', 'run it in the background')
    .addOption(new Option('--parent-pipe', 'end when standard input ends').hideHelp())
    .action(cli.run(start));
  noun.command('stop [name]').description('end its manager, blocks and workers').action(cli.run(stop));
  noun.command('list').alias('ls').description('endpoints and how they are').action(cli.run(list));
  noun.command('show <endpoint>').description('one endpoint').action(cli.run(show));
  noun
    .command('delete <endpoint>')
    .description('unregister it, and remove its folder when it is configured here')
    .action(cli.run(remove));
}
