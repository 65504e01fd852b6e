// A still diffraction image as a small photon-counting detector would record it: counting noise on a background,
// gaps between modules, and the reflections of one crystal in a random orientation. Pure: the seed decides all.
import type { FrameFacts, Image } from './mini-cbf.ts';

/** One reflection: where it falls, in pixels (the centre of the first is 0, 0), and how many counts it brings. */
export interface Reflection {
  readonly x: number;
  readonly y: number;
  readonly counts: number;
}

export interface Geometry {
  readonly width: number;
  readonly height: number;
  readonly wavelength_angstrom: number;
  readonly distance_mm: number;
  readonly pixel_mm: number;
  readonly beam_x: number;
  readonly beam_y: number;
}

export interface Still {
  readonly seed: number;
  readonly reflections: readonly Reflection[];
  /** Counts a pixel that a powder ring (ice) adds at its crest; 0 for none. */
  readonly ring: number;
}

type Vector = readonly [number, number, number];

/** Modules of 487 × 195 pixels with gaps of 7 and 17, as in PILATUS detectors. */
const MODULE = { width: 487, height: 195, gap_x: 7, gap_y: 17 };
/** Cell edges of the crystal, in ångström. */
const CELL: Vector = [58, 66, 91];
/** How far off the Ewald sphere a reflection still shows, in reciprocal ångström. */
const TOLERANCE = 2e-4;
/** Width (sigma) of a reflection on the detector, in pixels. */
const SPOT_SIGMA = 1;
/** Fewer counts than this would not stand out for certain; such reflections are left away, so the truth is sharp. */
const LEAST_COUNTS = 220;
/** Pixels that reflections keep from each other, and from gaps and edges. */
const APART = 9;
const MARGIN = 6;

/** Numbers 0 ≤ x < 1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The geometry of a frame of that size: beam in its middle. */
export function geometryOf(width: number, height: number): Geometry {
  return {
    width,
    height,
    wavelength_angstrom: 0.9795,
    distance_mm: 120,
    pixel_mm: 0.172,
    beam_x: width / 2 + 2.3,
    beam_y: height / 2 - 3.1,
  };
}

/** What the header of a frame says. */
export function factsOf(geometry: Geometry, name: string, taken_at: string): FrameFacts {
  const { wavelength_angstrom, distance_mm, pixel_mm, beam_x, beam_y } = geometry;
  return {
    name,
    detector: 'PILATUS3 300K, S/N 00-0000, simulated',
    taken_at,
    exposure_s: 0.01,
    wavelength_angstrom,
    distance_mm,
    pixel_mm,
    beam_x,
    beam_y,
    cutoff: 1_000_000,
  };
}

/** Is this pixel, or one at most `margin` away, in a gap between modules or outside the frame? */
function inGap(geometry: Geometry, x: number, y: number, margin = 0): boolean {
  const { width, height } = geometry;
  if (x < margin || y < margin || x >= width - margin || y >= height - margin) return true;
  const across = x % (MODULE.width + MODULE.gap_x);
  const down = y % (MODULE.height + MODULE.gap_y);
  const nearX = across >= MODULE.width - margin || (x > MODULE.width && across < margin);
  const nearY = down >= MODULE.height - margin || (y > MODULE.height && down < margin);
  return nearX || nearY;
}

/** The three rows of a random rotation (Shoemake's uniform quaternion). */
function randomRotation(random: () => number): readonly [Vector, Vector, Vector] {
  const [u, v, w] = [random(), 2 * Math.PI * random(), 2 * Math.PI * random()];
  const [a, b] = [Math.sqrt(1 - u), Math.sqrt(u)];
  const [x, y, z, t] = [a * Math.sin(v), a * Math.cos(v), b * Math.sin(w), b * Math.cos(w)];
  return [
    [1 - 2 * (y * y + z * z), 2 * (x * y - z * t), 2 * (x * z + y * t)],
    [2 * (x * y + z * t), 1 - 2 * (x * x + z * z), 2 * (y * z - x * t)],
    [2 * (x * z - y * t), 2 * (y * z + x * t), 1 - 2 * (x * x + y * y)],
  ];
}

/** Where a diffracted ray along `to` (any length) meets the detector, in pixels; null: it does not. */
function meeting(geometry: Geometry, to: Vector): { x: number; y: number } | null {
  if (to[2] <= 0) return null;
  const scale = geometry.distance_mm / (to[2] * geometry.pixel_mm);
  return { x: geometry.beam_x - 0.5 + to[0] * scale, y: geometry.beam_y - 0.5 + to[1] * scale };
}

/**
 * The lattice points next to the Ewald sphere on one row of the reciprocal lattice: from `start` (seen from the
 * sphere's centre) in steps of `step`.
 */
function nearSphere(start: Vector, step: Vector, radius: number): readonly Vector[] {
  const dot = start[0] * step[0] + start[1] * step[1] + start[2] * step[2];
  const square = step[0] ** 2 + step[1] ** 2 + step[2] ** 2;
  const under = dot ** 2 - square * (start[0] ** 2 + start[1] ** 2 + start[2] ** 2 - radius ** 2);
  if (under < 0) return [];
  const roots = [-1, 1].map((sign) => Math.round((sign * Math.sqrt(under) - dot) / square));
  return [...new Set(roots)].map((l) => [
    start[0] + l * step[0],
    start[1] + l * step[1],
    start[2] + l * step[2],
  ]);
}

