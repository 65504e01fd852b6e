// `pilotwave endpoint configure`: registers this machine as an endpoint and writes what its manager needs.
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../sdk/client.ts';
import type { NewEndpoint } from '../../sdk/documents.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT, usageError } from '../exit.ts';

export interface ConfigureOptions {
  readonly displayName?: string;
  readonly workers?: number;
  readonly python?: string;
  readonly scheduler?: string;
  readonly workerInit?: string;
  readonly minBlocks?: number;
  readonly maxBlocks?: number;
  readonly replace?: boolean;
}

interface Code extends NewEndpoint {
  /** Takes back what getting the code has made. */
  readonly undo: () => Promise<void>;
}

/** A registration code: of a new endpoint, or of the one this machine is to take the place of. */
async function getCode(client: Client, name: string, options: ConfigureOptions): Promise<Code> {
  const [me, all] = [await client.whoami(), await client.endpoints.list()];
  const same = all.filter((endpoint) => endpoint.name === name && endpoint.owner === me.identity);
  const [known, ...others] = same;
  if (known !== undefined && options.replace !== true) {
    throw new CliError(EXIT.failed, `You have an endpoint "${name}" at ${client.url} already.`, {
      remedy: 'use another name; or let this machine take its place: --replace',
    });
  }
  if (others.length > 0) {
    throw usageError(
      `You have ${same.length} endpoints "${name}".`,
      'delete the others first: pilotwave endpoint delete ID',
    );
  }
  if (known !== undefined)
    return { ...(await client.endpoints.newCode(known.id)), undo: async () => undefined };
  const made = await client.endpoints.create({
    name,
    ...(options.displayName === undefined ? {} : { display_name: options.displayName }),
  });
  return { ...made, undo: () => client.endpoints.delete(made.endpoint_id) };
}

export async function configure(context: Context, name: string, options: ConfigureOptions): Promise<void> {
  // Loaded here: ZeroMQ and the configuration's checker are of no use to other commands.
  const [
    { makeKeys },
    { CONFIG_DEFAULTS, endpointDir, endpointNames, saveEndpointConfig },
    { mustBeStopped },
  ] = await Promise.all([
    import('../../transport/zmq.ts'),
    import('../../endpoint/config.ts'),
    import('../agent.ts'),
  ]);
  const dir = endpointDir(context.home, name);
  if (endpointNames(context.home).includes(name) && options.replace !== true) {
    throw new CliError(EXIT.failed, `Endpoint "${name}" is configured here already.`, {
      where: dir,
      remedy: `start it: pilotwave endpoint start ${name}; or make it anew: --replace`,
    });
  }
  await mustBeStopped(dir, name);
  const { schedulers } = await import('../../endpoint/schedulers/index.ts');
  const scheduler = options.scheduler ?? CONFIG_DEFAULTS.scheduler;
  if (!(scheduler in schedulers)) {
    throw usageError(
      `There is no scheduler "${scheduler}".`,
      `choose one of: ${Object.keys(schedulers).join(', ')}`,
    );
  }
  const client = await context.client();
  const code = await getCode(client, name, options);
  const keys = makeKeys();
  try {
    const { endpoint_id, link, secret } = await client.endpoints.register({
      code: code.registration_code,
      curve_public_key: keys.publicKey,
      hostname: hostname(),
    });
    const max_blocks = Math.max(options.maxBlocks ?? CONFIG_DEFAULTS.max_blocks, options.minBlocks ?? 0);
    saveEndpointConfig(dir, {
      endpoint_id,
      name,
      service_url: client.url,
      link,
      keys,
      secret,
      workers: options.workers ?? CONFIG_DEFAULTS.workers,
      python: options.python ?? CONFIG_DEFAULTS.python,
      scheduler: scheduler as keyof typeof schedulers,
      min_blocks: options.minBlocks ?? CONFIG_DEFAULTS.min_blocks,
      max_blocks,
      worker_init: options.workerInit ?? CONFIG_DEFAULTS.worker_init,
    });
    context.out.say(
      `Registered endpoint "${name}" at ${client.url}; its configuration is ${join(dir, 'config.json')}.`,
    );
    context.out.value({ id: endpoint_id, name, dir }, endpoint_id);
    context.out.next(`pilotwave endpoint start ${name}`);
  } catch (error) {
    // Half an endpoint helps nobody; if taking it back fails too, the first error is the one to tell.
    await code.undo().catch(() => undefined);
    throw error;
  }
}
