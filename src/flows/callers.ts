// Who a run acts as: its starter, or the flow itself.
import type { LeasedRun } from '../db/run-steps.ts';
import { identityUrn } from '../ids.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { ActionCaller } from './ports.ts';

/** Who starts a run. A Principal is one. `expires_s`: end of the token used, in seconds since 1970. */
export type Starter = ActionCaller & { readonly expires_s?: number };

/** The starter as it is stored with the run. */
export function storedCaller(starter: Starter): JsonObject {
  const { identity, urn, username, groups, expires_s } = starter;
  return { identity, urn, username, groups: [...groups], expires_s: expires_s ?? null };
}

/** The identity for a state's RunAs; null for a role, whose token the run would have to bring. */
export function runCaller(run: Pick<LeasedRun, 'caller' | 'flow_id'>, runAs: string): ActionCaller | null {
  if (runAs === 'User') return run.caller as unknown as ActionCaller;
  if (runAs !== 'Flow') return null;
  const { flow_id } = run;
  return {
    identity: flow_id,
    urn: identityUrn(flow_id),
    username: `${flow_id}@clients.auth.globus.org`,
    groups: [],
  };
}

/** `$._context` of a run. The token's age is not known here, so its start is taken to be the run's. */
export function contextOf(run: Pick<LeasedRun, 'id' | 'flow_id' | 'caller' | 'start_time'>): JsonObject {
  const { urn, username, expires_s } = run.caller as unknown as Starter & { expires_s: number | null };
  const started_s = Math.floor(run.start_time.getTime() / 1_000);
  return {
    flow_id: run.flow_id,
    run_id: run.id,
    username,
    email: username.includes('@') ? username : null,
    user_id: urn,
    identities: [urn],
    token_info: { exp: expires_s, iat: started_s, nbf: started_s },
  };
}
