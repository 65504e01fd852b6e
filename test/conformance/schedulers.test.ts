// What every registered scheduler must do. The transcript beside its name is what its commands print.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import {
  shellLine,
  type BatchScheduler,
  type CommandOutput,
} from '../../src/endpoint/schedulers/contract.ts';
import { schedulers, type SchedulerName } from '../../src/endpoint/schedulers/index.ts';
import { runCommand, startForeground } from '../../src/endpoint/schedulers/run-command.ts';
import { eventually } from '../integration/endpoint/support/eventually.ts';

interface Transcript {
  /** Printed by a submission, and the id in it. */
  readonly submitted: { readonly stdout: string; readonly id: string };
  /** Printed by a submission that failed, and what of it the user must see. */
  readonly refused: CommandOutput & { readonly words: RegExp };
  /** Printed by a listing, and what it says of each id. */
  readonly listing: { readonly stdout: string; readonly phases: Readonly<Record<string, string>> };
}

const TRANSCRIPTS: Record<SchedulerName, Transcript> = {
  local: {
    submitted: { stdout: '4711 98765\n', id: '4711:98765' },
    refused: { code: 127, stdout: '', stderr: 'sh: no such file', words: /no such file/ },
    listing: {
      stdout: '4711 98765\n4712 5\n',
      // 4712 is another process by now, 4713 is gone.
      phases: { '4711:98765': 'running', '4712:4': 'ended', '4713:1': 'ended' },
    },
  },
};

for (const [name, scheduler] of Object.entries(schedulers) as [SchedulerName, BatchScheduler][]) {
  describe(`scheduler ${name}`, () => {
    const { submitted, refused, listing } = TRANSCRIPTS[name];
    let dir: string;

    beforeEach(() => {
      dir = mkdtempSync(join(tmpdir(), "pilotwave it's a dir-"));
    });

    afterEach(() => {
      rmSync(dir, { recursive: true, force: true });
    });

    const spec = (executor: readonly [string, ...string[]], worker_init = '') => ({
      block_id: 'b1',
      executor,
      worker_init,
      dir,
      log_file: join(dir, 'block.log'),
    });

    it('is registered under its own name', () => {
      assert.equal(scheduler.name, name);
      assert.ok(scheduler.poll_ms >= 100);
    });

    it('finds the id in what submitting prints, and passes on what it says of a failure', () => {
      assert.equal(scheduler.parseSubmit({ code: 0, stdout: submitted.stdout, stderr: '' }), submitted.id);
      assert.throws(() => scheduler.parseSubmit(refused), refused.words);
    });

    it('reads a listing, and guesses nothing when there is none', () => {
      const ids = Object.keys(listing.phases);
      const reports = scheduler.parseStatus({ code: 0, stdout: listing.stdout, stderr: '' }, ids);
      assert.deepEqual(
        Object.fromEntries([...reports].map(([id, { phase }]) => [id, phase])),
        listing.phases,
      );
      assert.throws(
        () => scheduler.parseStatus({ code: 1, stdout: '', stderr: 'no controller' }, ids),
        /no controller/,
      );
    });

    it('writes a script that runs the set-up, then the executor with its arguments intact, and keeps what they print', () => {
      const argv = [
        process.execPath,
        '-e',
        'console.log(JSON.stringify([process.env.FROM, ...process.argv.slice(1)]))',
        'a b',
        "it's",
        '$HOME',
        '*',
      ] as const;
      const file = join(dir, 'block.sh');
      writeFileSync(file, scheduler.script(spec([...argv], 'export FROM=setup')));
      assert.equal(spawnSync('sh', [file]).status, 0);
      assert.equal(
        readFileSync(join(dir, 'block.log'), 'utf8').trim(),
        JSON.stringify(['setup', 'a b', "it's", '$HOME', '*']),
      );
    });

    it('quotes every argument of a command line', () => {
      const nasty = ['a b', "it's", '', '$(id)', '`id`', '\n', '--x=y'];
      const { stdout } = spawnSync('sh', ['-c', `printf '%s\\0' ${shellLine(nasty)}`], { encoding: 'utf8' });
      assert.deepEqual(stdout.split('\0').slice(0, -1), nasty);
    });

    if (!scheduler.foreground) return;

    /** Starts a block that runs `program` in a shell. */
    async function start(program: string) {
      const file = join(dir, 'block.sh');
      writeFileSync(file, scheduler.script(spec(['sh', '-c', program])));
      const block = await startForeground(scheduler.submitCommand(file));
      return { ...block, id: scheduler.parseSubmit(block.output) };
    }

    async function phaseOf(id: string): Promise<string | undefined> {
      return scheduler.parseStatus(await runCommand(scheduler.statusCommand([id])), [id]).get(id)?.phase;
    }

    it('knows a block that runs and one that is over, and notices its end at once', async () => {
      const { id, ended } = await start('sleep 300');
      assert.equal(await phaseOf(id), 'running');
      await runCommand(scheduler.cancelCommand([id], false));
      assert.match(await ended, /killed by signal SIGTERM/);
      assert.equal(await phaseOf(id), 'ended');
      assert.equal((await runCommand(scheduler.cancelCommand([id], true))).code, 0);
    });

    it('ends by force a block that does not listen, with all its processes', async () => {
      const { id, ended } = await start(
        `trap '' TERM; sleep 300 & echo $! > '${join(dir, 'child').replaceAll("'", "'\\''")}'; while :; do sleep 1; done`,
      );
      const child = await eventually('the child', () => {
        try {
          return Number(readFileSync(join(dir, 'child'), 'utf8'));
        } catch {
          return 0;
        }
      });
      await runCommand(scheduler.cancelCommand([id], true));
      assert.match(await ended, /SIGKILL/);
      await eventually('no child', () => {
        try {
          return readFileSync(`/proc/${child}/stat`, 'utf8').includes(') Z');
        } catch {
          return true;
        }
      });
    });
  });
}

describe('run-command', () => {
  it('says what went wrong instead of throwing', async () => {
    assert.equal((await runCommand({ argv: ['/nowhere/program'] })).code, 127);
    assert.deepEqual(await runCommand({ argv: ['sh', '-c', 'echo out; echo err >&2; exit 3'] }), {
      code: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  it('ends a command that takes too long', async () => {
    const { code, stderr } = await runCommand({ argv: ['sleep', '100'] }, 100);
    assert.equal(code, 124);
    assert.match(stderr, /did not end within 0.1 s/);
  });

  it('bounds what it reads', async () => {
    const { stdout } = await runCommand({ argv: ['sh', '-c', 'head -c 5000000 /dev/zero'] });
    assert.ok(stdout.length < 2_000_000);
  });
});
