// Calls providers: finds the one of an action, hands it the ports, and waits so long and no longer.
import type { ActionRow } from '../../db/actions.ts';
import { Fault } from '../../errors.ts';
import type { ActionProvider, ProviderPorts } from '../contract.ts';

export interface Calls {
  /** The provider of an action. Throws Fault provider_not_found. */
  readonly providerOf: (row: ActionRow) => ActionProvider;
  /** One call; Fault wait_timeout when there is no answer in time. `verb` is for that message. */
  readonly ask: <T>(
    row: ActionRow,
    verb: string,
    work: (provider: ActionProvider, ports: ProviderPorts) => Promise<T> | T,
  ) => Promise<T>;
  /** The watch over an action's tasks has spoken, or is of no use any more; a new one may be asked for. */
  readonly unwatch: (actionId: string) => void;
}

/** A provider gets so long to answer one call, in milliseconds. */
const LIMIT_MS = 60_000;

export function makeCalls(providers: ReadonlyMap<string, ActionProvider>, given: ProviderPorts): Calls {
  const watched = new Set<string>();
  // Providers ask to watch at every look; the one who watches is asked once.
  const ports: ProviderPorts = {
    ...given,
    watchTasks(actionId, taskIds) {
      if (watched.has(actionId)) return;
      watched.add(actionId);
      given.watchTasks(actionId, taskIds);
    },
  };
  const providerOf = (row: ActionRow): ActionProvider => {
    const provider = providers.get(row.provider);
    if (provider !== undefined) return provider;
    throw new Fault('provider_not_found', `The provider ${row.provider} of this action is gone.`);
  };
  return {
    providerOf,
    ask: async (row, verb, work) =>
      within(
        LIMIT_MS,
        Promise.resolve(work(providerOf(row), ports)),
        `${row.provider} did not answer ${verb} of ${row.action_id}`,
      ),
    unwatch: (actionId) => void watched.delete(actionId),
  };
}

/** The answer of `work`, or a Fault that may pass when there is none after `limit_ms`. The work is not stopped. */
async function within<T>(limit_ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    const late = new Fault('wait_timeout', `${what} within ${limit_ms / 1000} s.`);
    timer = setTimeout(() => reject(late), limit_ms);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
