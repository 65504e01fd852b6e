// `pilotwave doctor`: looks at what commonly goes wrong and says how to put it right.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PACKAGE_ROOT, VERSION } from '../../paths.ts';
import { makeClient } from '../../sdk/client.ts';
import {
  checkDisk,
  checkEndpoints,
  checkHome,
  checkNode,
  checkPython,
  checkToken,
  failed,
  judgeClock,
  judgeService,
  type Check,
} from '../checks.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { EXIT } from '../exit.ts';

function skipped(names: readonly string[], why: string): Check[] {
  return names.map((name) => ({ name, state: 'skip', detail: why }));
}

/** A check that cannot throw. */
async function safe(name: string, check: () => Promise<Check>): Promise<Check> {
  try {
    return await check();
  } catch (error) {
    return failed(name, error);
  }
}

async function localChecks(context: Context): Promise<Check[]> {
  const manifest = JSON.parse(await readFile(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as {
    engines: { node: string };
  };
  return [
    checkNode(process.version, manifest.engines.node),
    await checkPython(),
    await safe('home', () => checkHome(context.home)),
    await safe('disk', () => checkDisk(context.home)),
  ];
}

async function serviceChecks(context: Context): Promise<Check[]> {
  const late = ['clock', 'token', 'endpoint'];
  let url: string;
  let checks: Check[];
  try {
    url = (await context.connection()).url;
    const asked_at = context.io.now();
    const health = await makeClient({ url }).health();
    checks = [judgeService(url, health, VERSION), judgeClock(health, asked_at, context.io.now())];
  } catch (error) {
    return [failed('service', error), ...skipped(late, 'no service to ask')];
  }
  const client = await context.client().catch((error: unknown) => failed('token', error));
  if ('state' in client) return [...checks, client, ...skipped(['endpoint'], 'no token to ask with')];
  const token = await safe('token', () => checkToken(client));
  if (token.state === 'fail')
    return [...checks, token, ...skipped(['endpoint'], 'no valid token to ask with')];
  return [...checks, token, await safe('endpoint', () => checkEndpoints(client))];
}

async function doctor(context: Context): Promise<void> {
  const { out } = context;
  const checks = [...(await localChecks(context)), ...(await serviceChecks(context))];
  out.list(
    checks,
    [
      { title: 'check', value: (check) => check.name },
      { title: 'state', value: (check) => check.state, paint: out.status },
      { title: 'detail', value: (check) => check.detail },
      { title: 'what to do', value: (check) => check.remedy ?? '', flexible: true },
    ],
    '',
  );
  if (checks.some((check) => check.state === 'fail')) context.endWith(EXIT.failed);
  else out.say('All is well.');
}

export function doctorCommand(cli: Cli): void {
  cli.program
    .command('doctor')
    .description('check this machine and the service, and say how to put things right')
    .action(cli.run(doctor));
}
