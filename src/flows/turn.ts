// One turn of work on one run: step it, store the step, perform what it asks for, and again, until the run waits or
// has ended. Every step is durable before its effect; a turn that breaks off anywhere can be repeated by anybody.
import type { Clock } from '../clock.ts';
import type { LeasedRun, StoredStep } from '../db/run-steps.ts';
import { messageOf } from '../errors.ts';
import { isFinal } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { JsonObject } from '../providers/contract.ts';
import { contextOf, runCaller } from './callers.ts';
import type { Committer, Stored } from './committer.ts';
import { perform, type AskingEffect } from './effects.ts';
import type { Flow } from './language.ts';
import { abandon, step, type FlowEvent } from './machine.ts';
import type { ActionCaller, ActionClient } from './ports.ts';
import type { Place, Run, Stepped } from './run.ts';
import type { Effect } from './states/contract.ts';

export interface TurnDeps {
  readonly clock: Clock;
  readonly log: Logger;
  readonly actions: ActionClient;
  readonly committer: Committer;
  /** The checked definition of a version; throws when it is not one any more. */
  readonly flowOf: (version: number) => Promise<Flow>;
  readonly onStored: (runId: string, stepped: Stepped) => void;
  readonly release: (effect: Extract<Effect, { kind: 'release_action' }>, caller: ActionCaller) => void;
  /** The engine ends: perform nothing more. */
  readonly stopping: () => boolean;
}

function runOf(leased: LeasedRun): Run {
  return {
    run_id: leased.id,
    context: contextOf(leased),
    status: leased.status,
    details: leased.details as JsonObject,
    completed_at: null,
    place: leased.place as unknown as Place,
  };
}

function firstEvent(leased: LeasedRun, run: Run): FlowEvent {
  if (leased.cancel_by !== null && run.place.cancel_by === null) {
    return { kind: 'cancel_requested', by: leased.cancel_by };
  }
  return run.place.at === null ? { kind: 'started' } : { kind: 'woken' };
}

/** Text columns of PostgreSQL cannot hold NUL. */
function clean(text: string): string {
  return text.replaceAll('\u0000', '\ufffd');
}

function asStored(revision: number, { run, entries, wake_at }: Stepped, hold: boolean): StoredStep {
  const { waiting, at, cancel_by } = run.place;
  return {
    id: run.run_id,
    revision,
    status: run.status,
    details: run.details,
    place: run.place as unknown as Record<string, unknown>,
    at_state: at === null ? null : clean(at),
    action_id: waiting?.kind === 'action' && waiting.action_id !== null ? clean(waiting.action_id) : null,
    wake_at: wake_at === null ? null : new Date(wake_at),
    completion_time: run.completed_at === null ? null : new Date(run.completed_at),
    cancel_taken: cancel_by !== null,
    hold,
    entries: entries.map((entry) => ({
      ...entry,
      time: new Date(entry.time),
      description: clean(entry.description),
    })),
  };
}

/** A step that must not fail: a run that cannot be stepped is ended with the reason, not tried for ever. */
async function stepped(deps: TurnDeps, leased: LeasedRun, run: Run, event: FlowEvent): Promise<Stepped> {
  const given_up = (error: unknown): Stepped => {
    deps.log.error({ err: error, run_id: leased.id }, 'a run cannot be stepped and is ended');
    return abandon(run, `this run cannot go on: ${messageOf(error)}`, deps.clock.now());
  };
  const flow = await deps.flowOf(leased.version_id).catch((error: unknown) => {
    if (error instanceof UnusableFlow) return error;
    throw error;
  });
  if (flow instanceof UnusableFlow) return given_up(flow);
  try {
    return step(flow, run, event, deps.clock.now());
  } catch (error) {
    return given_up(error);
  }
}

/** Thrown by `flowOf` for a definition that this version of the service does not take. */
export class UnusableFlow extends Error {}

function settle(deps: TurnDeps, leased: LeasedRun, done: Stepped): void {
  deps.onStored(leased.id, done);
  for (const effect of done.effects) {
    if (effect.kind !== 'release_action') continue;
    const caller = runCaller(leased, effect.run_as);
    if (caller !== null) deps.release(effect, caller);
  }
}

/** What the run goes on with after a stored step; null when it waits, has ended, or is somebody else's now. */
function next(stored: Stored, done: Stepped, now: number): FlowEvent | null {
  if (stored === null || isFinal(done.run.status)) return null;
  if (stored.cancel_by !== null && done.run.place.cancel_by === null) {
    return { kind: 'cancel_requested', by: stored.cancel_by };
  }
  return done.wake_at !== null && done.wake_at <= now ? { kind: 'woken' } : null;
}

/** Works on a leased run until it waits, has ended or was lost. Throws what the database throws. */
export async function takeTurn(deps: TurnDeps, leased: LeasedRun): Promise<void> {
  let run = runOf(leased);
  let revision = leased.revision;
  let event = firstEvent(leased, run);
  const callerFor = (runAs: string): ActionCaller | null => runCaller(leased, runAs);
  const context = { actions: deps.actions, callerFor, label: leased.label };
  for (;;) {
    const done = await stepped(deps, leased, run, event);
    const asking = done.effects.find((effect): effect is AskingEffect => effect.kind !== 'release_action');
    if (done.changed || asking === undefined) {
      const hold = asking !== undefined || (done.wake_at !== null && done.wake_at <= deps.clock.now());
      const stored = await deps.committer.commit(asStored(revision, done, hold));
      if (stored === null) {
        deps.log.info({ run_id: run.run_id }, 'another engine works on this run now');
        return;
      }
      revision += 1;
      run = done.run;
      settle(deps, leased, done);
      const following = next(stored, done, deps.clock.now());
      if (following === null) return;
      if (asking === undefined || following.kind === 'cancel_requested') {
        event = following;
        if (deps.stopping()) return;
        continue;
      }
    }
    if (deps.stopping() || asking === undefined) return;
    event = await perform(asking, context);
  }
}
