// Who may do what with an action: the creator everything, monitor_by may look, manage_by may end. Managing does
// not imply looking. Pure.
import type { Principal } from '../../auth/principal.ts';

export type ActionCaller = Pick<Principal, 'identity' | 'urn' | 'groups'>;

export type Right = 'monitor' | 'manage';

interface AccessLists {
  readonly creator: string;
  readonly monitor_by: readonly string[];
  readonly manage_by: readonly string[];
}

/** The names under which an action's lists may hold the caller, in lower case as the lists are kept. */
export function namesOf(caller: ActionCaller): readonly string[] {
  return [caller.urn, ...caller.groups].map((name) => name.toLowerCase());
}

/** May the caller do it? */
export function may(caller: ActionCaller, right: Right, action: AccessLists): boolean {
  if (action.creator === caller.identity) return true;
  const list = right === 'monitor' ? action.monitor_by : action.manage_by;
  return namesOf(caller).some((name) => list.includes(name));
}
