// One request to the service: address, token, time limit, retries of reads, and the answer or a typed error.
// Needs only what a browser has too: fetch, URL, AbortSignal.
import {
  ApiError,
  RequestTimeoutError,
  UnexpectedAnswerError,
  UnreachableError,
  problemOf,
} from './errors.ts';
import { retryDelay } from './policy.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface RequestOptions {
  readonly query?: Query | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is: JSON text that the caller has already made. */
  readonly json?: string | undefined;
  readonly timeout_ms?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Instead of the client's own token; null sends none. */
  readonly token?: string | null | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Parsed JSON; undefined for an empty body. */
  readonly body: unknown;
}

export interface HttpOptions {
  /** Where the service is; a path in it is kept. */
  readonly url: string;
  readonly token?: string | undefined;
  /** For each request that does not say otherwise; 60 s. */
  readonly timeout_ms?: number | undefined;
  readonly fetch?: typeof fetch | undefined;
}

/** Sends requests to one service. `path` may also be a whole URL: then the client's token goes along only to the
 *  service's own origin. Throws ApiError, UnreachableError, RequestTimeoutError, UnexpectedAnswerError. */
export interface Http {
  readonly url: string;
  readonly request: (method: Method, path: string, options?: RequestOptions) => Promise<HttpAnswer>;
}

const TIMEOUT_MS = 60_000;

export function makeHttp(options: HttpOptions): Http {
  const base = options.url.replace(/\/+$/, '');
  const origin = new URL(base).origin;
  const send = options.fetch ?? fetch;

  async function once(method: Method, url: URL, request: RequestOptions): Promise<HttpAnswer> {
    const timeout_ms = request.timeout_ms ?? options.timeout_ms ?? TIMEOUT_MS;
    const limit = AbortSignal.timeout(timeout_ms);
    const body = request.json ?? (request.body === undefined ? undefined : JSON.stringify(request.body));
    const own = url.origin === origin ? options.token : undefined;
    const token = request.token === undefined ? own : request.token;
    try {
      const response = await send(url, {
        method,
        headers: {
          accept: 'application/json',
          ...(token === undefined || token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body }),
        // A redirect would carry the token to wherever it points.
        redirect: 'error',
        signal: request.signal === undefined ? limit : AbortSignal.any([limit, request.signal]),
      });
      return { status: response.status, headers: response.headers, body: parse(await response.text()) };
    } catch (error) {
      if (request.signal?.aborted === true) throw request.signal.reason;
      if (limit.aborted) throw new RequestTimeoutError(`${method} ${url.pathname}`, timeout_ms);
      throw new UnreachableError(url.origin, error);
    }
  }

  async function request(method: Method, path: string, options: RequestOptions = {}): Promise<HttpAnswer> {
    const url = new URL(/^https?:\/\//.test(path) ? path : base + path);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    for (let retries = 0; ; retries++) {
      const outcome = await once(method, url, options).catch((error: unknown) => {
        if (error instanceof UnreachableError) return error;
        throw error;
      });
      const answer = outcome instanceof UnreachableError ? null : outcome;
      if (answer !== null && answer.status < 400) return checked(answer, `${method} ${url.pathname}`);
      const retry_after_s = answer === null ? undefined : retryAfter(answer.headers);
      const wait_ms = retryDelay({
        method,
        retries,
        http: answer?.status ?? null,
        retry_after_s,
        fraction: Math.random(),
      });
      if (wait_ms !== null) {
        await pause(wait_ms, options.signal);
        continue;
      }
      if (outcome instanceof UnreachableError) throw outcome;
      throw new ApiError(
        problemOf({
          http: outcome.status,
          body: outcome.body,
          request: `${method} ${url.pathname}`,
          retry_after_s,
        }),
      );
    }
  }

  return { url: base, request };
}

/** What stands for a body that is not JSON. */
const NOT_JSON = Symbol('not JSON');

function parse(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return NOT_JSON;
  }
}

function checked(answer: HttpAnswer, request: string): HttpAnswer {
  if (answer.body !== NOT_JSON) return answer;
  throw new UnexpectedAnswerError(request, 'it is not JSON');
}

/** Retry-After in whole seconds; its date form is not used by this service. */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get('retry-after');
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) : undefined;
}

/** Waits; rejects with the signal's reason when it aborts first. */
export function pause(wait_ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, wait_ms);
    if (signal?.aborted === true) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}
