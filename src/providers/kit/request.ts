// Reads an ActionRequest: its shape, its limits, its hash. Extra keys are ignored, as every real provider does,
// and so is null for an optional field. Error texts follow the toolkit: `Field 'label': …`.
import { createHash } from 'node:crypto';
import { Ajv, type ErrorObject } from 'ajv';
import { Fault } from '../../errors.ts';
import type { JsonObject } from '../contract.ts';
import { parseDateTime, parseDuration, secondsDuration } from './duration.ts';

const PRINCIPAL =
  '^urn:globus:(auth:identity|groups:id):[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}$';
/** No text in the tables may hold the NUL character. */
const NO_NUL = '^[^\\u0000]*$';
const PRINCIPALS = {
  type: ['array', 'null'],
  uniqueItems: true,
  maxItems: 1_000,
  items: { type: 'string', pattern: PRINCIPAL },
};

const ACTION_REQUEST = {
  type: 'object',
  required: ['request_id', 'body'],
  properties: {
    request_id: { type: 'string', minLength: 1, maxLength: 512, pattern: NO_NUL },
    body: { type: 'object' },
    label: { type: ['string', 'null'], minLength: 1, maxLength: 64, pattern: NO_NUL },
    monitor_by: PRINCIPALS,
    manage_by: PRINCIPALS,
    allowed_clients: { type: ['array', 'null'], items: { type: 'string' } },
    deadline: { type: ['string', 'null'], maxLength: 64 },
    release_after: { type: ['string', 'number', 'null'], maxLength: 64, minimum: 0 },
  },
} as const;

interface RawRequest {
  readonly request_id: string;
  readonly body: JsonObject;
  readonly label?: string | null;
  readonly monitor_by?: readonly string[] | null;
  readonly manage_by?: readonly string[] | null;
  readonly deadline?: string | null;
  readonly release_after?: string | number | null;
}

const checkShape = new Ajv({ allowUnionTypes: true, allErrors: false, strict: true }).compile<RawRequest>(
  ACTION_REQUEST,
);

export interface ActionRequest {
  readonly request_id: string;
  readonly body: JsonObject;
  readonly label: string | null;
  /** In lower case. */
  readonly monitor_by: readonly string[];
  readonly manage_by: readonly string[];
  /** Milliseconds since 1970. */
  readonly deadline: number | null;
  readonly release_after: string;
  readonly release_after_ms: number;
  /** SHA-256 of the whole request as canonical JSON. */
  readonly hash: Buffer;
}

/** How long an ended action stays when its request does not say, and at most. */
const RELEASE_AFTER_DEFAULT = 'P30D';
const RELEASE_AFTER_MAX = 'P365D';
/** How deep a request may be nested. */
const MAX_DEPTH = 100;

function fieldFault(field: string, text: string): Fault {
  return new Fault('invalid_request', `Field '${field}': ${text}`);
}

function shapeFault(error: ErrorObject | undefined): Fault {
  const path = (error?.instancePath ?? '').slice(1).replaceAll('/', '.');
  if (error?.keyword === 'required')
    return fieldFault(String(error.params.missingProperty), 'field required');
  if (error?.keyword === 'pattern' && /_by\./.test(path)) {
    return fieldFault(
      path,
      'must be urn:globus:auth:identity:<uuid> or urn:globus:groups:id:<uuid>, one for each identity or group',
    );
  }
  return fieldFault(
    path,
    error?.keyword === 'pattern' ? 'must not hold NUL' : (error?.message ?? 'is invalid'),
  );
}

/** JSON with sorted keys and no spaces. Throws Fault when it is nested too deep. */
export function canonicalJson(value: unknown, depth = 0): string {
  if (depth > MAX_DEPTH) {
    throw new Fault('invalid_request', `The request is nested deeper than ${MAX_DEPTH} levels.`);
  }
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, depth + 1)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member, depth + 1)}`);
  return `{${members.join(',')}}`;
}

function releaseAfter(
  given: string | number | null | undefined,
): Pick<ActionRequest, 'release_after' | 'release_after_ms'> {
  // The interface's prose says seconds, its schema ISO 8601; both are in use.
  const text = typeof given === 'number' ? secondsDuration(given) : (given ?? RELEASE_AFTER_DEFAULT);
  const ms = parseDuration(text);
  if (ms === null) throw fieldFault('release_after', 'must be an ISO 8601 duration such as P30D or PT12H');
  const max_ms = parseDuration(RELEASE_AFTER_MAX) ?? 0;
  return ms > max_ms
    ? { release_after: RELEASE_AFTER_MAX, release_after_ms: max_ms }
    : { release_after: text, release_after_ms: ms };
}

function deadlineOf(given: string | null | undefined): number | null {
  if (given == null) return null;
  const at = parseDateTime(given);
  if (at === null) {
    throw fieldFault('deadline', 'must be a date and time such as 2030-01-31T12:00:00+00:00');
  }
  return at;
}

function lowerCase(names: readonly string[] | null | undefined): readonly string[] {
  return (names ?? []).map((name) => name.toLowerCase());
}

/** Reads a request as it came. Throws Fault invalid_request for the first thing that is wrong. */
export function readRequest(raw: unknown): ActionRequest {
  const hash = createHash('sha256').update(canonicalJson(raw)).digest();
  if (!checkShape(raw)) throw shapeFault(checkShape.errors?.[0]);
  return {
    request_id: raw.request_id,
    body: raw.body,
    label: raw.label ?? null,
    monitor_by: lowerCase(raw.monitor_by),
    manage_by: lowerCase(raw.manage_by),
    deadline: deadlineOf(raw.deadline),
    ...releaseAfter(raw.release_after),
    hash,
  };
}
