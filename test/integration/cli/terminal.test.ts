// Ctrl-C in a real terminal while waiting: the question, and each way to answer it. Python's pty module is the
// terminal.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../../../src/paths.ts';
import { withDouble } from '../../unit/sdk/double.ts';

const ID = '11111111-2222-4333-8444-555555555555';

/** Runs argv in a terminal; types Ctrl-C once it waits, and the answer once it asks. Ends with the same code. */
const TERMINAL = `
import os, pty, select, sys, time
answer, argv = sys.argv[1].encode().decode("unicode_escape").encode(), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
seen, typed, end = b"", 0, time.time() + 30
while time.time() < end:
    if not select.select([fd], [], [], 1)[0]: continue
    try: data = os.read(fd, 4096)
    except OSError: break
    if not data: break
    seen += data
    if typed == 0 and b"it is busy" in seen: typed = os.write(fd, b"\\x03")
    elif typed == 1 and b"[leave/cancel]" in seen: typed = 1 + os.write(fd, answer)
sys.stdout.buffer.write(seen)
sys.stdout.flush()
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 99)
`;

describe('cli: Ctrl-C in a terminal', function () {
  this.timeout(60_000);
  const double = withDouble();

  const answer = (keys: string): Promise<{ code: number | null; seen: string }> =>
    new Promise((resolve, reject) => {
      const line = [
        process.execPath,
        join(PACKAGE_ROOT, 'bin', 'pilotwave.mjs'),
        'task',
        'result',
        ID,
        '--wait',
      ];
      const child = spawn('python3', ['-c', TERMINAL, keys, ...line], {
        env: {
          PATH: process.env.PATH,
          PILOTWAVE_HOME: '/nonexistent',
          PILOTWAVE_URL: double().url,
          PILOTWAVE_TOKEN: 't',
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let seen = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => (seen += text));
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, seen }));
    });

  beforeEach(() => {
    double().on('GET /api/tasks/:', { body: { task_id: ID, status: 'running', reason: 'it is busy' } });
    double().on('POST /api/tasks/:/cancel', { body: { task_id: ID, status: 'failed', cancelled: true } });
  });

  for (const [name, keys] of [
    ['leave', 'leave\\r'],
    ['nothing', '\\r'],
    ['Ctrl-C again', '\\x03'],
    ['the end of input', '\\x04'],
  ] as const) {
    it(`${name} leaves it running`, async () => {
      const { code, seen } = await answer(keys);
      assert.equal(code, 130, seen);
      assert.match(seen, /goes on/);
      assert.deepEqual(double().at('POST /api/tasks/:/cancel'), []);
    });
  }

  it('cancel cancels it', async () => {
    const { code, seen } = await answer('cancel\\r');
    assert.equal(code, 130, seen);
    assert.match(seen, /Cancelled Task/);
    assert.equal(double().at('POST /api/tasks/:/cancel').length, 1);
  });
});
