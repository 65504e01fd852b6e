// Flows and runs as the Flows API shows them (reference: Flows API sections 4 and 5).
import { flowScope } from '../auth/scopes.ts';
import { wireTime } from '../clock.ts';
import type { FlowRow } from '../db/flows.ts';
import type { RunLogRow, RunRow } from '../db/runs.ts';
import { identityUrn } from '../ids.ts';
import type { JsonObject } from '../providers/contract.ts';
import { flowRoles, mayFlow, mayRun, runRoles, type Caller } from './access.ts';
import { publicDefinition } from './privacy.ts';

export type FlowDocument = ReturnType<typeof flowDocument>;
export type RunDocument = ReturnType<typeof runDocument>;
export type LogEntryDocument = ReturnType<typeof logEntryDocument>;

/** A flow as the caller may see it: its lists and private parameters are for administrators. */
export function flowDocument(flow: FlowRow, caller: Caller, baseUrl: string) {
  const roles = flowRoles(flow, caller);
  const administers = mayFlow(roles, 'administer');
  const list = (names: readonly string[]): readonly string[] => (administers ? names : []);
  const url = `${baseUrl}/flows/${flow.id}`;
  const definition = flow.definition as JsonObject;
  return {
    id: flow.id,
    title: flow.title,
    subtitle: flow.subtitle,
    description: flow.description,
    keywords: flow.keywords,
    definition: administers ? definition : publicDefinition(definition),
    input_schema: flow.input_schema as JsonObject,
    globus_auth_scope: flowScope(flow.id),
    globus_auth_scopes_by_RunAs: {},
    principal_urn: identityUrn(flow.id),
    globus_auth_username: `${flow.id}@clients.auth.globus.org`,
    flow_url: url,
    action_url: url,
    api_version: '1.0',
    types: ['Action'],
    synchronous: false,
    log_supported: true,
    flow_owner: identityUrn(flow.owner),
    flow_viewers: list(flow.viewers),
    flow_starters: list(flow.starters),
    flow_administrators: list(flow.administrators),
    run_managers: list(flow.run_managers),
    run_monitors: list(flow.run_monitors),
    user_role: roles[0] ?? null,
    user_roles: roles,
    created_at: wireTime(flow.created_at),
    updated_at: wireTime(flow.updated_at),
    subscription_id: flow.subscription_id,
    authentication_policy_id: flow.authentication_policy_id,
    is_high_assurance: false,
    created_by: identityUrn(flow.creator),
    // Names of the same lists in the first version of the API.
    visible_to: list(flow.viewers),
    runnable_by: list(flow.starters),
    administered_by: list(flow.administrators),
  };
}

/** A run as the caller may see it. */
export function runDocument(run: RunRow, caller: Caller) {
  const roles = runRoles(run, caller);
  const manages = mayRun(roles, 'manage');
  const list = (names: readonly string[]): readonly string[] => (manages ? names : []);
  return {
    run_id: run.id,
    action_id: run.id,
    flow_id: run.flow_id,
    flow_title: run.flow_title,
    flow_last_updated: wireTime(run.flow_updated_at),
    start_time: wireTime(run.start_time),
    completion_time: run.completion_time === null ? null : wireTime(run.completion_time),
    label: run.label,
    tags: run.tags,
    status: run.status,
    display_status: run.status,
    details: run.details as JsonObject,
    run_owner: identityUrn(run.owner),
    run_managers: list(run.run_managers),
    run_monitors: list(run.run_monitors),
    created_by: identityUrn(run.owner),
    creator_id: identityUrn(run.owner),
    manage_by: list(run.run_managers),
    monitor_by: list(run.run_monitors),
    user_role: roles[0] ?? null,
    user_roles: roles,
    blocking_web_input_id: null,
  };
}

/** What GET /runs/{id} adds when asked for the flow. */
export function flowDescription(flow: FlowRow) {
  return {
    id: flow.id,
    flow_owner: identityUrn(flow.owner),
    created_at: wireTime(flow.created_at),
    updated_at: wireTime(flow.updated_at),
    title: flow.title,
    subtitle: flow.subtitle,
    description: flow.description,
    keywords: flow.keywords,
    created_by: identityUrn(flow.creator),
    globus_auth_scope: flowScope(flow.id),
  };
}

export function logEntryDocument(entry: RunLogRow) {
  const { code, description, details } = entry;
  return { time: wireTime(entry.time), code, description, details };
}
