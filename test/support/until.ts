// Waits for a condition, with a bound: what tests do instead of sleeping.

/** Resolves once `test` answers something truthy; throws after `timeout_ms` saying what was waited for. */
export async function until<T>(
  what: string,
  test: () => Promise<T | undefined | false | null> | T | undefined | false | null,
  timeout_ms = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const found = await test();
    if (found !== undefined && found !== false && found !== null) return found;
    if (performance.now() > deadline) throw new Error(`waited ${timeout_ms} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
