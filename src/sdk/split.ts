// Cuts a long list of calls into pieces that each fit one request. Each call is put into text once.

/** Half of the 10 MB the service takes: room for what goes round them, and for a proxy's own limit. */
const MAX_BYTES = 5_000_000;
/** Calls in one request: enough that their number no longer matters for speed. */
const MAX_CALLS = 10_000;

export interface SplitLimits {
  readonly max_bytes: number;
  readonly max_calls: number;
}

/** JSON arrays that together hold every call once, in order. A single call larger than the limit goes alone, for
 *  the service to refuse. */
export function* splitCalls(
  calls: readonly unknown[],
  limits: SplitLimits = { max_bytes: MAX_BYTES, max_calls: MAX_CALLS },
): Generator<string, void> {
  const utf8 = new TextEncoder();
  let part: string[] = [];
  let bytes = 0;
  for (const call of calls) {
    const text = JSON.stringify(call);
    const size = utf8.encode(text).length + 1;
    if (part.length > 0 && (bytes + size > limits.max_bytes || part.length >= limits.max_calls)) {
      yield `[${part.join(',')}]`;
      part = [];
      bytes = 0;
    }
    part.push(text);
    bytes += size;
  }
  if (part.length > 0) yield `[${part.join(',')}]`;
}
