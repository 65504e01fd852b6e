// Waiting for a condition in tests: polled, bounded, and clear about what never came true.

/** Resolves with the first value of `probe` that is neither undefined, null nor false. */
export async function eventually<T>(
  what: string,
  probe: () => T | Promise<T>,
  limit_ms = 10_000,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = Date.now() + limit_ms;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== null && value !== false)
      return value as NonNullable<Exclude<T, false>>;
    if (Date.now() > deadline) throw new Error(`waited ${limit_ms} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
