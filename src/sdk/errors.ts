// What can go wrong between the client and the service. A refusal keeps the service's own words; a silence says
// which address was silent. Every protocol's error body becomes one ApiError.
import type { FaultItem, Whose } from '../errors.ts';

export interface ApiProblem {
  readonly http: number;
  /** The service's word for it: `task_not_found`, `TASK_NOT_FOUND`, `ActionNotFound`, … by protocol. */
  readonly code: string;
  readonly message: string;
  readonly whose: Whose;
  readonly remedy?: string;
  /** Each single problem, when the service lists several. */
  readonly items: readonly FaultItem[];
  readonly retry_after_s?: number;
  /** The request it answers, e.g. `POST /api/tasks`. */
  readonly request: string;
}

/** The service answered, and the answer is no. */
export class ApiError extends Error {
  readonly problem: ApiProblem;

  constructor(problem: ApiProblem) {
    super(problem.message);
    this.name = 'ApiError';
    this.problem = problem;
  }

  get http(): number {
    return this.problem.http;
  }

  get code(): string {
    return this.problem.code;
  }

  get whose(): Whose {
    return this.problem.whose;
  }

  get remedy(): string | undefined {
    return this.problem.remedy;
  }
}

/** Nothing answers at the address, or the connection broke before an answer was there. */
export class UnreachableError extends Error {
  readonly url: string;

  constructor(url: string, cause: unknown) {
    super(`No answer from ${url}: ${rootReason(cause)}`, { cause });
    this.name = 'UnreachableError';
    this.url = url;
  }
}

/** The service was reached and did not answer within the time allowed. */
export class RequestTimeoutError extends Error {
  readonly timeout_ms: number;

  constructor(request: string, timeout_ms: number) {
    super(`${request} was not answered within ${timeout_ms / 1000} s.`);
    this.name = 'RequestTimeoutError';
    this.timeout_ms = timeout_ms;
  }
}

/** What was answered is not what this service says: a proxy's page, or another program on the port. */
export class UnexpectedAnswerError extends Error {
  constructor(request: string, why: string) {
    super(`The answer to ${request} is not one of this service: ${why}`);
    this.name = 'UnexpectedAnswerError';
  }
}

/** fetch wraps the reason: the innermost cause is the one that helps. Bounded, for causes may form a circle. */
function rootReason(error: unknown): string {
  let reason: unknown = error;
  for (let depth = 0; depth < 5; depth++) {
    if (!(reason instanceof Error) || reason.cause === undefined) break;
    reason = reason.cause;
  }
  if (!(reason instanceof Error)) return String(reason);
  // An AggregateError (IPv4 and IPv6 both refused) has an empty message and a code.
  return reason.message !== '' ? reason.message : 'code' in reason ? String(reason.code) : reason.name;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function itemsOf(value: unknown): readonly FaultItem[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isObject).map((item) => ({
    loc: Array.isArray(item['loc'])
      ? item['loc'].map((part) => (typeof part === 'number' ? part : String(part)))
      : [],
    msg: text(item['msg']) ?? 'not valid',
    type: text(item['type']) ?? 'value_error',
  }));
}

const WHOSE: readonly unknown[] = ['caller', 'user', 'system', 'link'] satisfies Whose[];

/**
 * An error body of any of the protocols → a problem. Shapes: ours {code,message,whose,remedy,items}; Compute
 * {code,detail,reason}; Flows {error:{code,detail,message}}; ActionProvider {code,description}.
 */
export function problemOf(answer: {
  readonly http: number;
  readonly body: unknown;
  readonly request: string;
  readonly retry_after_s?: number | undefined;
}): ApiProblem {
  const outer = isObject(answer.body) ? answer.body : {};
  const body = isObject(outer['error']) ? outer['error'] : outer;
  const whose = body['whose'];
  const remedy = text(body['remedy']);
  return {
    http: answer.http,
    code: text(body['code']) ?? `http_${answer.http}`,
    message:
      text(body['message']) ??
      text(body['reason']) ??
      text(body['description']) ??
      text(body['detail']) ??
      `The service answered with status ${answer.http}.`,
    whose: WHOSE.includes(whose) ? (whose as Whose) : answer.http < 500 ? 'caller' : 'system',
    ...(remedy === undefined ? {} : { remedy }),
    items: [body['items'], body['detail']].map(itemsOf).find((items) => items.length > 0) ?? [],
    ...(answer.retry_after_s === undefined ? {} : { retry_after_s: answer.retry_after_s }),
    request: answer.request,
  };
}
