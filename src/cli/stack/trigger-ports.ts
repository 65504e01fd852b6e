// The doors that triggers are given: a run that a trigger starts acts as the trigger's owner.
import type { Db } from '../../db/connect.ts';
import { findUser } from '../../db/identity.ts';
import { Fault } from '../../errors.ts';
import type { FlowEngine } from '../../flows/engine.ts';
import type { ActionCaller } from '../../flows/ports.ts';
import { identityUrn } from '../../ids.ts';
import type { StartRunOutcome, TriggerPorts } from '../../triggers/ports.ts';

async function ownerAsCaller(db: Db, identity: string): Promise<ActionCaller> {
  const user = await findUser(db, identity);
  if (user === undefined) throw new Fault('forbidden', 'The owner of this trigger has no account any more.');
  return { identity, urn: identityUrn(identity), username: user.username, groups: user.groups };
}

/** Each owner once, however many requests there are; a failed look-up is kept as what it threw. */
async function callersOf(
  db: Db,
  owners: Iterable<string>,
): Promise<Map<string, ActionCaller | { readonly error: unknown }>> {
  const callers = new Map<string, ActionCaller | { readonly error: unknown }>();
  for (const owner of new Set(owners)) {
    callers.set(owner, await ownerAsCaller(db, owner).catch((error: unknown) => ({ error })));
  }
  return callers;
}

export function makeTriggerPorts(db: Db, engine: FlowEngine, now: () => number): TriggerPorts {
  return {
    now,
    async startRun(request) {
      const caller = await ownerAsCaller(db, request.owner);
      return engine.startRun(caller, request.flow_id, request);
    },
    async startRuns(requests) {
      const callers = await callersOf(
        db,
        requests.map((request) => request.owner),
      );
      const outcomes = new Array<StartRunOutcome>(requests.length);
      const known = requests.flatMap((request, place) => {
        const caller = callers.get(request.owner);
        if (caller === undefined || 'error' in caller) {
          outcomes[place] = { error: caller?.error };
          return [];
        }
        return [{ place, caller, flow_id: request.flow_id, request }];
      });
      const started = await engine.startRuns(known);
      known.forEach(
        ({ place }, at) =>
          (outcomes[place] = started[at] ?? { error: new Error('the run was not answered') }),
      );
      return outcomes;
    },
    async checkFlow(owner, flowId) {
      await engine.getFlow(await ownerAsCaller(db, owner), flowId);
    },
    activeRuns: (runIds) => engine.activeRuns(runIds),
  };
}
