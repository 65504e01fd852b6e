// `pilotwave endpoint`: compute sites.
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { endpointId } from '../lookups.ts';

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
  const client = await context.client();
  const id = await endpointId(client, text);
  await client.endpoints.delete(id);
  context.out.value({ id, deleted: true }, `Deleted ${id}.`);
}

export function endpointCommand(cli: Cli): void {
  const noun = cli.program.command('endpoint').description('compute sites');
  noun.command('list').alias('ls').description('endpoints and how they are').action(cli.run(list));
  noun.command('show <endpoint>').description('one endpoint').action(cli.run(show));
  noun.command('delete <endpoint>').description('unregister it').action(cli.run(remove));
}
