// A trigger host on a test's database, with doors that record what is asked of them.
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemChance, systemClock, type Clock } from '../../src/clock.ts';
import { connect, type Db } from '../../src/db/connect.ts';
import { silentLogger } from '../../src/log.ts';
import { makeTriggerHost, type TriggerHost, type TriggerHostOptions } from '../../src/triggers/host.ts';
import type { StartRunRequest, TriggerPorts } from '../../src/triggers/ports.ts';
import { until } from './until.ts';

export interface RecordingPorts {
  readonly ports: TriggerPorts;
  /** Every request to start a run, in order; a repeated request_id is there twice. */
  readonly asked: StartRunRequest[];
  /** The runs that exist: one per request_id. */
  readonly runs: Map<string, { readonly run_id: string; readonly request: StartRunRequest }>;
}

/** Doors to a flow engine that is only a table: the same request_id answers the same run. */
export function recordingPorts(extra: Partial<TriggerPorts> = {}): RecordingPorts {
  const asked: StartRunRequest[] = [];
  const runs = new Map<string, { run_id: string; request: StartRunRequest }>();
  const startRun: TriggerPorts['startRun'] = async (request) => {
    asked.push(request);
    const run = runs.get(request.request_id) ?? { run_id: systemChance.uuid(), request };
    runs.set(request.request_id, run);
    return { run_id: run.run_id };
  };
  return { ports: { now: () => Date.now(), startRun, ...extra }, asked, runs };
}

export interface TestHost {
  readonly host: TriggerHost;
  readonly db: Db;
  /** Stops the host and closes its connections. */
  readonly end: () => Promise<void>;
}

/** Starts a host with connections of its own, as another process would have. */
export function startHost(
  url: string,
  ports: TriggerPorts,
  extra: Partial<TriggerHostOptions> & { readonly clock?: Clock } = {},
): TestHost {
  const db = connect(url, silentLogger, 6);
  const host = makeTriggerHost({
    db,
    ports,
    clock: systemClock,
    chance: systemChance,
    log: silentLogger,
    ...extra,
  });
  host.start();
  return {
    host,
    db,
    async end() {
      await host.stop();
      await db.close();
    },
  };
}

/** Registers mocha hooks; the answer makes a fresh folder that is removed after the test. */
export function withFolders(): () => Promise<string> {
  const made: string[] = [];
  afterEach(async () => {
    for (const dir of made.splice(0)) await rm(dir, { recursive: true, force: true });
  });
  return async () => {
    const dir = await realpath(await mkdtemp(join(tmpdir(), 'pilotwave-drop-')));
    made.push(dir);
    return dir;
  };
}

/** `until`, with the condition's own text as what was waited for. */
export async function eventually(test: () => Promise<boolean> | boolean, timeout_ms = 15_000): Promise<void> {
  await until(test.toString(), test, timeout_ms);
}
