// Cuts a large submission into request bodies that the service takes. Each call is put into text once.
import type { Submission } from './tasks.ts';

/** Half of the 10 MB the service takes: room for what it adds, and for a proxy's own limit. */
const MAX_BYTES = 5_000_000;
/** Calls in one request: enough that their number no longer matters for speed. */
const MAX_CALLS = 10_000;

export interface SplitLimits {
  readonly max_bytes: number;
  readonly max_calls: number;
}

/** Bodies for POST /api/tasks, in order; together they hold every call once. A single call larger than the limit
 *  goes alone, for the service to refuse. No calls: one body, for the same reason. */
export function* splitCalls(
  request: Submission,
  limits: SplitLimits = { max_bytes: MAX_BYTES, max_calls: MAX_CALLS },
): Generator<string, void> {
  const utf8 = new TextEncoder();
  const { calls, idempotency_key, ...head } = request;
  let part: string[] = [];
  let bytes = 0;
  let parts = 0;

  const body = (last: boolean): string => {
    // A part's key comes from the whole's: repeating the whole repeats each part.
    const key = parts === 0 && last ? idempotency_key : `${idempotency_key}.${parts}`;
    const keyed = idempotency_key === undefined ? head : { ...head, idempotency_key: key };
    parts++;
    return `${JSON.stringify(keyed).slice(0, -1)},"calls":[${part.join(',')}]}`;
  };

  for (const item of calls) {
    const text = JSON.stringify(item);
    const size = utf8.encode(text).length + 1;
    if (part.length > 0 && (bytes + size > limits.max_bytes || part.length >= limits.max_calls)) {
      yield body(false);
      part = [];
      bytes = 0;
    }
    part.push(text);
    bytes += size;
  }
  yield body(true);
}
