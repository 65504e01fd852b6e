// Who may use which function at which endpoint. Foreign ids answer as unknown ones.
import { isListed, type Principal } from '../auth/principal.ts';
import type { Sql } from '../db/connect.ts';
import { findEndpoint, type EndpointRow } from '../db/endpoints.ts';
import { findFunction, type FunctionRow } from '../db/functions.ts';
import { Fault } from '../errors.ts';

/** What access checks need of a caller. */
export type Caller = Pick<Principal, 'identity'> & Partial<Pick<Principal, 'urn' | 'groups'>>;

function inGroup(caller: Caller, groupId: string | null): boolean {
  if (groupId === null || caller.groups === undefined || caller.urn === undefined) return false;
  return isListed(caller as Principal, [`urn:globus:groups:id:${groupId}`]);
}

/** A function the caller may run; throws Fault function_not_found. */
export async function usableFunction(sql: Sql, caller: Caller, id: string): Promise<FunctionRow> {
  const row = await findFunction(sql, id);
  const may =
    row !== undefined && (row.owner === caller.identity || row.public || inGroup(caller, row.group_id));
  if (!may || row.deleted_at !== null) {
    throw new Fault('function_not_found', `Function ${id} could not be resolved`, {
      args: [id],
      remedy: 'Check the id, or ask the owner to share the function with you.',
    });
  }
  return row;
}

/** An endpoint the caller may send tasks to; throws Fault endpoint_not_found. */
export async function usableEndpoint(sql: Sql, caller: Caller, id: string): Promise<EndpointRow> {
  const row = await findEndpoint(sql, id);
  if (row === undefined || (row.owner !== caller.identity && !row.public)) {
    throw new Fault('endpoint_not_found', `Endpoint ${id} could not be resolved`, { args: [id] });
  }
  return row;
}

/** An endpoint the caller owns; throws Fault endpoint_not_found. */
export async function ownEndpoint(sql: Sql, caller: Caller, id: string): Promise<EndpointRow> {
  const row = await usableEndpoint(sql, caller, id);
  if (row.owner !== caller.identity) {
    throw new Fault('forbidden', `Unauthorized access to endpoint ${id}`, { args: [id] });
  }
  return row;
}

/** Throws Fault function_not_permitted unless the endpoint takes the function. */
export function checkPermitted(endpoint: EndpointRow, functionId: string): void {
  if (endpoint.allowed_functions === null || endpoint.allowed_functions.includes(functionId)) return;
  throw new Fault(
    'function_not_permitted',
    `Function ${functionId} not permitted on endpoint ${endpoint.id}`,
    {
      args: [functionId, endpoint.id],
    },
  );
}
