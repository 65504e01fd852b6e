// The kit's contract: what an action provider is, what it is given and what it answers. One provider is one
// file that exports an ActionProvider; src/providers/index.ts lists them. Routes, authentication, idempotency,
// access lists, release and storage are the kit's (src/providers/host.ts) and are the same for all.
// Source of the rules: the ActionProvider API 1.0 (OpenAPI 2024-03-14.1) of the Globus action-provider-tools.
import type { Principal } from '../auth/principal.ts';
import type { ActionStatusName } from '../lifecycle.ts';
import type { TaskOptions } from '../protocol/messages.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** What a provider says of an action. */
export interface ActionState {
  readonly status: ActionStatusName;
  /** Shown to people, 1 to 64 characters. */
  readonly display_status?: string;
  /** SUCCEEDED: the result. FAILED and INACTIVE: {code, description, …}. ACTIVE: progress. */
  readonly details: JsonObject;
  /** Not ended: how long until looking again is worth it, in milliseconds. The kit chooses when absent. */
  readonly look_after_ms?: number;
}

/** An action as its provider sees it. */
export interface ActionRecord {
  readonly action_id: string;
  readonly creator: Principal['urn'];
  readonly body: JsonObject;
  readonly status: ActionStatusName;
  /** What the provider put aside for itself when it started the action; nobody else sees it. */
  readonly memo: JsonObject;
  /** Milliseconds since 1970. */
  readonly started_at: number;
}

export interface LogEntry {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly code: string;
  readonly description: string;
  readonly details?: JsonObject;
}

/** One task for the compute service. */
export interface TaskRequest {
  readonly function_id: string;
  readonly args: readonly Json[];
  readonly kwargs: JsonObject;
}

export interface TaskView {
  readonly task_id: string;
  readonly done: boolean;
  readonly status: string;
  /** Why it is where it is: "waiting: endpoint offline since …". */
  readonly reason: string;
  /** Of a success: the value, when it is JSON; `undefined` otherwise. */
  readonly output?: Json;
  /** Of a failure: the traceback or what the system says. */
  readonly exception?: string;
}

/** The doors a provider may use; the kit hands them in, tests hand in literals. */
export interface ProviderPorts {
  readonly now: () => number;
  /** Stores the tasks and answers their ids, in order. Idempotent by `key`: the same key answers the same ids.
   *  A task group that is not there yet is made for the caller. */
  readonly submitTasks: (
    caller: Pick<Principal, 'identity'>,
    request: {
      readonly key: string;
      readonly endpoint_id: string;
      readonly task_group_id?: string;
      readonly tasks: readonly TaskRequest[];
      readonly options: TaskOptions;
    },
  ) => Promise<readonly string[]>;
  readonly taskViews: (taskIds: readonly string[]) => Promise<readonly TaskView[]>;
  /** Ends queued and running tasks; ended ones stay as they are. */
  readonly cancelTasks: (taskIds: readonly string[], by: string) => Promise<void>;
  /** Asks the kit to look at the action again when these tasks have ended. A hint: the kit also looks by itself. */
  readonly watchTasks: (actionId: string, taskIds: readonly string[]) => void;
}

export interface StartRequest {
  readonly action_id: string;
  readonly caller: Pick<Principal, 'identity' | 'urn'>;
  readonly body: JsonObject;
}

export interface Started {
  readonly state: ActionState;
  readonly memo: JsonObject;
}

export interface ActionProvider {
  /** In the URL: /providers/<name>. */
  readonly name: string;
  readonly title: string;
  readonly subtitle?: string;
  readonly description: string;
  readonly keywords: readonly string[];
  /** True when every run has ended by the time it is answered. */
  readonly synchronous: boolean;
  /** JSON Schema of the body. */
  readonly input_schema: JsonObject;
  /** Scope a caller needs; the kit's common one when absent. */
  readonly scope?: string;
  /** More checks than the schema can say. Throws Fault('invalid_request', …). */
  readonly check?: (body: JsonObject) => void;
  /** Makes a new action's id; a UUID when absent. */
  readonly makeActionId?: (uuid: string) => string;
  /** The answer of work that needs nothing from outside, or null when this request is no such work. Then nothing
   *  is started: the action is stored with its result in one step. */
  readonly instant?: (request: StartRequest) => ActionState | null;
  /** Starts the work. Called again with the same action_id after a crash, so it must be idempotent by it. A Fault
   *  that cannot pass (src/errors.ts) refuses the request: then nothing may have been started. */
  readonly run: (request: StartRequest, ports: ProviderPorts) => Promise<Started>;
  /** Looks at an action that has not ended. Not called for synchronous providers. */
  readonly status: (action: ActionRecord, ports: ProviderPorts) => Promise<ActionState>;
  /** Ends the work; answers the state after it. Absent: cancel is answered "unsupported". */
  readonly cancel?: (action: ActionRecord, ports: ProviderPorts, by: string) => Promise<ActionState>;
  /** Goes on with an INACTIVE action once somebody says that what it waits for is done. Absent: the kit looks. */
  readonly resume?: (action: ActionRecord, ports: ProviderPorts) => Promise<Started>;
  /** Frees what the provider keeps for an ended action. */
  readonly release?: (action: ActionRecord, ports: ProviderPorts) => Promise<void>;
  /** More log lines than the kit's own. */
  readonly log?: (action: ActionRecord, ports: ProviderPorts) => Promise<readonly LogEntry[]>;
}
