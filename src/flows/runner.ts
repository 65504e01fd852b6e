// The shell round the machine: leases due runs, takes turns on many at a time, and is woken by new runs, ended
// actions, cancels and the clock. Several runners share a database; each run is worked on by one of them at a time,
// and when a runner dies its runs are taken up by the others.
import type { Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import {
  buryEngines,
  claimRuns,
  removeEngine,
  touchEngine,
  wakeWaitingRuns,
  type LeasedRun,
} from '../db/run-steps.ts';
import type { Logger } from '../log.ts';
import { startLoop, type Loop } from '../loop.ts';
import { makeAlarms } from './alarms.ts';
import { makeCommitter } from './committer.ts';
import { makeHints } from './hints.ts';
import type { ActionCaller, ActionClient } from './ports.ts';
import type { Stepped } from './run.ts';
import type { Effect } from './states/contract.ts';
import { takeTurn, type TurnDeps } from './turn.ts';
import type { Versions } from './versions.ts';

export interface RunnerOptions {
  readonly db: Db;
  readonly actions: ActionClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly versions: Versions;
  /** Unique among the engines that share the database. */
  readonly engine: string;
  /** Turns in flight. */
  readonly concurrency: number;
  /** How long an engine is taken for alive after its last sign, in milliseconds. */
  readonly lease_ms: number;
  /** Are ended actions released at their providers? */
  readonly release_actions: boolean;
  readonly onStored: (runId: string, stepped: Stepped) => void;
}

export interface Runner {
  /** This engine's id while it takes new runs at once and has room for them, else null. */
  leaseFor(count: number): string | null;
  /** New runs that were stored under this engine's lease. */
  adopt(runs: readonly LeasedRun[]): void;
  /** Looks for due runs now. */
  wake(): void;
  start(): Promise<void>;
  /** Takes no more turns, waits for those in flight, and gives back what is left. */
  stop(): Promise<void>;
}

type ReleaseEffect = Extract<Effect, { kind: 'release_action' }>;

/** Leased runs that wait for their turn, as multiples of the turns in flight. */
const QUEUE_FACTOR = 4;
const LOOK_MS = 1_000;
/** A run whose turn broke off is left alone for so long. */
const REST_MS = 2_000;
/** How long stop() waits for turns in flight. */
const STOP_MS = 10_000;
const MOST_RELEASES = 1_000;
const RELEASES_IN_FLIGHT = 8;

/** Releases ended actions in the background; more than it can keep up with are left to the providers' retention. */
function makeReleaser(
  actions: ActionClient,
  log: Logger,
): { add(effect: ReleaseEffect, caller: ActionCaller): void; stop(): Promise<void> } {
  const queue: (readonly [ReleaseEffect, ActionCaller])[] = [];
  const working = new Set<Promise<void>>();
  const work = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const [{ url, action_id }, caller] = next;
      await actions.release(url, caller, action_id).catch((error: unknown) => {
        log.debug(
          { err: error, url, action_id },
          'an action was not released; its provider forgets it in time',
        );
      });
    }
  };
  return {
    add(effect, caller) {
      if (queue.length >= MOST_RELEASES) return;
      queue.push([effect, caller]);
      if (working.size >= RELEASES_IN_FLIGHT) return;
      const done: Promise<void> = work().finally(() => working.delete(done));
      working.add(done);
    },
    async stop() {
      queue.length = 0;
      await Promise.all(working);
    },
  };
}

/** Says every now and then that this engine lives, and takes notice of those that do not. */
function startHeartbeat(options: RunnerOptions, wake: () => void): Loop {
  const { db, clock, engine, lease_ms, log } = options;
  let first = true;
  return startLoop({
    name: 'flow-engine-heartbeat',
    interval_ms: lease_ms / 3,
    log,
    async turn() {
      const alive = await touchEngine(db, engine, lease_ms);
      if (!alive && !first) {
        log.warn({ engine }, 'this flow engine was silent for too long; others may have taken up its runs');
      }
      const othersDied = await buryEngines(db);
      if (!first && !othersDied) return;
      await wakeWaitingRuns(db, new Date(clock.now()));
      first = false;
      wake();
    },
  });
}

