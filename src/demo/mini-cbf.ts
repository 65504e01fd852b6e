// Writes detector frames as miniCBF: a text header in PILATUS style, then the image in byte-offset compression.
// Other readers (fabio, dxtbx, CBFlib) take these files for what they are.
// Format: CBF/imgCIF, International Tables for Crystallography G 2.3; header convention PILATUS_1.2.
import { createHash } from 'node:crypto';

/** The experiment, as the header tells it. */
export interface FrameFacts {
  /** Name of the data block: letters, digits and `_`. */
  readonly name: string;
  readonly detector: string;
  /** ISO 8601, as the header wants it: no zone. */
  readonly taken_at: string;
  readonly exposure_s: number;
  readonly wavelength_angstrom: number;
  readonly distance_mm: number;
  readonly pixel_mm: number;
  /** Where the direct beam meets the detector, in pixels from the corner of the first. */
  readonly beam_x: number;
  readonly beam_y: number;
  /** Counts from which on a pixel is overloaded. */
  readonly cutoff: number;
}

export interface Image {
  readonly width: number;
  readonly height: number;
  /** Row by row; below 0 is masked. */
  readonly pixels: Int32Array;
}

const EOL = '\r\n';
/** Marks the start of the binary section. */
const BINARY_START = Buffer.from([0x0c, 0x1a, 0x04, 0xd5]);
/** Zero bytes after the image, so that a reader which maps whole pages finds something there. */
const PADDING = 4095;

/** Bytes that a step from one pixel to the next takes: 1, or an escape (0x80, 0x8000, …) and a wider number. */
function stepBytes(step: number): 1 | 3 | 7 | 15 {
  const size = Math.abs(step);
  if (size <= 0x7f) return 1;
  if (size <= 0x7fff) return 3;
  return size <= 0x7fffffff ? 7 : 15;
}

function writeStep(out: Buffer, at: number, step: number): number {
  const bytes = stepBytes(step);
  if (bytes === 1) return out.writeInt8(step, at);
  out.writeUInt8(0x80, at);
  if (bytes === 3) return out.writeInt16LE(step, at + 1);
  out.writeUInt16LE(0x8000, at + 1);
  if (bytes === 7) return out.writeInt32LE(step, at + 3);
  out.writeUInt32LE(0x80000000, at + 3);
  return out.writeBigInt64LE(BigInt(step), at + 7);
}

/** Pixels → byte-offset compression: each pixel as the step from the one before. */
export function byteOffset(pixels: Int32Array): Buffer {
  let bytes = 0;
  let last = 0;
  for (const value of pixels) {
    bytes += stepBytes(value - last);
    last = value;
  }
  const out = Buffer.alloc(bytes);
  let at = 0;
  last = 0;
  for (const value of pixels) {
    at = writeStep(out, at, value - last);
    last = value;
  }
  return out;
}

function headerLines(facts: FrameFacts): readonly string[] {
  const pixel = `${Math.round(facts.pixel_mm * 1000)}e-6 m`;
  return [
    `# Detector: ${facts.detector}`,
    `# ${facts.taken_at}`,
    `# Pixel_size ${pixel} x ${pixel}`,
    '# Silicon sensor, thickness 0.000450 m',
    `# Exposure_time ${facts.exposure_s.toFixed(7)} s`,
    `# Exposure_period ${facts.exposure_s.toFixed(7)} s`,
    `# Count_cutoff ${facts.cutoff} counts`,
    `# Wavelength ${facts.wavelength_angstrom.toFixed(5)} A`,
    `# Detector_distance ${(facts.distance_mm / 1000).toFixed(5)} m`,
    `# Beam_xy (${facts.beam_x.toFixed(2)}, ${facts.beam_y.toFixed(2)}) pixels`,
    '# Detector_2theta 0.0000 deg.',
    '# Start_angle 0.0000 deg.',
    '# Angle_increment 0.0000 deg.',
  ];
}

/** One frame as the bytes of a .cbf file. `image.pixels` must hold width × height values. */
export function miniCbf(image: Image, facts: FrameFacts): Buffer {
  const body = byteOffset(image.pixels);
  const text = [
    '###CBF: VERSION 1.5, Pilotwave virtual detector',
    '',
    `data_${facts.name}`,
    '',
    '_array_data.header_convention "PILATUS_1.2"',
    '_array_data.header_contents',
    ';',
    ...headerLines(facts),
    ';',
    '',
    '_array_data.data',
    ';',
    '--CIF-BINARY-FORMAT-SECTION--',
    'Content-Type: application/octet-stream;',
    '     conversions="x-CBF_BYTE_OFFSET"',
    'Content-Transfer-Encoding: BINARY',
    `X-Binary-Size: ${body.length}`,
    'X-Binary-ID: 1',
    'X-Binary-Element-Type: "signed 32-bit integer"',
    'X-Binary-Element-Byte-Order: LITTLE_ENDIAN',
    `Content-MD5: ${createHash('md5').update(body).digest('base64')}`,
    `X-Binary-Number-of-Elements: ${image.pixels.length}`,
    `X-Binary-Size-Fastest-Dimension: ${image.width}`,
    `X-Binary-Size-Second-Dimension: ${image.height}`,
    `X-Binary-Size-Padding: ${PADDING}`,
    '',
    '',
  ].join(EOL);
  const end = ['', '--CIF-BINARY-FORMAT-SECTION----', ';', '', ''].join(EOL);
  return Buffer.concat([
    Buffer.from(text, 'latin1'),
    BINARY_START,
    body,
    Buffer.alloc(PADDING),
    Buffer.from(end),
  ]);
}
