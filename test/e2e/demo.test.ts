// The program as a user runs it: the demo from a frame on disk to its result, with nothing left behind.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { MAIN_PROGRAM } from '../../src/paths.ts';

interface DemoLine {
  readonly files: number;
  readonly runs: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly hits: number;
  readonly misses: number;
  readonly tasks: number;
  readonly latency_ms: { readonly p50: number; readonly p99: number };
  readonly results: readonly {
    readonly file: string;
    readonly spots: number | null;
    readonly status: string;
  }[];
}

const demoHomes = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('pilotwave-demo-'));

describe('the demo', () => {
  it('turns frames into hits, misses and readable failures, and leaves nothing behind', async function () {
    this.timeout(120_000);
    const before = demoHomes();
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [MAIN_PROGRAM, 'demo', '--frames', '20', '--json'],
      {
        env: { ...process.env, DATABASE_URL: '', REDIS_URL: '' },
      },
    );
    const line = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as DemoLine;
    assert.equal(line.files, 20);
    assert.equal(line.runs, 20);
    assert.equal(line.succeeded + line.failed, 20);
    assert.equal(line.hits + line.misses, line.succeeded);
    assert.ok(line.hits > 0 && line.failed > 0);
    assert.equal(line.tasks, 20 + line.hits, 'one analysis a frame, one preview a hit');
    assert.ok(line.latency_ms.p50 > 0 && line.latency_ms.p99 >= line.latency_ms.p50);
    assert.ok(line.results.every((result) => (result.status === 'failed') === (result.spots === null)));
    assert.match(stderr, /truncated|empty|not a detector frame/);
    assert.deepEqual(demoHomes(), before);
  });
});
