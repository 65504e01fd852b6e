// Which list each noun's ids and names are looked up in.
import type { Client } from '../sdk/client.ts';
import { resolveId } from './resolve.ts';

/** How far back a lookup by name or by part of an id goes. */
const LOOKUP_LIMIT = 1000;

export function functionId(client: Client, text: string): Promise<string> {
  const lookup = { noun: 'function', list_command: 'pilotwave function list', newest_wins: true };
  return resolveId(text, lookup, () => client.functions.list({ limit: LOOKUP_LIMIT }));
}

export function endpointId(client: Client, text: string): Promise<string> {
  return resolveId(text, { noun: 'endpoint', list_command: 'pilotwave endpoint list' }, () =>
    client.endpoints.list(),
  );
}

export function taskId(client: Client, text: string): Promise<string> {
  return resolveId(text, { noun: 'task', list_command: 'pilotwave task list' }, async () =>
    (await client.tasks.list({ limit: LOOKUP_LIMIT })).map((task) => ({ id: task.task_id, name: null })),
  );
}

export function flowId(client: Client, text: string): Promise<string> {
  return resolveId(text, { noun: 'flow', list_command: 'pilotwave flow list' }, async () =>
    (await client.flows.list({ limit: LOOKUP_LIMIT })).map((flow) => ({ id: flow.id, name: flow.title })),
  );
}

/** Runs go by their id or by a label that only one of them has. */
export function runId(client: Client, text: string): Promise<string> {
  return resolveId(text, { noun: 'run', list_command: 'pilotwave run list' }, async () =>
    (await client.runs.list({ limit: LOOKUP_LIMIT })).map((run) => ({ id: run.run_id, name: run.label })),
  );
}

export function triggerId(client: Client, text: string): Promise<string> {
  return resolveId(text, { noun: 'trigger', list_command: 'pilotwave trigger list' }, () =>
    client.triggers.list(),
  );
}
