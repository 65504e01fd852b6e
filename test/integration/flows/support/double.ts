// The provider side of the action client, in memory: what a provider would do, idempotency included. It counts what
// was really started, and can be told to break at any call.
import { Fault } from '../../../../src/errors.ts';
import type { ActionCaller, ActionClient, ActionDocument } from '../../../../src/flows/ports.ts';
import type { JsonObject } from '../../../../src/providers/contract.ts';

export interface DoubleAction {
  readonly action_id: string;
  readonly request_id: string;
  readonly caller: ActionCaller;
  readonly body: JsonObject;
  document: ActionDocument;
  released: boolean;
}

type Verb = 'run' | 'status' | 'cancel' | 'release';

export interface ProviderDouble {
  readonly client: ActionClient;
  /** Everything that was ever started, in order. */
  readonly started: readonly DoubleAction[];
  readonly calls: Record<Verb, number>;
  /** Ends an action and tells the engines, as a provider of this service does. */
  end(
    action: DoubleAction,
    status: 'SUCCEEDED' | 'FAILED' | 'INACTIVE' | 'ACTIVE',
    details?: JsonObject,
    silent?: 'silent',
  ): void;
}

export interface DoubleOptions {
  /** How a new action is born; ACTIVE when absent. */
  readonly birth?: (body: JsonObject) => Pick<ActionDocument, 'status' | 'details'>;
  /** Called before (and after) each call has its effect; a throw is what the engine sees. */
  readonly before?: (verb: Verb, about: JsonObject) => void | Promise<void>;
  readonly after?: (verb: Verb, about: JsonObject) => void | Promise<void>;
}

export function makeDouble(options: DoubleOptions = {}): ProviderDouble {
  const started: DoubleAction[] = [];
  const byRequest = new Map<string, DoubleAction>();
  const byId = new Map<string, DoubleAction>();
  const listeners: ((actionId: string) => void)[] = [];
  const calls: Record<Verb, number> = { run: 0, status: 0, cancel: 0, release: 0 };

  const around = async <T>(verb: Verb, about: JsonObject, work: () => T): Promise<T> => {
    calls[verb] += 1;
    await options.before?.(verb, about);
    const result = work();
    await options.after?.(verb, about);
    return result;
  };
  const find = (id: string): DoubleAction => {
    const action = byId.get(id);
    if (action === undefined || action.released) throw new Fault('action_not_found', `no action ${id}`);
    return action;
  };
  const isEnded = ({ document }: DoubleAction): boolean =>
    document.status === 'SUCCEEDED' || document.status === 'FAILED';
  const set = (action: DoubleAction, status: ActionDocument['status'], details: JsonObject): void => {
    action.document = { ...action.document, status, details };
  };

  const client: ActionClient = {
    run: (_url, caller, { request_id, body }) =>
      around('run', { request_id, body }, () => {
        const known = byRequest.get(`${caller.identity} ${request_id}`);
        if (known !== undefined) return known.document;
        const action_id = `a-${started.length + 1}-${request_id}`;
        const { status, details } = options.birth?.(body) ?? { status: 'ACTIVE', details: {} };
        const action: DoubleAction = {
          action_id,
          request_id,
          caller,
          body,
          document: { action_id, status, details },
          released: false,
        };
        byRequest.set(`${caller.identity} ${request_id}`, action);
        byId.set(action_id, action);
        started.push(action);
        return action.document;
      }),
    status: (_url, _caller, id) => around('status', { id }, () => find(id).document),
    cancel: (_url, _caller, id) =>
      around('cancel', { id }, () => {
        const action = find(id);
        if (isEnded(action)) throw new Fault('state_conflict', 'it has ended');
        set(action, 'FAILED', { code: 'Cancelled', description: 'cancelled' });
        return action.document;
      }),
    release: (_url, _caller, id) =>
      around('release', { id }, () => {
        const action = find(id);
        if (!isEnded(action)) throw new Fault('state_conflict', 'it has not ended');
        action.released = true;
      }),
    onEnded: (listener) => listeners.push(listener),
  };
  return {
    client,
    started,
    calls,
    end(action, status, details = {}, silent) {
      set(action, status, details);
      if (silent === undefined) for (const listener of listeners) listener(action.action_id);
    },
  };
}
