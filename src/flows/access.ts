// Who may do what with flows and runs. Pure. What somebody may not even see is "not found" to them.
import { Fault } from '../errors.ts';

/** The caller as lists of principals know them. A Principal is one. */
export interface Caller {
  readonly identity: string;
  readonly urn: string;
  readonly groups: readonly string[];
}

interface FlowLists {
  readonly owner: string;
  readonly viewers: readonly string[];
  readonly starters: readonly string[];
  readonly administrators: readonly string[];
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
}

interface RunLists {
  readonly owner: string;
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
  readonly flow_owner: string;
  readonly flow_administrators: readonly string[];
  readonly flow_run_managers: readonly string[];
  readonly flow_run_monitors: readonly string[];
}

export type FlowRole =
  'flow_owner' | 'flow_administrator' | 'flow_starter' | 'flow_viewer' | 'run_manager' | 'run_monitor';
export type RunRole = 'run_owner' | 'run_manager' | 'run_monitor' | 'flow_run_manager' | 'flow_run_monitor';

/** Words that stand for everybody, by the list they may be in. */
const EVERYBODY = { viewers: 'public', starters: 'all_authenticated_users' } as const;

/** The names under which lists may hold the caller, in lower case as the lists are kept. */
export function namesOf(caller: Caller): readonly string[] {
  return [caller.urn, ...caller.groups].map((name) => name.toLowerCase());
}

/** The same for filters of lists that also hold the words for everybody. */
export function namesAndEverybody(caller: Caller): readonly string[] {
  return [...namesOf(caller), ...Object.values(EVERYBODY)];
}

/** The roles the caller holds in a flow, highest first. */
export function flowRoles(flow: FlowLists, caller: Caller): readonly FlowRole[] {
  const names = namesOf(caller);
  const among = (list: readonly string[], everybody?: string): boolean =>
    list.some((name) => names.includes(name) || name === everybody);
  const roles: FlowRole[] = [];
  if (flow.owner === caller.identity) roles.push('flow_owner');
  if (among(flow.administrators)) roles.push('flow_administrator');
  if (among(flow.starters, EVERYBODY.starters)) roles.push('flow_starter');
  if (among(flow.viewers, EVERYBODY.viewers)) roles.push('flow_viewer');
  if (among(flow.run_managers)) roles.push('run_manager');
  if (among(flow.run_monitors)) roles.push('run_monitor');
  return roles;
}

/** The roles the caller holds in a run, highest first. */
export function runRoles(run: RunLists, caller: Caller): readonly RunRole[] {
  const names = namesOf(caller);
  const among = (list: readonly string[]): boolean => list.some((name) => names.includes(name));
  const roles: RunRole[] = [];
  if (run.owner === caller.identity) roles.push('run_owner');
  if (among(run.run_managers)) roles.push('run_manager');
  if (run.flow_owner === caller.identity || among(run.flow_administrators) || among(run.flow_run_managers)) {
    roles.push('flow_run_manager');
  }
  if (among(run.run_monitors)) roles.push('run_monitor');
  if (among(run.flow_run_monitors)) roles.push('flow_run_monitor');
  return roles;
}

export type FlowVerb = 'view' | 'run' | 'administer';
export type RunVerb = 'monitor' | 'manage' | 'resume';

const FLOW_VERBS: Record<FlowVerb, readonly FlowRole[]> = {
  view: ['flow_owner', 'flow_administrator', 'flow_starter', 'flow_viewer'],
  run: ['flow_owner', 'flow_administrator', 'flow_starter'],
  administer: ['flow_owner', 'flow_administrator'],
};

const RUN_VERBS: Record<RunVerb, readonly RunRole[]> = {
  monitor: ['run_owner', 'run_manager', 'flow_run_manager', 'run_monitor', 'flow_run_monitor'],
  manage: ['run_owner', 'run_manager', 'flow_run_manager'],
  // Resuming may grant consents in the resumer's name, so managing all runs of a flow is not enough.
  resume: ['run_owner', 'run_manager'],
};

export function mayFlow(roles: readonly FlowRole[], verb: FlowVerb): boolean {
  return roles.some((role) => FLOW_VERBS[verb].includes(role));
}

export function mayRun(roles: readonly RunRole[], verb: RunVerb): boolean {
  return roles.some((role) => RUN_VERBS[verb].includes(role));
}

export function flowNotFound(id: string): Fault {
  return new Fault('flow_not_found', `No flow exists with id value ${id}`, { args: [id] });
}

export function runNotFound(id: string): Fault {
  return new Fault('run_not_found', `No run exists with id value ${id}`, { args: [id] });
}

function missing(what: 'flow' | 'run', id: string, permission: string): Fault {
  return new Fault(
    'forbidden',
    `You do not have the necessary permissions to perform this action on the ${what} with id value ${id}. Missing permissions: ${permission}.`,
    {
      remedy: `Ask an ${what === 'flow' ? 'administrator of the flow' : 'owner of the run'} to add you to its lists.`,
    },
  );
}

/** Throws Fault flow_not_found or forbidden. */
export function needFlow(
  flow: FlowLists & { readonly id: string },
  caller: Caller,
  verb: FlowVerb,
): readonly FlowRole[] {
  const roles = flowRoles(flow, caller);
  if (!mayFlow(roles, 'view')) throw flowNotFound(flow.id);
  if (!mayFlow(roles, verb)) throw missing('flow', flow.id, verb.toUpperCase());
  return roles;
}

/** Throws Fault run_not_found or forbidden. */
export function needRun(
  run: RunLists & { readonly id: string },
  caller: Caller,
  verb: RunVerb,
): readonly RunRole[] {
  const roles = runRoles(run, caller);
  if (!mayRun(roles, 'monitor')) throw runNotFound(run.id);
  if (!mayRun(roles, verb)) throw missing('run', run.id, verb.toUpperCase());
  return roles;
}
