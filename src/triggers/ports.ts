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
}

/** What a source can do: store events (resolves only when they are durable) and keep its cursor. */
export interface SourceContext {
  readonly trigger_id: string;
  readonly log: Logger;
  readonly now: () => number;
  /** Stores events, together with the new cursor when one is given, in one transaction. */
  readonly emit: (events: readonly CloudEvent[], cursor?: JsonObject) => Promise<void>;
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
  /** Runs until the signal aborts. Kinds that are only called (webhook) have none. */
  readonly run?: (config: JsonObject, context: SourceContext) => Promise<void>;
}

/** What the host needs of the rest of the service. */
export interface TriggerPorts {
  readonly now: () => number;
  /** Starts a run as its owner; the same request_id answers the same run. */
  readonly startRun: (request: {
    readonly owner: string;
    readonly flow_id: string;
    readonly request_id: string;
    readonly label: string;
    readonly body: JsonObject;
    readonly tags: readonly string[];
  }) => Promise<{ readonly run_id: string }>;
}
