// `pilotwave serve`: the service alone, on a PostgreSQL (and Redis) that others run. Several may share both.
import type { Command } from 'commander';
import { makeLogger } from '../../log.ts';
import { CliError, EXIT, usageError } from '../exit.ts';
import { openService } from '../stack/service.ts';
import { readSettings } from '../stack/settings.ts';
import { firstSignal } from '../stack/signals.ts';

interface ServeOptions {
  readonly port: string;
}

async function serve(options: ServeOptions): Promise<void> {
  const settings = readSettings(process.env);
  const port = Number(options.port);
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw usageError(`--port is not a port: ${options.port}`);
  if (settings.database_url === '') {
    throw new CliError(
      EXIT.bad_config,
      'DATABASE_URL is not set; serve runs on a PostgreSQL that is there already.',
      {
        remedy: 'set DATABASE_URL, or run everything with: pilotwave up',
      },
    );
  }
  const ended = firstSignal();
  const service = await openService({
    database_url: settings.database_url,
    redis_url: settings.redis_url === '' ? undefined : settings.redis_url,
    host: settings.host,
    port,
    public_url: settings.public_url === '' ? undefined : settings.public_url,
    link_bind: settings.link_bind,
    direct: settings.direct === 'on',
    watch_roots: settings.watch_roots === '' ? null : settings.watch_roots.split(':'),
    secret_key: settings.secret_key === '' ? null : Buffer.from(settings.secret_key, 'hex'),
    log: makeLogger('service', settings.log_level),
  });
  process.stderr.write(
    `Pilotwave serves at ${service.url}; endpoints dial ${service.dispatcher.link.address}\n`,
  );
  await ended;
  await service.close();
  process.exit(EXIT.ok);
}

export function serveCommand(program: Command): void {
  program
    .command('serve')
    .description('run the service alone, on DATABASE_URL and REDIS_URL')
    .option('--port <port>', 'port of the HTTP service; 0 picks one', '5000')
    .action(serve);
}
