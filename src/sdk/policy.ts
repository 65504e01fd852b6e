// When a request may be sent again, and after how long. Only reads are: a repeated write could act twice.

/** Tries after the first one; with the waits below they end within about two seconds. */
export const MAX_RETRIES = 4;

/** A Retry-After longer than this is the caller's to wait out, not ours. */
const MAX_WAIT_MS = 5_000;
const FIRST_WAIT_MS = 100;

/** Answers that a later, equal request may not get: too many requests, and a service that is starting or behind a proxy. */
const PASSING = new Set([429, 502, 503, 504]);

export interface Attempt {
  readonly method: string;
  /** Retries made so far. */
  readonly retries: number;
  /** The answer's status; null when there was none. */
  readonly http: number | null;
  readonly retry_after_s?: number | undefined;
  /** 0 ≤ x < 1: spreads clients that failed together. */
  readonly fraction: number;
}

/** Milliseconds to wait before the next try; null for: give up and tell. */
export function retryDelay(attempt: Attempt): number | null {
  if (attempt.method !== 'GET' || attempt.retries >= MAX_RETRIES) return null;
  if (attempt.http !== null && !PASSING.has(attempt.http)) return null;
  if (attempt.retry_after_s !== undefined) {
    const asked = attempt.retry_after_s * 1000;
    return asked <= MAX_WAIT_MS ? asked : null;
  }
  return FIRST_WAIT_MS * 2 ** attempt.retries * (0.5 + attempt.fraction / 2);
}
