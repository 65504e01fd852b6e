// The miniCBF writer: every image comes back pixel for pixel, and the header tells readers what they ask for.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { miniCbf } from '../../../src/demo/mini-cbf.ts';
import type { FrameFacts } from '../../../src/demo/mini-cbf.ts';
import { decodeCbf, fieldOf } from './support/decode-cbf.ts';

const FACTS: FrameFacts = {
  name: 'still_0001',
  detector: 'TEST 1M, S/N 1',
  taken_at: '2026-01-31T08:00:00.000',
  exposure_s: 0.01,
  wavelength_angstrom: 0.9795,
  distance_mm: 120,
  pixel_mm: 0.172,
  beam_x: 245.8,
  beam_y: 306.4,
  cutoff: 1_000_000,
};

function frame(pixels: readonly number[], width = pixels.length): Buffer {
  const image = { width, height: pixels.length / width, pixels: Int32Array.from(pixels) };
  return miniCbf(image, FACTS);
}

describe('miniCBF writer', () => {
  it('gives back any image, whatever the steps between its pixels', () => {
    const value = fc.oneof(
      fc.integer({ min: -2, max: 300 }),
      fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      fc.constantFrom(-(2 ** 31), 2 ** 31 - 1, 127, 128, 255, 32767, 32768, -127, -128, -32768),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 200 }), (pixels) => {
        assert.deepEqual(decodeCbf(frame(pixels)).pixels, pixels);
      }),
    );
  });

  it('spends one byte on a small step and an escape on a wide one', () => {
    const sizes = [
      [[127], 1],
      [[128], 3],
      [[-128], 3],
      [[32767], 3],
      [[-32768], 7],
      [[2 ** 31 - 1], 7],
      [[2 ** 31 - 1, -(2 ** 31)], 7 + 15],
    ] as const;
    for (const [pixels, bytes] of sizes)
      assert.equal(decodeCbf(frame(pixels)).body.length, bytes, String(pixels));
  });

  it('writes the size, the checksum and the shape that readers check', () => {
    const { header, body } = decodeCbf(frame([1, 2, 3, 400, -1, 6], 3));
    assert.equal(fieldOf(header, 'X-Binary-Size-Fastest-Dimension'), '3');
    assert.equal(fieldOf(header, 'X-Binary-Size-Second-Dimension'), '2');
    assert.equal(fieldOf(header, 'X-Binary-Number-of-Elements'), '6');
    assert.equal(fieldOf(header, 'Content-MD5'), createHash('md5').update(body).digest('base64'));
    assert.match(header, /^###CBF: VERSION 1\.5/);
    assert.match(header, /conversions="x-CBF_BYTE_OFFSET"/);
  });

  it('pads the image and closes the section, as page-mapping readers need', () => {
    const file = frame([5, 6, 7]);
    const padding = Number(fieldOf(decodeCbf(file).header, 'X-Binary-Size-Padding'));
    const end = '\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n';
    assert.equal(file.subarray(-end.length).toString(), end);
    assert.deepEqual(file.subarray(-end.length - padding, -end.length), Buffer.alloc(padding));
  });

  it('tells the experiment in the words of a PILATUS header', () => {
    const { header } = decodeCbf(frame([0]));
    for (const line of [
      '# Pixel_size 172e-6 m x 172e-6 m',
      '# Wavelength 0.97950 A',
      '# Detector_distance 0.12000 m',
      '# Beam_xy (245.80, 306.40) pixels',
      '# Count_cutoff 1000000 counts',
    ]) {
      assert.ok(header.includes(`${line}\r\n`), line);
    }
  });
});
