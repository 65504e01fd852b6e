// The trigger document: what a request to make one must look like, and what is shown of one.
import { Validator } from 'jsonschema';
import type { EventRow } from '../db/trigger-events.ts';
import type { TriggerFigures, TriggerRow } from '../db/triggers.ts';
import { Fault, type FaultItem } from '../errors.ts';
import { identityUrn, isUuid } from '../ids.ts';
import type { JsonObject } from '../providers/contract.ts';
import { checkJson } from './cloud-event.ts';
import { KINDS } from './kinds/index.ts';
import { makeMatcher, type EventFilter } from './match.ts';
import type { TriggerKind } from './ports.ts';
import { checkLabel, checkTemplate } from './template.ts';

const globs: JsonObject = {
  anyOf: [
    { type: 'string', minLength: 1, maxLength: 256 },
    { type: 'array', minItems: 1, maxItems: 32, items: { type: 'string', minLength: 1, maxLength: 256 } },
  ],
};

/** JSON Schema of the body of a request that makes a trigger; `config` is the kind's own. */
export const CREATE_SCHEMA: JsonObject = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'kind', 'config', 'flow_id'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 128 },
    kind: { enum: [...KINDS.keys()] },
    config: { type: 'object' },
    flow_id: { type: 'string', minLength: 36, maxLength: 36 },
    input: {
      type: 'object',
      description:
        'Body of each run; a key that ends in .$ takes what its reference path names in the event.',
    },
    label: {
      type: 'string',
      maxLength: 256,
      description: 'Label of each run; {data.name} is replaced by what it names.',
    },
    filter: {
      type: 'object',
      additionalProperties: false,
      properties: { subject: globs, type: globs },
      description: 'Globs that an event must match; others are stored and start nothing.',
    },
    max_in_flight: { type: 'integer', minimum: 1, maximum: 100_000 },
    signing_secret: { type: 'string', minLength: 16, maxLength: 256 },
  },
};

/** A checked request to make a trigger. */
export interface NewTrigger {
  readonly name: string;
  readonly kind: TriggerKind;
  readonly config: JsonObject;
  readonly flow_id: string;
  readonly input: JsonObject;
  readonly label: string;
  readonly filter: EventFilter | null;
  readonly max_in_flight: number | null;
  readonly signing_secret: string | null;
}

const DEFAULT_INPUT: JsonObject = { 'event.$': '$.event' };
const DEFAULT_LABEL = '{trigger.name} {subject}';

function validate(value: unknown, schema: JsonObject, at: readonly string[]): void {
  const { errors } = new Validator().validate(value, schema);
  if (errors.length === 0) return;
  const items: FaultItem[] = errors.slice(0, 20).map((error) => ({
    loc: [...at, ...error.path],
    msg: error.message,
    type: error.name,
  }));
  const first = items[0];
  throw new Fault('invalid_request', `The trigger is not valid: ${first?.loc.join('.')}: ${first?.msg}`, {
    items,
  });
}

function listOf(value: unknown): readonly string[] | undefined {
  return value === undefined ? undefined : typeof value === 'string' ? [value] : (value as string[]);
}

function filterOf(raw: JsonObject | undefined): EventFilter | null {
  if (raw === undefined) return null;
  const subject = listOf(raw.subject);
  const type = listOf(raw.type);
  return { ...(subject === undefined ? {} : { subject }), ...(type === undefined ? {} : { type }) };
}

/** Reads a request to make a trigger. Throws Fault invalid_request that names what is wrong. */
export function parseNewTrigger(body: unknown): NewTrigger {
  validate(body, CREATE_SCHEMA, []);
  const given = body as JsonObject & { kind: string; config: JsonObject; name: string; flow_id: string };
  checkJson(given);
  const kind = KINDS.get(given.kind);
  if (kind === undefined) throw new Fault('invalid_request', `There is no trigger kind ${given.kind}.`);
  validate(given.config, kind.config, ['config']);
  kind.check?.(given.config);
  const flow_id = given.flow_id.toLowerCase();
  if (!isUuid(flow_id))
    throw new Fault('invalid_uuid', `flow_id is not an id: ${flow_id}`, { args: [flow_id] });
  if (given.signing_secret !== undefined && given.kind !== 'webhook')
    throw new Fault('invalid_request', 'Only a webhook has a signing secret.');
  const trigger: NewTrigger = {
    name: given.name,
    kind,
    config: given.config,
    flow_id,
    input: (given.input as JsonObject | undefined) ?? DEFAULT_INPUT,
    label: (given.label as string | undefined) ?? DEFAULT_LABEL,
    filter: filterOf(given.filter as JsonObject | undefined),
    max_in_flight: (given.max_in_flight as number | undefined) ?? null,
    signing_secret: (given.signing_secret as string | undefined) ?? null,
  };
  checkTemplate(trigger.input);
  checkLabel(trigger.label);
  makeMatcher({ id: '', ...trigger });
  return trigger;
}

