// What to hold the figures against: BullMQ alone, one job a task, no Python, no result rows, no HTTP.
import { mkdtempSync, chmodSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue, Worker, createPostgresBackend } from 'bullmq';
import { startEmbedded } from '../src/db/embedded.ts';
import { silentLogger } from '../src/log.ts';

const JOBS = 3_000;
const AT_ONCE = 100;

async function addAndWork(connection: object, factory: unknown): Promise<number> {
  const name = `yardstick-${Date.now()}`;
  const queue = new Queue(name, { connection: connection }, factory as never);
  await queue.waitUntilReady();
  let worked = 0;
  const started = performance.now();
  const all = new Promise<void>((resolve) => {
    const worker = new Worker(
      name,
      async () => {
        if (++worked === JOBS) setImmediate(() => void worker.close().then(() => resolve()));
      },
      { connection: connection, concurrency: AT_ONCE, drainDelay: 1 },
      factory as never,
    );
    worker.on('error', () => undefined);
  });
  for (let n = 0; n < JOBS; n += 500) {
    await queue.addBulk(
      Array.from({ length: 500 }, (_, k) => ({
        name: 'noop',
        data: { n: n + k },
        opts: { removeOnComplete: true },
      })),
    );
  }
  await all;
  const elapsed_s = (performance.now() - started) / 1000;
  await queue.close();
  return JOBS / elapsed_s;
}

export async function bullmqYardstick(
  redisUrl: string,
): Promise<readonly { readonly name: string; readonly per_s: number }[]> {
  const home = mkdtempSync(join(tmpdir(), 'pilotwave-yardstick-'));
  chmodSync(home, 0o711);
  const postgres = await startEmbedded({ home, log: silentLogger });
  try {
    const found = [
      {
        name: 'on PostgreSQL',
        per_s: await addAndWork(
          { connectionString: postgres.url, max: 10, migrate: true },
          createPostgresBackend,
        ),
      },
    ];
    if (redisUrl !== '')
      found.push({
        name: 'on Redis',
        per_s: await addAndWork({ url: redisUrl, maxRetriesPerRequest: null }, undefined),
      });
    return found;
  } finally {
    await postgres.stop();
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}
