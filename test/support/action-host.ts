// For tests of action providers: a host on a real database with a clock that is turned by hand, people, and a
// compute service that is a list: its tasks end when the test says so.
import { randomUUID } from 'node:crypto';
import type { Principal } from '../../src/auth/principal.ts';
import { SCOPES } from '../../src/auth/scopes.ts';
import { systemChance } from '../../src/clock.ts';
import type { Db } from '../../src/db/connect.ts';
import { Fault } from '../../src/errors.ts';
import { identityUrn } from '../../src/ids.ts';
import { silentLogger } from '../../src/log.ts';
import type { ActionProvider, Json, ProviderPorts, TaskView } from '../../src/providers/contract.ts';
import { makeActionHost, type ActionHost } from '../../src/providers/host.ts';

/** A clock that stands until it is turned. */
export interface HandClock {
  now(): number;
  turn(ms: number): void;
}

export function handClock(start = Date.now()): HandClock {
  let at = start;
  return {
    now: () => at,
    turn(ms) {
      at += ms;
    },
  };
}

export const GROUP = `urn:globus:groups:id:${randomUUID()}`;

/** Somebody with a token for everything, or for `scopes`. */
export function person(options: { groups?: readonly string[]; scopes?: readonly string[] } = {}): Principal {
  const identity = randomUUID();
  return {
    identity,
    urn: identityUrn(identity),
    username: `${identity.slice(0, 8)}@example.org`,
    scopes: new Set(options.scopes ?? Object.values(SCOPES)),
    groups: options.groups ?? [],
    expires_s: 4_000_000_000,
    token_id: randomUUID(),
  };
}

interface DeskTask {
  view: TaskView;
  readonly function_id: string;
}

/** Tasks as a list. */
export interface TaskDesk {
  readonly ports: ProviderPorts;
  readonly tasks: Map<string, DeskTask>;
  readonly submissions: Parameters<ProviderPorts['submitTasks']>[1][];
  readonly cancelled: string[];
  readonly watched: string[];
  /** Endpoints that do not exist. */
  readonly unknownEndpoints: Set<string>;
  set(taskId: string, change: Partial<TaskView>): void;
  succeed(taskId: string, output?: Json): void;
  fail(taskId: string, exception: string): void;
  /** Every task that has not ended succeeds with this. */
  finishAll(output?: Json): void;
}

export function taskDesk(now: () => number): TaskDesk {
  const tasks = new Map<string, DeskTask>();
  const known = new Map<string, readonly string[]>();
  const desk: TaskDesk = {
    tasks,
    submissions: [],
    cancelled: [],
    watched: [],
    unknownEndpoints: new Set(),
    ports: {
      now,
      submitTasks: (_caller, request) => {
        if (desk.unknownEndpoints.has(request.endpoint_id)) {
          return Promise.reject(new Fault('endpoint_not_found', `No endpoint ${request.endpoint_id}`));
        }
        const before = known.get(request.key);
        if (before !== undefined) return Promise.resolve(before);
        desk.submissions.push(request);
        const ids = request.tasks.map(({ function_id }) => {
          const task_id = randomUUID();
          const view = {
            task_id,
            done: false,
            status: 'waiting-for-ep',
            reason: 'waiting: endpoint offline',
          };
          tasks.set(task_id, { view, function_id });
          return task_id;
        });
        known.set(request.key, ids);
        return Promise.resolve(ids);
      },
      taskViews: (ids) => Promise.resolve(ids.flatMap((id) => tasks.get(id)?.view ?? [])),
      cancelTasks: (ids, by) => {
        for (const id of ids) {
          if (tasks.get(id)?.view.done !== false) continue;
          desk.cancelled.push(id);
          desk.fail(id, `Cancelled by ${by}`);
        }
        return Promise.resolve();
      },
      watchTasks: (actionId) => void desk.watched.push(actionId),
    },
    set(taskId, change) {
      const task = tasks.get(taskId);
      if (task !== undefined) task.view = { ...task.view, ...change };
    },
    succeed: (taskId, output) =>
      desk.set(taskId, {
        done: true,
        status: 'success',
        reason: '',
        ...(output === undefined ? {} : { output }),
      }),
    fail: (taskId, exception) => desk.set(taskId, { done: true, status: 'failed', reason: '', exception }),
    finishAll(output = 'done') {
      for (const [id, task] of tasks) if (!task.view.done) desk.succeed(id, output);
    },
  };
  return desk;
}

/** A host of some providers. */
export function hostOn(
  db: Db,
  providers: readonly ActionProvider[],
  ports: ProviderPorts,
  clock: HandClock,
): ActionHost {
  return makeActionHost({
    db,
    providers,
    ports,
    baseUrl: () => 'http://127.0.0.1:5000',
    adminContact: 'root@example.org',
    clock,
    chance: systemChance,
    log: silentLogger,
  });
}
