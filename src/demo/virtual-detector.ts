// A detector that is not there: it plans a series of simulated stills, some of them blank and some spoilt, and
// writes them into a drop folder the ways real detectors do: most under a temporary name that is renamed when
// the file is whole, some slowly in place. The plan is pure; `runDetector` is its shell.
import { mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemChance, systemClock } from '../clock.ts';
import type { Chance, Clock } from '../clock.ts';
import { miniCbf } from './mini-cbf.ts';
import { paced, rest } from './pace.ts';
import { factsOf, geometryOf, reflectionsOf, renderStill, seededRandom } from './simulated-still.ts';
import type { Geometry, Reflection } from './simulated-still.ts';

/** What the stills function should make of a frame: spots enough, no spots, or a readable refusal. */
export type Expected = 'hit' | 'miss' | 'broken';

/** How a broken frame is spoilt. */
export type Damage = 'truncated' | 'empty' | 'garbage';
const DAMAGES: readonly Damage[] = ['truncated', 'empty', 'garbage'];

/** How a frame arrives: whole, by renaming, or growing in place. */
export type Delivery = 'rename' | 'in_place';

export interface FramePlan {
  readonly index: number;
  /** File name. */
  readonly name: string;
  readonly seed: number;
  readonly expected: Expected;
  readonly delivery: Delivery;
  /** Null for a good frame. */
  readonly damage: Damage | null;
  /** What was put on the frame; as many spots as there are should be found. */
  readonly reflections: readonly Reflection[];
  /** Counts at the crest of a powder ring; 0 for none. */
  readonly ring: number;
}

export interface DetectorPlan {
  readonly geometry: Geometry;
  readonly frames: readonly FramePlan[];
}

export interface PlanOptions {
  readonly count: number;
  readonly seed: number;
  /** Pixels; a PILATUS 300K's by default. */
  readonly width?: number;
  readonly height?: number;
  /** Shares of the frames, 0 to 1. */
  readonly hit_share?: number;
  readonly broken_share?: number;
  readonly in_place_share?: number;
  /** Start of the file names. */
  readonly prefix?: string;
}

