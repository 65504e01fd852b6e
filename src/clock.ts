// The only doors to time and chance. Pure code gets `now` and random bytes as arguments; shells take these.
import { randomBytes, randomUUID } from 'node:crypto';

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

export interface Chance {
  bytes(count: number): Buffer;
  uuid(): string;
  /** 0 ≤ x < 1. */
  fraction(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

export const systemChance: Chance = {
  bytes: (count) => randomBytes(count),
  uuid: () => randomUUID(),
  fraction: () => randomBytes(4).readUInt32LE(0) / 2 ** 32,
};

/**
 * Time stamps on the wire: `+00:00`, never `Z`, six fraction digits. Clients on Python 3.9 and 3.10 read them
 * with datetime.fromisoformat, which knows neither `Z` nor other fraction lengths than 3 and 6.
 */
export function wireTime(at: Date | number): string {
  return new Date(at).toISOString().replace(/\.(\d{3})Z$/, '.$1000+00:00');
}
