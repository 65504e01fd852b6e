import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { takeLock, type Lock } from '../../../src/lock.ts';
import { isAlive, nameProcess, parseStart, processStart, signalGroup } from '../../../src/processes.ts';
import { Fault } from '../../../src/errors.ts';
import { eventually } from '../../integration/endpoint/support/eventually.ts';

describe('manager lock', () => {
  let dir: string;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'pilotwave-lock-'));
  });

  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  const file = (): string => join(dir, 'manager.lock');
  const take = (): Lock => takeLock(file(), 'The endpoint', () => Date.now());
  const write = (holder: object): void => writeFileSync(file(), JSON.stringify({ since: 'then', ...holder }));

  it('is held by one at a time, and names the holder', () => {
    const lock = take();
    assert.throws(
      () => take(),
      (error) =>
        error instanceof Fault &&
        error.code === 'endpoint_locked' &&
        error.message.includes(String(process.pid)),
    );
    lock.release();
    take().release();
    assert.deepEqual(readdirSync(dir), []);
  });

  it('is taken over from a process that is gone, even when its pid is in use again', () => {
    write({ pid: 999_999_999, start: '1', host: hostname() });
    take().release();
    write({ pid: process.pid, start: 'another start', host: hostname() });
    take().release();
  });

  it('is taken over when it is no lock at all', () => {
    writeFileSync(file(), '');
    take().release();
  });

  it('counts another host as alive while it keeps the lock fresh', () => {
    write({ pid: 1, start: '1', host: 'another.host' });
    assert.throws(() => take(), /another\.host/);
    const old_s = Date.now() / 1000 - 200;
    utimesSync(file(), old_s, old_s);
    take().release();
  });

  it('is not removed by one who lost it', () => {
    const lock = take();
    write({ pid: process.ppid, start: processStart(process.ppid), host: hostname() });
    lock.release();
    assert.ok(existsSync(file()));
  });
});

describe('processes', () => {
  it('are told apart from later ones with the same pid', async () => {
    const child = spawn('sleep', ['100'], { detached: true, stdio: 'ignore' });
    await once(child, 'spawn');
    const name = nameProcess(child.pid ?? 0) ?? assert.fail();
    assert.ok(isAlive(name));
    assert.ok(!isAlive({ ...name, start: 'other' }));
    assert.ok(signalGroup(name.pid, 'SIGKILL'));
    await once(child, 'exit');
    assert.ok(!isAlive(name));
    await eventually('no group', () => !signalGroup(name.pid, 'SIGKILL'));
  });

  it('start when their line in /proc says, whatever their name is', () => {
    const stat = `42 (a ) S (b) R 1 ${Array.from({ length: 17 }, (_, n) => n).join(' ')} 777 0 0`;
    assert.equal(parseStart(stat), '777');
    assert.equal(parseStart(stat.replace(') R', ') Z')), null);
  });

  it('are never everything', () => {
    assert.equal(signalGroup(0, 'SIGKILL'), false);
    assert.equal(signalGroup(1, 'SIGKILL'), false);
    assert.equal(signalGroup(Number.NaN, 'SIGKILL'), false);
  });
});
