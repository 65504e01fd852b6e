// A small seeded generator for ties: the machine stays reproducible. Not for secrets. Pure.

/** Advances a seed (xorshift32); never 0 for a seed that is not 0. */
export function nextSeed(seed: number): number {
  let x = seed | 0 || 1;
  x ^= x << 13;
  x ^= x >>> 17;
  x ^= x << 5;
  return x >>> 0;
}

/** A number 0 ≤ x < 1 of a seed. */
export function fractionOf(seed: number): number {
  return (seed >>> 0) / 2 ** 32;
}
