// The only writer of HTTP error bodies. One Fault becomes the body that the protocol of the route speaks.
import type { ErrorRequestHandler, Response } from 'express';
import { FAULTS, Fault, asFault, type FaultItem } from '../../errors.ts';
import { databaseTrouble } from '../../db/connect.ts';
import type { Logger } from '../../log.ts';

export type Dialect = 'api' | 'compute' | 'flows' | 'provider';

type Body = Record<string, unknown>;

function joined(items: readonly FaultItem[] | undefined): string {
  return items?.map((item) => `${item.loc.join('.')}: ${item.msg}`).join('; ') ?? '';
}

/** A dialect without a place for it gets the remedy after what happened. */
function withRemedy(message: string, fault: Fault): string {
  return fault.extras.remedy === undefined ? message : `${message} ${fault.extras.remedy}`;
}

/** Error body by dialect. Sources: Compute ErrorResponse, Flows error envelope, ActionProvider error envelope. */
const BODIES: Record<Dialect, (fault: Fault) => Body> = {
  api: (fault) => ({
    code: fault.code,
    message: fault.message,
    whose: FAULTS[fault.code].whose,
    retry: FAULTS[fault.code].retry,
    ...(fault.extras.remedy === undefined ? {} : { remedy: fault.extras.remedy }),
    ...(fault.extras.items === undefined ? {} : { items: fault.extras.items }),
  }),
  compute: (fault) => ({
    status: 'Failed',
    code: FAULTS[fault.code].compute,
    error_args: fault.extras.args ?? [],
    http_status_code: fault.http,
    detail: fault.extras.items ?? fault.message,
    reason: fault.message,
  }),
  flows: (fault) => ({
    error: {
      code: FAULTS[fault.code].flows,
      detail: fault.extras.items ?? fault.message,
      message: fault.message,
    },
  }),
  provider: (fault) => ({
    code: FAULTS[fault.code].provider,
    description: withRemedy(
      fault.extras.items === undefined ? fault.message : joined(fault.extras.items),
      fault,
    ),
  }),
};

/** Answers a request with a fault, in the dialect of its route. */
export function sendFault(response: Response, fault: Fault, dialect: Dialect): void {
  if (fault.extras.retry_after_s !== undefined)
    response.set('Retry-After', String(fault.extras.retry_after_s));
  response.status(fault.http).json(BODIES[dialect](fault));
}

/** A body-parser error is the caller's: its `type` says which. */
function parserFault(error: unknown): Fault | null {
  const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : undefined;
  if (type === 'entity.too.large') {
    return new Fault('payload_too_large', 'The request body is larger than this route takes.', {
      remedy: 'Send fewer tasks per request, or pass large data by file or reference.',
    });
  }
  if (
    typeof type === 'string' &&
    (type.startsWith('entity.') || type.startsWith('encoding.') || type.startsWith('charset.'))
  ) {
    return new Fault('bad_json', 'The request body is not valid JSON.', { cause: error });
  }
  return error instanceof URIError ? new Fault('bad_json', 'The request path is not valid.') : null;
}

/** A database that is full or away is our trouble, passes, and must not read as a bug. */
function storeFault(error: unknown): Fault | null {
  const trouble = databaseTrouble(error);
  if (trouble === null) return null;
  if (trouble === 'full') {
    return new Fault('storage_full', 'The database has no space left; nothing of this request was kept.', {
      remedy: 'Free disk space on the service, then send the request again.',
      cause: error,
    });
  }
  return new Fault(
    'unavailable',
    'The database does not answer at the moment; nothing of this request was kept.',
    {
      remedy: 'Send the request again in a moment.',
      retry_after_s: 1,
      cause: error,
    },
  );
}

/** Express's last stop: every thrown value becomes one error body; what is ours is logged with its cause. */
export function failWith(dialect: Dialect, log: Logger): ErrorRequestHandler {
  return (error: unknown, request, response, next) => {
    if (response.headersSent) return next(error);
    const fault = parserFault(error) ?? storeFault(error) ?? asFault(error);
    if (fault.http >= 500)
      log.error({ err: fault.extras.cause ?? fault, path: request.path }, 'a request failed');
    sendFault(response, fault, dialect);
  };
}
