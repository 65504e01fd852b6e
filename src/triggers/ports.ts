// The contract of a trigger kind, and the doors the trigger host is given.
// An event source runs where the data is: it stores before it decides, and resumes from a durable cursor.
import type { Logger } from '../log.ts';
import type { Json, JsonObject } from '../providers/contract.ts';

/** A CloudEvents 1.0 envelope. `id` is deterministic: the same fact seen twice has the same id. */
export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject?: string;
  /** RFC 3339. */
  readonly time?: string;
  readonly datacontenttype?: 'application/json';
  readonly data?: Json;
  /** Extension attributes of a sender, kept as they came. */
  readonly [extension: string]: Json | undefined;
}

/** What a source can do: store events (resolves only when they are durable) and keep its cursor. */
export interface SourceContext {
  readonly trigger_id: string;
  /** When the trigger was made, in milliseconds since 1970. */
  readonly created_at: number;
  readonly log: Logger;
  readonly now: () => number;
  /** Milliseconds of a clock that never jumps; what settling is measured with. */
  readonly elapsed: () => number;
  /** Folders below which files may be watched; null: anywhere. */
  readonly watch_roots: readonly string[] | null;
  /** Stores events, together with the new cursor when one is given, in one transaction. */
  readonly emit: (events: readonly CloudEvent[], cursor?: JsonObject) => Promise<void>;
  /** Which of these event ids are stored already; the stored events are the source's memory. */
  readonly stored: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  /** Where this source stopped last time; null at its first start. */
  readonly loadCursor: () => Promise<JsonObject | null>;
  /** Facts for `trigger show`: last scan, files settling, next tick. Kept in memory. */
  readonly report: (health: JsonObject) => void;
  readonly signal: AbortSignal;
}

export interface TriggerKind {
  readonly kind: string;
  /** JSON Schema of the kind's own configuration. */
  readonly config: JsonObject;
  /** More checks than the schema can say. Throws Fault('invalid_request', …). */
  readonly check?: (config: JsonObject) => void;
  /** Why an event of this kind starts nothing though it is stored; null when it may start a run. */
  readonly declines?: (event: CloudEvent) => string | null;
  /** Runs until the signal aborts. Kinds that are only called (webhook) have none. */
  readonly run?: (config: JsonObject, context: SourceContext) => Promise<void>;
}

export interface StartRunRequest {
  /** The identity's UUID. */
  readonly owner: string;
  readonly flow_id: string;
  /** A UUID made from trigger and event: the same request_id answers the same run. */
  readonly request_id: string;
  readonly label: string;
  readonly body: JsonObject;
  readonly tags: readonly string[];
}

export type StartRunOutcome = { readonly run_id: string } | { readonly error: unknown };

/** What the host needs of the rest of the service. */
export interface TriggerPorts {
  readonly now: () => number;
  /** Starts a run as its owner; the same request_id answers the same run. A Fault that says `retry` is tried
   *  again later, any other Fault ends the event as failed. */
  readonly startRun: (request: StartRunRequest) => Promise<{ readonly run_id: string }>;
  /** The same for many at once, one outcome per request in the same order; used instead when present. */
  readonly startRuns?: (requests: readonly StartRunRequest[]) => Promise<readonly StartRunOutcome[]>;
  /** Throws Fault('flow_not_found', …) when the owner may not run the flow. Asked when a trigger is made. */
  readonly checkFlow?: (owner: string, flowId: string) => Promise<void>;
  /** Which of these runs have not ended. Needed for triggers with `max_in_flight`. */
  readonly activeRuns?: (runIds: readonly string[]) => Promise<readonly string[]>;
}