export function makeRunner(options: RunnerOptions): Runner {
  const { db, actions, clock, log, engine, concurrency } = options;
  const capacity = concurrency * (1 + QUEUE_FACTOR);
  const queue: LeasedRun[] = [];
  /** Leased runs in the queue and in a turn. */
  const held = new Set<string>();
  const turns = new Set<Promise<void>>();
  /** Runs whose turn broke off, and until when they rest. */
  const resting = new Map<string, number>();
  let loop: Loop | null = null;
  let heartbeat: Loop | null = null;
  let stopping = false;
  let moreWaits = false;

  const wake = (): void => loop?.wake();
  const alarms = makeAlarms(() => clock.now(), wake);
  const hints = makeHints({ db, clock, log, woken: wake });
  const releaser = makeReleaser(actions, log);

  const deps: TurnDeps = {
    clock,
    log,
    actions,
    committer: makeCommitter({ db, engine, clock }),
    flowOf: (version) => options.versions.flowOf(version),
    release: (effect, caller) => {
      if (options.release_actions && !stopping) releaser.add(effect, caller);
    },
    stopping: () => stopping,
    onStored(runId, stepped) {
      const { waiting } = stepped.run.place;
      if (waiting?.kind === 'action' && waiting.action_id !== null) hints.waitsFor(waiting.action_id);
      if (stepped.wake_at !== null && stepped.wake_at > clock.now()) alarms.set(stepped.wake_at);
      options.onStored(runId, stepped);
    },
  };

  const take = async (leased: LeasedRun): Promise<void> => {
    try {
      await takeTurn(deps, leased);
    } catch (error) {
      resting.set(leased.id, clock.now() + REST_MS);
      log.warn({ err: error, run_id: leased.id }, 'a turn on a run broke off and is repeated');
    } finally {
      held.delete(leased.id);
    }
  };

  const pump = (): void => {
    while (!stopping && turns.size < concurrency) {
      const leased = queue.shift();
      if (leased === undefined) break;
      const turn: Promise<void> = take(leased).finally(() => {
        turns.delete(turn);
        pump();
      });
      turns.add(turn);
    }
    if (moreWaits && queue.length < concurrency) {
      moreWaits = false;
      wake();
    }
  };

  const enqueue = (runs: readonly LeasedRun[]): void => {
    for (const run of runs) {
      if (held.has(run.id)) continue;
      held.add(run.id);
      queue.push(run);
    }
    pump();
  };

  /** Runs that this engine must not claim now although they carry its name. */
  const excluded = (): string[] => {
    for (const [id, until] of resting) if (until <= clock.now()) resting.delete(id);
    return [...held, ...resting.keys()];
  };

  const look = async (): Promise<boolean> => {
    const limit = capacity - held.size;
    if (stopping || limit <= 0) {
      moreWaits = true;
      return false;
    }
    const runs = await claimRuns(db, { engine, held: excluded(), now: new Date(clock.now()), limit });
    if (stopping) return false;
    enqueue(runs);
    moreWaits = runs.length === limit;
    return false;
  };

  actions.onEnded((actionId) => {
    if (loop !== null && !stopping) hints.ended(actionId);
  });

  return {
    leaseFor: (count) => (loop !== null && !stopping && held.size + count <= capacity ? engine : null),
    adopt: (runs) => enqueue(runs),
    wake,
    async start() {
      await touchEngine(db, engine, options.lease_ms);
      loop = startLoop({ name: 'flow-runner', interval_ms: LOOK_MS, log, turn: look });
      heartbeat = startHeartbeat(options, wake);
    },
    async stop() {
      stopping = true;
      alarms.stop();
      await loop?.stop();
      // A turn that waits for a slow provider is let go: without its lease it can store nothing any more.
      await Promise.race([
        Promise.all(turns),
        new Promise((resolve) => setTimeout(resolve, STOP_MS).unref()),
      ]);
      await releaser.stop();
      await hints.stop();
      await heartbeat?.stop();
      if (loop !== null)
        await removeEngine(db, engine).catch((error: unknown) =>
          log.warn({ err: error }, 'leased runs are free when this engine is taken for dead'),
        );
    },
  };
}
