// Bitmaps over the tasks of a chunk, as PostgreSQL writes bit(128): 128 characters, task i at place i.

export const MASK_BITS = 128;

/** Task indexes → bitmap. */
export function maskOf(indexes: Iterable<number>): string {
  const bits = new Uint8Array(MASK_BITS).fill(48);
  for (const index of indexes) bits[index] = 49;
  return Buffer.from(bits).toString('latin1');
}

/** Bitmap → task indexes, ascending. */
export function indexesOf(mask: string): number[] {
  const indexes: number[] = [];
  for (let at = mask.indexOf('1'); at !== -1; at = mask.indexOf('1', at + 1)) indexes.push(at);
  return indexes;
}

/** Is the task's bit set? */
export function hasBit(mask: string, index: number): boolean {
  return mask[index] === '1';
}
