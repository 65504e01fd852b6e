// A small cache bounded in bytes: the least recently put entries go first.

export interface Recent<Value> {
  put(key: string, value: Value, bytes: number): void;
  get(key: string): Value | undefined;
  /** Gets an entry and removes it. */
  take(key: string): Value | undefined;
}

export function makeRecent<Value>(max_bytes: number): Recent<Value> {
  const entries = new Map<string, { readonly value: Value; readonly bytes: number }>();
  let total = 0;

  const remove = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    entries.delete(key);
    total -= entry.bytes;
  };

  return {
    put(key, value, bytes) {
      remove(key);
      entries.set(key, { value, bytes });
      total += bytes;
      for (const oldest of entries.keys()) {
        if (total <= max_bytes) break;
        remove(oldest);
      }
    },
    get: (key) => entries.get(key)?.value,
    take(key) {
      const value = entries.get(key)?.value;
      remove(key);
      return value;
    },
  };
}