/** What is shown of a trigger. */
export interface TriggerDocument {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: JsonObject;
  readonly flow_id: string;
  /** An identity URN. */
  readonly owner: string;
  readonly state: 'active' | 'paused';
  readonly input: JsonObject;
  readonly label: string;
  readonly filter: EventFilter | null;
  readonly max_in_flight: number | null;
  /** RFC 3339, like all times here. */
  readonly created_at: string;
  readonly stats: {
    readonly events: number;
    readonly fired: number;
    readonly filtered: number;
    readonly paused: number;
    readonly failed: number;
    readonly waiting: number;
    readonly last_event_at: string | null;
    readonly last_fired_at: string | null;
    readonly oldest_waiting_at: string | null;
  };
  /** What the source says of itself: why it fired or not yet, the next tick, trouble. */
  readonly health: JsonObject;
  /** Of a webhook: where to post without a token. The secret is shown once, when the trigger is made. */
  readonly hook?: { readonly path: string; readonly signed: boolean };
}

function timeText(at: Date | null): string | null {
  return at?.toISOString() ?? null;
}

/** The document of a trigger; `secret` is known only when it was just made. */
export function describeTrigger(
  row: TriggerRow,
  figures: TriggerFigures | null,
  health: JsonObject,
  secret: string | null,
): TriggerDocument {
  const { fired, filtered, paused, failed, waiting } = figures ?? {
    fired: 0,
    filtered: 0,
    paused: 0,
    failed: 0,
    waiting: 0,
  };
  return {
    id: row.id,
    name: row.name,
    kind: row.kind,
    config: row.config as JsonObject,
    flow_id: row.flow_id,
    owner: identityUrn(row.owner),
    state: row.state,
    input: row.input as JsonObject,
    label: row.label,
    filter: row.filter,
    max_in_flight: row.max_in_flight,
    created_at: row.created_at.toISOString(),
    stats: {
      events: fired + filtered + paused + failed + waiting,
      fired,
      filtered,
      paused,
      failed,
      waiting,
      last_event_at: timeText(figures?.last_event_at ?? null),
      last_fired_at: timeText(figures?.last_fired_at ?? null),
      oldest_waiting_at: timeText(figures?.oldest_waiting_at ?? null),
    },
    health,
    ...(row.hook_hash === null
      ? {}
      : { hook: { path: `/hooks/${row.id}/${secret ?? '…'}`, signed: row.signing_secret !== null } }),
  };
}

/** What is shown of an event. */
export interface EventDocument {
  readonly event_id: string;
  readonly type: string;
  readonly subject: string | null;
  readonly stored_at: string;
  /** `waiting` until it is decided. */
  readonly decision: 'waiting' | 'fired' | 'filtered' | 'paused' | 'failed';
  readonly decided_at: string | null;
  /** Why it was decided so; of a waiting event, why it was put off. */
  readonly reason: string | null;
  readonly run_id: string | null;
  readonly by_hand: boolean;
  readonly attempts: number;
  readonly retry_at: string | null;
  /** Length of the envelope as JSON text. */
  readonly bytes: number;
  /** The envelope; without its data when it is longer than 64 KiB. */
  readonly event: JsonObject;
}

export function describeEvent(row: EventRow): EventDocument {
  const event = row.event as JsonObject;
  return {
    event_id: row.event_id,
    type: typeof event.type === 'string' ? event.type : '',
    subject: typeof event.subject === 'string' ? event.subject : null,
    stored_at: row.stored_at.toISOString(),
    decision: row.decision ?? 'waiting',
    decided_at: timeText(row.decided_at),
    reason: row.reason,
    run_id: row.run_id,
    by_hand: row.by_hand,
    attempts: row.attempts,
    retry_at: row.decision === null ? timeText(row.retry_at) : null,
    bytes: row.bytes,
    event,
  };
}
