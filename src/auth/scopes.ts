// Scope strings. They are compiled into the official clients and stay `https://auth.globus.org/…` wherever the
// service runs (reference: auth.globus.org scope naming); ours for the /api routes follow the same form.

const COMPUTE = 'https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9';
const FLOWS = 'https://auth.globus.org/scopes/eec9b274-0c81-4334-bdc2-54e90e689b9a';

export const SCOPES = {
  compute: `${COMPUTE}/all`,
  flows_all: `${FLOWS}/all`,
  flows_manage: `${FLOWS}/manage_flows`,
  flows_view: `${FLOWS}/view_flows`,
  flows_run: `${FLOWS}/run`,
  flows_run_status: `${FLOWS}/run_status`,
  flows_run_manage: `${FLOWS}/run_manage`,
  triggers: 'https://auth.globus.org/scopes/pilotwave/triggers',
  providers: 'https://auth.globus.org/scopes/pilotwave/action_all',
  admin: 'https://auth.globus.org/scopes/pilotwave/admin',
} as const;

export type ScopeName = keyof typeof SCOPES;

/** The scope that running one flow asks for. */
export function flowScope(flowId: string): string {
  return `https://auth.globus.org/scopes/${flowId}/flow_${flowId.replaceAll('-', '_')}_user`;
}

/** Everything but administration: what an ordinary user's token carries. */
export const USER_SCOPES: readonly string[] = [
  SCOPES.compute,
  SCOPES.flows_all,
  SCOPES.triggers,
  SCOPES.providers,
];
