// The one table of everything that can go wrong: its code, HTTP status, whose fault it is and whether trying
// again can help. Every protocol's error body is made from it (src/service/steps/fail.ts).

/** Whose fault: the caller's request, the user's function, this system, or the link to another system. */
export type Whose = 'caller' | 'user' | 'system' | 'link';

interface FaultRow {
  readonly http: number;
  readonly whose: Whose;
  /** May the same request succeed later, unchanged? */
  readonly retry: boolean;
  /** Name in a Globus Compute error body. */
  readonly compute: string;
  /** Name in a Globus Flows error body. */
  readonly flows: string;
  /** Name in an ActionProvider error body. */
  readonly provider: string;
}

function row(
  http: number,
  whose: Whose,
  retry: boolean,
  compute: string,
  flows: string,
  provider: string,
): FaultRow {
  return { http, whose, retry, compute, flows, provider };
}

export const FAULTS = {
  bad_json: row(400, 'caller', false, 'REQUEST_MALFORMED', 'BAD_REQUEST', 'BadActionRequest'),
  invalid_request: row(
    422,
    'caller',
    false,
    'REQUEST_MALFORMED',
    'UNPROCESSABLE_ENTITY',
    'RequestValidationError',
  ),
  invalid_uuid: row(400, 'caller', false, 'INVALID_UUID', 'UNPROCESSABLE_ENTITY', 'BadActionRequest'),
  payload_too_large: row(
    413,
    'caller',
    false,
    'BATCH_RUN_TOO_LARGE',
    'PAYLOAD_TOO_LARGE',
    'BadActionRequest',
  ),
  task_too_large: row(
    413,
    'caller',
    false,
    'TASK_PAYLOAD_TOO_LARGE',
    'PAYLOAD_TOO_LARGE',
    'BadActionRequest',
  ),
  function_too_large: row(
    413,
    'caller',
    false,
    'FUNCTION_TOO_LARGE',
    'PAYLOAD_TOO_LARGE',
    'BadActionRequest',
  ),
  unauthenticated: row(
    401,
    'caller',
    false,
    'USER_UNAUTHENTICATED',
    'AUTHENTICATION_ERROR',
    'UnauthorizedRequest',
  ),
  invalid_token: row(
    401,
    'caller',
    false,
    'INVALID_AUTH_TOKEN',
    'AUTHENTICATION_ERROR',
    'UnauthorizedRequest',
  ),
  missing_scope: row(403, 'caller', false, 'INSUFFICIENT_AUTH_SCOPE', 'MISSING_SCOPE', 'UnauthorizedRequest'),
  forbidden: row(403, 'caller', false, 'ENDPOINT_ACCESS_FORBIDDEN', 'FORBIDDEN', 'UnauthorizedRequest'),
  function_not_permitted: row(
    403,
    'caller',
    false,
    'FUNCTION_NOT_PERMITTED',
    'FORBIDDEN',
    'UnauthorizedRequest',
  ),
  route_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  function_not_found: row(404, 'caller', false, 'FUNCTION_NOT_FOUND', 'NOT_FOUND', 'ActionNotFound'),
  endpoint_not_found: row(404, 'caller', false, 'ENDPOINT_NOT_FOUND', 'NOT_FOUND', 'ActionNotFound'),
  task_not_found: row(404, 'caller', false, 'TASK_NOT_FOUND', 'NOT_FOUND', 'ActionNotFound'),
  task_group_not_found: row(404, 'caller', false, 'TASK_GROUP_NOT_FOUND', 'NOT_FOUND', 'ActionNotFound'),
  action_not_found: row(404, 'caller', false, 'TASK_NOT_FOUND', 'NOT_FOUND', 'ActionNotFound'),
  provider_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  flow_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  run_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  trigger_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  token_not_found: row(404, 'caller', false, 'UNKNOWN_ERROR', 'NOT_FOUND', 'ActionNotFound'),
  flow_input_invalid: row(
    400,
    'caller',
    false,
    'REQUEST_MALFORMED',
    'FLOW_INPUT_ERROR',
    'RequestValidationError',
  ),
  flow_invalid: row(
    422,
    'caller',
    false,
    'REQUEST_MALFORMED',
    'FLOW_VALIDATION_FAILED',
    'RequestValidationError',
  ),
  state_conflict: row(409, 'caller', false, 'RESOURCE_CONFLICT', 'STATE_CONFLICT', 'ActionConflict'),
  unsupported: row(400, 'caller', false, 'REQUEST_MALFORMED', 'BAD_REQUEST', 'BadActionRequest'),
  endpoint_locked: row(423, 'caller', true, 'RESOURCE_LOCKED', 'STATE_CONFLICT', 'ActionConflict'),
  registration_code_invalid: row(
    403,
    'caller',
    false,
    'ENDPOINT_ACCESS_FORBIDDEN',
    'FORBIDDEN',
    'UnauthorizedRequest',
  ),
  too_many_requests: row(
    429,
    'caller',
    true,
    'TOO_MANY_REQUESTS',
    'TOO_MANY_REQUESTS',
    'ActionProviderError',
  ),
  storage_full: row(507, 'system', true, 'INTERNAL_ERROR', 'STORAGE_FULL', 'ActionProviderError'),
  unavailable: row(503, 'system', true, 'INTERNAL_ERROR', 'UNAVAILABLE', 'ActionProviderError'),
  wait_timeout: row(504, 'system', true, 'INTERNAL_ERROR', 'TIMEOUT', 'ActionProviderError'),
  internal: row(500, 'system', true, 'INTERNAL_ERROR', 'INTERNAL_ERROR', 'ActionProviderError'),
} as const satisfies Record<string, FaultRow>;

export type FaultCode = keyof typeof FAULTS;

/** One problem found in what the caller sent; `loc` is the path to it. */
export interface FaultItem {
  readonly loc: readonly (string | number)[];
  readonly msg: string;
  readonly type: string;
}

export interface FaultExtras {
  /** What the caller can do about it; one sentence. */
  readonly remedy?: string;
  /** Each single problem, when there are several. */
  readonly items?: readonly FaultItem[];
  /** Arguments of the error, e.g. the id that was not found (Compute's `error_args`). */
  readonly args?: readonly (string | number)[];
  /** Seconds after which to try again (Retry-After). */
  readonly retry_after_s?: number;
  /** Logged, never sent. */
  readonly cause?: unknown;
}

/** An error with a code from the table. `message` is shown to the caller, `cause` only logged. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly extras: FaultExtras;

  constructor(code: FaultCode, message: string, extras: FaultExtras = {}) {
    super(message, extras.cause === undefined ? undefined : { cause: extras.cause });
    this.name = 'Fault';
    this.code = code;
    this.extras = extras;
  }

  get http(): number {
    return FAULTS[this.code].http;
  }
}

/** Any thrown value as a Fault: known ones pass, unknown ones become `internal` with the cause kept for the log. */
export function asFault(error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault('internal', 'Something went wrong on our side; the log has the details.', {
    cause: error,
  });
}

/** The message of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Marks a branch that the types say cannot happen. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`);
}
