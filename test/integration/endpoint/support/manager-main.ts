// A manager as a process of its own, for tests that kill it. Options come as JSON in the first argument.
import { systemChance, systemClock } from '../../../../src/clock.ts';
import type { ManagerRunOptions } from '../../../../src/endpoint/manager/options.ts';
import { runManager } from '../../../../src/endpoint/manager/shell.ts';
import { stopOnSignals } from '../../../../src/endpoint/manager/signals.ts';
import { messageOf } from '../../../../src/errors.ts';
import { makeLogger } from '../../../../src/log.ts';

const options = JSON.parse(process.argv[2] ?? '') as Omit<ManagerRunOptions, 'log' | 'chance' | 'clock'>;
try {
  const log = makeLogger('manager', process.env.TEST_LOG_LEVEL ?? 'silent', process.env.TEST_LOG_FILE);
  const manager = await runManager({ ...options, log, chance: systemChance, clock: systemClock });
  stopOnSignals(manager, { parent_pipe: true });
  const { code, reason } = await manager.finished;
  process.stderr.write(`${reason}\n`);
  process.exit(code);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(1);
}
