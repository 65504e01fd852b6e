// The doors through which the flow engine acts on the world. The service hands in the real ones.
import type { Principal } from '../auth/principal.ts';
import type { JsonObject } from '../providers/contract.ts';

/** An ActionStatus document as any provider answers it; only what the engine reads is typed. */
export interface ActionDocument {
  readonly action_id: string;
  readonly status: 'ACTIVE' | 'INACTIVE' | 'SUCCEEDED' | 'FAILED';
  readonly details: JsonObject;
  readonly [key: string]: unknown;
}

/** The identity under which an action is run. */
export type ActionCaller = Pick<Principal, 'identity' | 'urn' | 'username' | 'groups'>;

/** Calls action providers by URL: ours in process through the kit, others over HTTP. Throws Fault when the
 *  provider refuses; a refusal of `run` means that nothing was started. */
export interface ActionClient {
  /** `request_id` makes it once-only: the same id from the same caller answers the same action. */
  readonly run: (
    url: string,
    caller: ActionCaller,
    request: { readonly request_id: string; readonly body: JsonObject; readonly label?: string },
  ) => Promise<ActionDocument>;
  readonly status: (url: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  readonly cancel: (url: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  readonly release: (url: string, caller: ActionCaller, actionId: string) => Promise<void>;
  /** Tells of ended actions of our own providers, so that no flow waits for its next poll. A hint. */
  readonly onEnded: (listener: (actionId: string) => void) => void;
}
