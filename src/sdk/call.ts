// What the groups of calls share: typed answers, pages joined into one list, and long waits cut into short requests.
import { UnexpectedAnswerError } from './errors.ts';
import { pause, type Http, type Method, type RequestOptions } from './http.ts';

/** Sends a request and answers its JSON body, which the caller knows the shape of. */
export async function call<T>(
  http: Http,
  method: Method,
  path: string,
  options?: RequestOptions,
): Promise<T> {
  const answer = await http.request(method, path, options);
  if (typeof answer.body !== 'object' || answer.body === null) {
    throw new UnexpectedAnswerError(`${method} ${path}`, 'it has no document');
  }
  return answer.body as T;
}

/** One path segment. */
export function segment(id: string): string {
  return encodeURIComponent(id);
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Of the next page; absent or null on the last. */
  readonly marker?: string | null | undefined;
}

/** Pages a list can have before the client stops asking: a service that never ends is a fault, not a list. */
const MAX_PAGES = 10_000;

/** Follows markers until `limit` items are there or the list ends. */
export async function collect<T>(
  limit: number,
  next: (marker: string | undefined) => Promise<Page<T>>,
): Promise<T[]> {
  const items: T[] = [];
  let marker: string | undefined;
  for (let pages = 0; items.length < limit && pages < MAX_PAGES; pages++) {
    const page = await next(marker);
    items.push(...page.items);
    if (page.marker === undefined || page.marker === null || page.marker === '') break;
    marker = page.marker;
  }
  return items.slice(0, limit);
}

/** A long wait is made of requests of at most this long, so that no proxy in between gives up on one. */
const LONGEST_STEP_S = 20;
/** On top of the time a request asks to be held: for the answer's way back. */
export const WAIT_SLACK_MS = 15_000;
const FIRST_LOOK_MS = 200;

/** The first request of a wait is short, so that a watcher soon sees how things are. */
const FIRST_STEP_S = 1;

export interface WaitOptions<T = unknown> {
  /** For how long at most; for ever when absent. */
  readonly timeout_s?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Gets the thing each time it is looked at. */
  readonly onLook?: ((thing: T) => void) | undefined;
}

export interface Watched<T> {
  readonly ended: (thing: T) => boolean;
  /** Gets the seconds for which the service may hold the request, and what to send it with. */
  readonly look: (wait_s: number, request: RequestOptions) => Promise<T>;
  /** The longest rest between two looks; they start close together and come apart. 200 ms when absent, for looks
   *  that the service holds by itself. */
  readonly slowest_look_ms?: number;
}

/** Looks until the thing has ended or the time is over; answers the last thing seen. */
export async function waitFor<T>(options: WaitOptions<T>, watched: Watched<T>): Promise<T> {
  const end = options.timeout_s === undefined ? Infinity : Date.now() + options.timeout_s * 1000;
  const slowest_ms = watched.slowest_look_ms ?? FIRST_LOOK_MS;
  let rest_ms = FIRST_LOOK_MS;
  let step_s = FIRST_STEP_S;
  for (;;) {
    const asked_at = Date.now();
    const wait_s = Math.max(0, Math.min(step_s, Math.ceil((end - asked_at) / 1000)));
    const thing = await watched.look(wait_s, {
      timeout_ms: wait_s * 1000 + WAIT_SLACK_MS,
      signal: options.signal,
    });
    options.onLook?.(thing);
    const left_ms = end - Date.now();
    if (watched.ended(thing) || left_ms <= 0) return thing;
    const held_ms = Date.now() - asked_at;
    if (held_ms < rest_ms) await pause(Math.min(rest_ms - held_ms, left_ms), options.signal);
    rest_ms = Math.min(rest_ms * 1.5, slowest_ms);
    step_s = Math.min(step_s * 3, LONGEST_STEP_S);
  }
}
