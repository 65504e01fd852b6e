// Writes an image in the other formats that the stills function reads, as plainly as each allows.
import type { Image } from '../../../../src/demo/mini-cbf.ts';

/** Little-endian numbers of the image; 16 bits cannot hold masked pixels, so they become 0. */
function numbers(image: Image, bits: 16 | 32): Buffer {
  const out = Buffer.alloc((image.pixels.length * bits) / 8);
  image.pixels.forEach((value, at) => {
    if (bits === 32) out.writeInt32LE(value, at * 4);
    else out.writeUInt16LE(Math.min(Math.max(value, 0), 65535), at * 2);
  });
  return out;
}

/** PackBits: every row of bytes as runs of at most 128 that are copied. */
function packBits(raw: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < raw.length;) {
    let same = 1;
    while (same < 128 && at + same < raw.length && raw[at + same] === raw[at]) same++;
    if (same > 1) {
      parts.push(Buffer.from([257 - same, raw[at] ?? 0]));
      at += same;
    } else {
      const piece = raw.subarray(at, at + 5);
      parts.push(Buffer.from([piece.length - 1]), piece);
      at += piece.length;
    }
  }
  return Buffer.concat(parts);
}

/** One strip; `description` goes where PILATUS detectors put their header. */
export function tiff(image: Image, bits: 16 | 32, packed: boolean, description: string): Buffer {
  const raw = numbers(image, bits);
  const data = packed ? packBits(raw) : raw;
  const text = Buffer.from(`${description}\0`, 'latin1');
  const directory = 8 + text.length + data.length;
  const entries = [
    [256, 4, 1, image.width],
    [257, 4, 1, image.height],
    [258, 3, 1, bits],
    [259, 3, 1, packed ? 32773 : 1],
    [270, 2, text.length, 8],
    [273, 4, 1, 8 + text.length],
    [277, 3, 1, 1],
    [278, 4, 1, image.height],
    [279, 4, 1, data.length],
    [339, 3, 1, bits === 32 ? 2 : 1],
  ] as const;
  const head = Buffer.alloc(8);
  head.write('II*\0', 'latin1');
  head.writeUInt32LE(directory, 4);
  const tail = Buffer.alloc(2 + entries.length * 12 + 4);
  tail.writeUInt16LE(entries.length);
  entries.forEach(([tag, kind, count, value], index) => {
    const at = 2 + index * 12;
    tail.writeUInt16LE(tag, at);
    tail.writeUInt16LE(kind, at + 2);
    tail.writeUInt32LE(count, at + 4);
    tail.writeUInt32LE(value, at + 8);
  });
  return Buffer.concat([head, text, data, tail]);
}

/** `{ key = value ; … }` in blocks of 512 bytes, then the numbers. */
export function edf(image: Image, bigEndian = false): Buffer {
  const header = [
    '{',
    'HeaderID = EH:000001:000000:000000 ;',
    `ByteOrder = ${bigEndian ? 'High' : 'Low'}ByteFirst ;`,
    'DataType = SignedInteger ;',
    `Dim_1 = ${image.width} ;`,
    `Dim_2 = ${image.height} ;`,
    'WaveLength = 9.795e-11 ;',
    'SampleDistance = 0.12 ;',
    'PSize_1 = 0.000172 ;',
    'Center_1 = 245.8 ;',
    'Center_2 = 306.4 ;',
    '',
  ].join('\n');
  const size = Math.ceil((header.length + 2) / 512) * 512;
  const data = numbers(image, 32);
  return Buffer.concat([Buffer.from(header.padEnd(size - 2) + '}\n'), bigEndian ? data.swap32() : data]);
}

export function smv(image: Image): Buffer {
  const header = [
    '{',
    'HEADER_BYTES=  512;',
    'DIM=2;',
    'BYTE_ORDER=little_endian;',
    'TYPE=unsigned_short;',
    `SIZE1=${image.width};`,
    `SIZE2=${image.height};`,
    'PIXEL_SIZE=0.172;',
    'DISTANCE=120.00;',
    'WAVELENGTH=0.97950;',
    `BEAM_CENTER_X=${306.4 * 0.172};`,
    `BEAM_CENTER_Y=${245.8 * 0.172};`,
    '}',
  ].join('\n');
  return Buffer.concat([Buffer.from(header.padEnd(512)), numbers(image, 16)]);
}