/** The list in an order that the random numbers decide. */
function shuffled<T>(list: readonly T[], random: () => number): readonly T[] {
  return list
    .map((item) => ({ item, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** As many of each word as its share of `count` says, in random order; the first word gets what is left. */
function dealt<T>(
  count: number,
  rest: T,
  shares: readonly (readonly [T, number])[],
  random: () => number,
): readonly T[] {
  const words = shares
    .flatMap(([word, share]) => Array<T>(Math.round(share * count)).fill(word))
    .slice(0, count);
  return shuffled([...words, ...Array<T>(count - words.length).fill(rest)], random);
}

/** Crystals whose orientation shows few spots are turned on until they are hits beyond doubt. */
function hitReflections(geometry: Geometry, random: () => number): readonly Reflection[] {
  let best: readonly Reflection[] = [];
  for (let tries = 0; tries < 8 && best.length < 20; tries++) {
    const next = reflectionsOf(geometry, Math.floor(random() * 2 ** 32));
    if (next.length > best.length) best = next;
  }
  return best;
}

/** What the detector will write. The same options give the same frames, byte for byte. */
export function planFrames(options: PlanOptions): DetectorPlan {
  const { count, seed, width = 487, height = 619, prefix = 'still' } = options;
  const { hit_share = 0.6, broken_share = 0.12, in_place_share = 0.2 } = options;
  const geometry = geometryOf(width, height);
  const random = seededRandom(seed);
  const shares = [
    ['broken', broken_share],
    ['hit', hit_share],
  ] as const;
  const expectations = dealt<Expected>(count, 'miss', shares, random);
  const deliveries = dealt<Delivery>(count, 'rename', [['in_place', in_place_share]], random);
  const digits = Math.max(4, String(count).length);
  let broken = 0;
  const frames = expectations.map((expected, index): FramePlan => {
    const reflections = expected === 'hit' ? hitReflections(geometry, random) : [];
    // Every third blank frame shows a powder ring: bright, and yet no hit.
    const ring = expected === 'miss' && random() < 1 / 3 ? 8 + 20 * random() : 0;
    return {
      index,
      name: `${prefix}_${String(index + 1).padStart(digits, '0')}.cbf`,
      seed: Math.floor(random() * 2 ** 32),
      expected,
      delivery: deliveries[index] ?? 'rename',
      damage: expected === 'broken' ? (DAMAGES[broken++ % DAMAGES.length] ?? 'empty') : null,
      reflections,
      ring,
    };
  });
  return { geometry, frames };
}

/** The bytes of one frame's file, damage included. `taken_at`: ISO 8601 without zone, for the header. */
export function frameBytes(plan: DetectorPlan, frame: FramePlan, taken_at: string): Buffer {
  if (frame.damage === 'empty') return Buffer.alloc(0);
  if (frame.damage === 'garbage') {
    const random = seededRandom(frame.seed);
    return Buffer.from(Array.from({ length: 4096 }, () => Math.floor(random() * 256)));
  }
  const facts = factsOf(plan.geometry, frame.name.replace(/\.cbf$/, ''), taken_at);
  const whole = miniCbf(renderStill(plan.geometry, frame), facts);
  return frame.damage === 'truncated' ? whole.subarray(0, Math.floor(whole.length * 0.6)) : whole;
}

export interface WrittenFrame {
  readonly frame: FramePlan;
  readonly path: string;
  readonly bytes: number;
  /** When the file was whole: milliseconds since 1970. */
  readonly written_at: number;
}

export interface DetectorOptions {
  /** The drop folder; made when it is missing. */
  readonly dir: string;
  /** Frames a second; 0 for as fast as they can be made. */
  readonly rate_hz: number;
  /** How long a frame that is written in place takes; it grows in five pieces. */
  readonly slow_ms: number;
  /** Aborted: no more frames, and what is half written is removed. */
  readonly signal: AbortSignal;
  readonly onWritten?: (written: WrittenFrame) => void;
  readonly clock?: Clock;
  readonly chance?: Chance;
}

const PIECES = 5;
/** Frames that grow in place at the same time, at most. */
const MOST_SLOW = 4;

async function writeByRename(path: string, data: Buffer, suffix: string): Promise<void> {
  const waiting = `${path}.${suffix}.tmp`;
  try {
    await writeFile(waiting, data);
    await rename(waiting, path);
  } catch (error) {
    await rm(waiting, { force: true });
    throw error;
  }
}

/** Answers false when the signal came first; the file is then gone again. */
async function writeInPlace(
  path: string,
  data: Buffer,
  slow_ms: number,
  signal: AbortSignal,
): Promise<boolean> {
  const size = Math.ceil(data.length / PIECES);
  const file = await open(path, 'w');
  try {
    for (let piece = 0; piece < PIECES && !signal.aborted; piece++) {
      if (piece > 0) await rest(slow_ms / (PIECES - 1), signal);
      await file.writeFile(data.subarray(piece * size, (piece + 1) * size));
    }
  } finally {
    await file.close();
  }
  if (signal.aborted) await rm(path, { force: true });
  return !signal.aborted;
}

/**
 * Writes the planned frames into the folder and answers them in the order in which they became whole. Rejects
 * when the folder cannot be written to.
 */
export async function runDetector(
  plan: DetectorPlan,
  options: DetectorOptions,
): Promise<readonly WrittenFrame[]> {
  const { dir, rate_hz, slow_ms, signal, onWritten, clock = systemClock, chance = systemChance } = options;
  await mkdir(dir, { recursive: true });
  const written: WrittenFrame[] = [];
  const slow = new Set<Promise<void>>();
  const failures: unknown[] = [];

  const done = (frame: FramePlan, path: string, data: Buffer): void => {
    const fact: WrittenFrame = { frame, path, bytes: data.length, written_at: clock.now() };
    written.push(fact);
    onWritten?.(fact);
  };
  for await (const frame of paced(plan.frames, rate_hz, signal, clock)) {
    const path = join(dir, frame.name);
    const taken_at = new Date(clock.now()).toISOString().replace('Z', '');
    const data = frameBytes(plan, frame, taken_at);
    if (frame.delivery === 'rename') {
      await writeByRename(path, data, chance.bytes(4).toString('hex'));
      done(frame, path, data);
    } else {
      const growing: Promise<void> = writeInPlace(path, data, slow_ms, signal)
        .then((whole) => (whole ? done(frame, path, data) : undefined))
        .catch((error: unknown) => void failures.push(error))
        .finally(() => slow.delete(growing));
      slow.add(growing);
      if (slow.size >= MOST_SLOW) await Promise.race(slow);
    }
    if (failures.length > 0) break;
  }
  await Promise.all(slow);
  if (failures.length > 0) throw failures[0];
  return written;
}
