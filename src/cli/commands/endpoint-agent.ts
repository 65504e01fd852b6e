// `pilotwave endpoint start|stop`: the manager process of an endpoint on this machine.
import { spawn, type ChildProcess } from 'node:child_process';
import { open, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemChance, systemClock } from '../../clock.ts';
import { MAIN_PROGRAM } from '../../paths.ts';
import { isAlive } from '../../processes.ts';
import type { EndpointStatus } from '../../protocol/messages.ts';
import { pause } from '../../sdk/http.ts';
import type { LocalEndpoint } from '../agent.ts';
import type { Context } from '../context.ts';
import { CliError, EXIT } from '../exit.ts';
import { changes } from '../wait.ts';

export interface StartOptions {
  readonly detach?: boolean;
  readonly parentPipe?: boolean;
}

/** A detached manager holds its lock after at most so long, or has failed. */
const START_LIMIT_MS = 20_000;
/** A manager that was asked to stop ends blocks and workers first. */
const STOP_LIMIT_MS = 30_000;
const LOOK_MS = 100;

/** A site whose workers stay the same says how it is at most this often. */
const TELL_MS = 30_000;

function statusText(status: EndpointStatus): string {
  const waits = status.waiting_reason === null ? '' : `; ${status.waiting_reason}`;
  return `${status.total_workers} workers (${status.idle_workers} idle), ${status.outstanding_tasks} tasks${waits}`;
}

/** Says how the endpoint is: at once when its workers or what it waits for change, now and then otherwise. */
function statusTeller(context: Context, name: string): (status: EndpointStatus) => void {
  const say = changes((text) => context.out.say(text));
  let last_key = '';
  let told_at = 0;
  return (status) => {
    const key = `${status.total_workers} ${status.waiting_reason}`;
    const now = context.io.now();
    if (key === last_key && now - told_at < TELL_MS) return;
    last_key = key;
    told_at = now;
    say(`${name}: ${statusText(status)}`);
  };
}

async function startHere(context: Context, local: LocalEndpoint, options: StartOptions): Promise<void> {
  const [{ makeLogger }, { runManager }, { managerOptions }, { stopOnSignals }] = await Promise.all([
    import('../../log.ts'),
    import('../../endpoint/manager/shell.ts'),
    import('../../endpoint/config.ts'),
    import('../../endpoint/manager/signals.ts'),
  ]);
  const { dir, config } = local;
  // Under a supervisor there is no person to read lines: the log goes where the supervisor keeps it.
  const supervised = options.parentPipe === true;
  const log_file = supervised ? undefined : join(dir, 'manager.log');
  const say = (text: string): void => {
    if (!supervised) context.out.say(text);
  };
  const manager = await runManager({
    ...managerOptions(dir, config),
    log: makeLogger('manager', context.io.env['PILOTWAVE_LOG_LEVEL'] ?? 'info', log_file),
    chance: systemChance,
    clock: systemClock,
    ...(supervised ? {} : { onStatus: statusTeller(context, config.name) }),
  });
  stopOnSignals(manager, { parent_pipe: supervised });
  say(
    `Endpoint "${config.name}" (${config.endpoint_id}) serves ${config.service_url}. Its log is ${log_file}. Ctrl-C ends it.`,
  );
  const { code, reason } = await manager.finished;
  if (code === 0) return say(`Endpoint "${config.name}" ended: ${reason}.`);
  throw new CliError(EXIT.bad_config, `The service does not take endpoint "${config.name}": ${reason}`, {
    remedy: `register it anew: pilotwave endpoint configure ${config.name} --replace`,
  });
}

function exitOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', () => resolve(-1));
    child.once('exit', (code) => resolve(code ?? -1));
  });
}

/** Starts the manager in a process of its own and waits until it holds the endpoint's lock. */
async function startDetached(context: Context, local: LocalEndpoint): Promise<void> {
  const { managerOf } = await import('../agent.ts');
  const { dir, config } = local;
  const said_file = join(dir, 'manager.err');
  const said = await open(said_file, 'w', 0o600);
  const line = ['endpoint', 'start', config.name, '--home', context.home, '--quiet'];
  const child = spawn(process.execPath, [MAIN_PROGRAM, ...line], {
    detached: true,
    stdio: ['ignore', said.fd, said.fd],
  });
  await said.close();
  let exit: number | null = null;
  void exitOf(child).then((code) => (exit = code));
  for (let waited_ms = 0; waited_ms < START_LIMIT_MS; waited_ms += LOOK_MS) {
    if (exit !== null) break;
    if ((await managerOf(dir))?.pid === child.pid) {
      child.unref();
      context.out.say(
        `Endpoint "${config.name}" runs as process ${child.pid}. Its log is ${join(dir, 'manager.log')}.`,
      );
      context.out.value({ id: config.endpoint_id, name: config.name, pid: child.pid }, config.endpoint_id);
      context.out.next(`pilotwave endpoint show ${config.name}`);
      return;
    }
    await pause(LOOK_MS);
  }
  child.kill('SIGTERM');
  throw new CliError(
    EXIT.failed,
    `Endpoint "${config.name}" did not start${exit === null ? ' in time' : ''}.`,
    {
      why: (await readFile(said_file, 'utf8')).trim() || undefined,
      remedy: `see its log: ${join(dir, 'manager.log')}`,
    },
  );
}

export async function start(
  context: Context,
  name: string | undefined,
  options: StartOptions,
): Promise<void> {
  const { findLocal, mustBeStopped } = await import('../agent.ts');
  const local = findLocal(context.home, name);
  if (options.detach !== true) return startHere(context, local, options);
  await mustBeStopped(local.dir, local.config.name);
  return startDetached(context, local);
}

export async function stop(context: Context, name: string | undefined): Promise<void> {
  const { findLocal, managerOf } = await import('../agent.ts');
  const { dir, config } = findLocal(context.home, name);
  const holder = await managerOf(dir);
  const told = (stopped: boolean, text: string): void =>
    context.out.value({ id: config.endpoint_id, name: config.name, stopped }, text);
  if (holder === null) return told(false, `Endpoint "${config.name}" is not running.`);
  if (holder.host !== hostname()) {
    throw new CliError(EXIT.failed, `Endpoint "${config.name}" runs on ${holder.host}, not here.`, {
      remedy: `on ${holder.host}: pilotwave endpoint stop ${config.name}`,
    });
  }
  process.kill(holder.pid, 'SIGTERM');
  for (let waited_ms = 0; waited_ms < STOP_LIMIT_MS; waited_ms += LOOK_MS) {
    if (!isAlive(holder)) return told(true, `Endpoint "${config.name}" ended.`);
    await pause(LOOK_MS);
  }
  throw new CliError(
    EXIT.timeout,
    `Endpoint "${config.name}" has not ended after ${STOP_LIMIT_MS / 1000} s.`,
    {
      remedy: `look at its log, ${join(dir, 'manager.log')}; its process is ${holder.pid}`,
    },
  );
}