/** The reflections of one crystal that are sure to be seen: strong enough, whole and apart from each other. */
export function reflectionsOf(geometry: Geometry, seed: number): readonly Reflection[] {
  const random = seededRandom(seed);
  const [row0, row1, row2] = randomRotation(random);
  const axis = (of: 0 | 1 | 2): Vector => [row0[of] / CELL[of], row1[of] / CELL[of], row2[of] / CELL[of]];
  const [a, b, c] = [axis(0), axis(1), axis(2)];
  const strength = 2000 + 6000 * random();
  const radius = 1 / geometry.wavelength_angstrom;
  const corner = Math.hypot(geometry.width, geometry.height) * 0.5 * geometry.pixel_mm;
  const best = 2 * radius * Math.sin(Math.atan(corner / geometry.distance_mm) / 2);
  const [hs, ks] = [Math.floor(best * CELL[0]), Math.floor(best * CELL[1])];
  const found: Reflection[] = [];
  for (let h = -hs; h <= hs; h++) {
    for (let k = -ks; k <= ks; k++) {
      const start: Vector = [h * a[0] + k * b[0], h * a[1] + k * b[1], h * a[2] + k * b[2] + radius];
      for (const to of nearSphere(start, c, radius)) {
        const off = Math.abs(Math.hypot(...to) - radius);
        const at = meeting(geometry, to);
        if (at === null || off > TOLERANCE || inGap(geometry, at.x, at.y, MARGIN)) continue;
        // Wilson's distribution of intensities, falling off with resolution (B = 25 square ångström).
        const resolution = to[0] ** 2 + to[1] ** 2 + (to[2] - radius) ** 2;
        const intensity = -Math.log(1 - random()) * Math.exp(-12.5 * resolution);
        const counts = Math.round(strength * intensity * (1 - (off / TOLERANCE) ** 2));
        if (counts >= LEAST_COUNTS) found.push({ ...at, counts });
      }
    }
  }
  return apart(geometry, found);
}

/** Drops what lies behind the beam stop or too close to a stronger reflection. */
function apart(geometry: Geometry, found: readonly Reflection[]): readonly Reflection[] {
  const kept: Reflection[] = [];
  for (const one of [...found].sort((a, b) => b.counts - a.counts)) {
    const free = kept.every((other) => Math.hypot(one.x - other.x, one.y - other.y) >= APART);
    if (free && fromBeam(geometry, one.x, one.y) > 30) kept.push(one);
  }
  return kept;
}

function fromBeam(geometry: Geometry, x: number, y: number): number {
  return Math.hypot(x + 0.5 - geometry.beam_x, y + 0.5 - geometry.beam_y);
}

/** Counts that a pixel is expected to have without crystal: air scatter, the wide ring of water, the beam stop. */
function backgroundAt(distance_px: number, ring: number): number {
  if (distance_px < 12) return 0.1;
  const air = 1.2 + 4 * Math.exp(-((distance_px / 110) ** 2));
  const water = 1.8 * Math.exp(-(((distance_px - 205) / 45) ** 2));
  return air + water + ring * Math.exp(-(((distance_px - 176) / 1.8) ** 2));
}

/** A number of counts where `mean` is expected (Poisson). */
function counted(mean: number, random: () => number): number {
  if (mean > 60) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  let chance = Math.exp(-mean);
  let left = random() - chance;
  let count = 0;
  while (left > 0 && count < 200) {
    count++;
    chance *= mean / count;
    left -= chance;
  }
  return count;
}

/** Counts to expect at each pixel before any reflection; -1 in the gaps. */
function expectedBackground(geometry: Geometry, ring: number): Float64Array {
  const { width, height } = geometry;
  const expected = new Float64Array(width * height).fill(-1);
  const columns = Array.from({ length: width }, (_, x) => x).filter((x) => !inGap(geometry, x, 0));
  // One number for each quarter of a pixel from the beam.
  const profile = Float64Array.from({ length: 4 * Math.ceil(Math.hypot(width, height)) + 8 }, (_, quarter) =>
    backgroundAt(quarter / 4, ring),
  );
  for (let y = 0; y < height; y++) {
    if (inGap(geometry, 0, y)) continue;
    for (const x of columns) {
      expected[y * width + x] = profile[Math.round(4 * fromBeam(geometry, x, y))] ?? 0;
    }
  }
  return expected;
}

/** The image that the detector records of a still. */
export function renderStill(geometry: Geometry, still: Still): Image {
  const { width, height } = geometry;
  const expected = expectedBackground(geometry, still.ring);
  for (const { x, y, counts } of still.reflections) {
    for (let row = Math.round(y) - 5; row <= Math.round(y) + 5; row++) {
      for (let column = Math.round(x) - 5; column <= Math.round(x) + 5; column++) {
        const square = (column - x) ** 2 + (row - y) ** 2;
        const share = Math.exp(-square / (2 * SPOT_SIGMA ** 2)) / (2 * Math.PI * SPOT_SIGMA ** 2);
        const at = row * width + column;
        expected[at] = (expected[at] ?? 0) + counts * share;
      }
    }
  }
  const random = seededRandom(still.seed ^ 0x5f3759df);
  const pixels = new Int32Array(width * height);
  for (let at = 0; at < pixels.length; at++) {
    const mean = expected[at] ?? 0;
    pixels[at] = mean < 0 ? -1 : counted(mean, random);
  }
  return { width, height, pixels };
}
