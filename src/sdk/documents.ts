// The documents of the service as its clients read them. Times are RFC 3339 text with `+00:00`; what a newer
// service adds is kept and not typed.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export interface Health {
  readonly status: string;
  readonly version: string;
  /** The service's clock, in milliseconds since 1970, to the second; null where the answer's Date is hidden. */
  readonly server_time: number | null;
}

export interface Whoami {
  readonly identity: string;
  readonly username: string;
  readonly scopes: readonly string[];
  readonly [key: string]: unknown;
}

export interface TokenView {
  readonly id: string;
  readonly name: string;
  readonly username?: string | null;
  readonly scopes: readonly string[];
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
}

export interface NewToken {
  readonly id: string;
  readonly name: string;
  /** Shown this once. */
  readonly token: string;
  readonly expires_at: string | null;
  readonly scopes: readonly string[];
}

export interface FunctionView {
  readonly id: string;
  readonly name: string;
  readonly description: string | null;
  readonly public: boolean;
  readonly created_at: string;
}

/** A function with its code, in the Compute protocol's shape. */
export interface FunctionDocument {
  readonly function_uuid: string;
  readonly function_name: string;
  /** Packed buffers, as registered. */
  readonly function_code: string;
  readonly description?: string | null;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** success and failed are ends; the others are on the way. */
export type TaskStatus =
  | 'received'
  | 'waiting-for-ep'
  | 'waiting-for-nodes'
  | 'waiting-for-launch'
  | 'running'
  | 'success'
  | 'failed';

export interface TaskView {
  readonly task_id: string;
  readonly function_id: string;
  readonly endpoint_id: string;
  readonly task_group_id: string;
  readonly status: TaskStatus;
  /** Why it is where it is. */
  readonly reason?: string | null;
  /** Was it asked to end? */
  readonly cancelled?: boolean;
  readonly attempt?: number | null;
  readonly submitted_at: string;
  /** From here on: of an ended task. */
  readonly started_at?: string | null;
  readonly completed_at?: string | null;
  readonly duration_s?: number | null;
  /** Where it ran: host, process and Python. */
  readonly worker?: unknown;
  /** The result's buffer as the worker packed it. */
  readonly result?: string;
  /** The result as a value, when it is one that JSON can say. */
  readonly output?: Json;
  /** The traceback, or what the system says. */
  readonly exception?: string;
}

export interface TaskLogs {
  readonly stdout: string;
  readonly stderr: string;
}

/** A task in the Compute protocol's shape. It has ended when completion_t is there. */
export interface TaskState {
  readonly task_id: string;
  readonly status: string;
  readonly completion_t?: string;
  readonly result?: string;
  readonly exception?: string;
}

export interface EndpointView {
  readonly id: string;
  readonly name: string;
  /** Its owner's identity. */
  readonly owner?: string;
  readonly status: 'online' | 'offline';
  /** Since when it is so. */
  readonly since: string | null;
  readonly workers: number;
  readonly idle_workers: number;
  readonly outstanding_tasks: number;
  readonly waiting_reason: string | null;
  /** Has its agent registered? */
  readonly registered?: boolean;
}

/** The Compute protocol's endpoint document; what an endpoint did not tell is absent or null. */
export interface EndpointDocument {
  readonly uuid: string;
  readonly name: string;
  readonly display_name?: string | null;
  readonly public?: boolean;
  readonly description?: string | null;
  readonly hostname?: string | null;
  readonly local_user?: string | null;
  readonly endpoint_version?: string | null;
  readonly python_version?: string | null;
  readonly [key: string]: unknown;
}

export interface NewEndpoint {
  readonly endpoint_id: string;
  /** For one registration, until expires_at. */
  readonly registration_code: string;
  readonly expires_at: string;
}

/** What a registered agent needs to dial the service. */
export interface EndpointLink {
  readonly endpoint_id: string;
  readonly link: { readonly address: string; readonly server_key: string };
  readonly secret: string;
}

export interface FlowDocument {
  readonly id: string;
  readonly title: string;
  readonly subtitle: string;
  readonly description: string;
  readonly keywords: readonly string[];
  readonly definition: JsonObject;
  readonly input_schema: JsonObject;
  readonly flow_owner: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly [key: string]: unknown;
}

export interface FlowCheck {
  readonly scopes?: JsonObject;
  readonly analysis?: { readonly number_of_possibilities?: number };
}

export type RunStatus = 'ACTIVE' | 'INACTIVE' | 'SUCCEEDED' | 'FAILED' | 'ENDED';

export interface RunDocument {
  readonly run_id: string;
  readonly flow_id: string;
  readonly flow_title: string;
  readonly label: string | null;
  readonly tags: readonly string[];
  readonly status: RunStatus;
  readonly display_status?: string | null;
  readonly start_time: string;
  readonly completion_time: string | null;
  /** `output` of a success; `code` and `description` otherwise. */
  readonly details: JsonObject | null;
  readonly [key: string]: unknown;
}

export interface LogEntry {
  readonly time: string;
  readonly code: string;
  readonly description: string;
  readonly details?: JsonObject;
}

export interface LogPage {
  readonly entries: readonly LogEntry[];
  readonly has_next_page: boolean;
  readonly marker?: string | null;
}

export type TriggerKindName = 'file' | 'cron' | 'webhook';

export interface TriggerView {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: JsonObject;
  readonly flow_id: string;
  readonly state: 'active' | 'paused';
  readonly input: JsonObject;
  readonly label: string;
  readonly created_at: string;
  /** Counts of its events by decision, and times of the last ones. */
  readonly stats: {
    readonly events: number;
    readonly fired: number;
    readonly waiting: number;
    readonly failed: number;
    readonly last_event_at: string | null;
    readonly last_fired_at: string | null;
    readonly [name: string]: number | string | null;
  };
  /** What the source says of itself: why it fired or not yet, the next tick, trouble. */
  readonly health: JsonObject;
  /** Of a webhook: where to post without a token; the secret in it is shown once, when it is made. */
  readonly hook?: { readonly path: string; readonly signed: boolean };
  readonly [key: string]: unknown;
}

export type TriggerDecision = 'waiting' | 'fired' | 'filtered' | 'paused' | 'failed';

export interface TriggerEvent {
  readonly event_id: string;
  readonly type: string;
  readonly subject: string | null;
  readonly stored_at: string;
  readonly decision: TriggerDecision;
  readonly decided_at: string | null;
  readonly reason: string | null;
  readonly run_id: string | null;
  /** The CloudEvents envelope. */
  readonly event: JsonObject;
  readonly [key: string]: unknown;
}

export interface FireReceipt {
  readonly event_id: string;
  readonly decision: TriggerDecision;
  readonly run_id: string | null;
  /** It was stored before; nothing new happened. */
  readonly duplicate: boolean;
  readonly reason: string | null;
}

export interface ProviderDescription {
  readonly name?: string;
  readonly title: string;
  readonly subtitle?: string | null;
  readonly description?: string | null;
  readonly synchronous: boolean;
  readonly input_schema?: JsonObject;
  readonly [key: string]: unknown;
}

export interface ActionDocument {
  readonly action_id: string;
  readonly status: 'ACTIVE' | 'INACTIVE' | 'SUCCEEDED' | 'FAILED';
  readonly creator_id: string;
  readonly details: JsonObject;
  readonly label?: string | null;
  readonly display_status?: string | null;
  readonly start_time?: string;
  readonly completion_time?: string | null;
  readonly [key: string]: unknown;
}

/** Has a task come to its end? */
export function taskEnded(task: Pick<TaskView, 'status'>): boolean {
  return task.status === 'success' || task.status === 'failed';
}

/** Has a run or an action come to its end? */
export function runEnded(run: { readonly status: string }): boolean {
  return run.status === 'SUCCEEDED' || run.status === 'FAILED' || run.status === 'ENDED';
}
