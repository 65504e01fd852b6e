// Reads miniCBF back, written from the format's description and independent of the writer.

export interface Decoded {
  readonly header: string;
  readonly body: Buffer;
  readonly pixels: readonly number[];
}

function nextStep(body: Buffer, at: number): { step: number; after: number } {
  const narrow = body.readInt8(at);
  if (narrow !== -0x80) return { step: narrow, after: at + 1 };
  const medium = body.readInt16LE(at + 1);
  if (medium !== -0x8000) return { step: medium, after: at + 3 };
  const wide = body.readInt32LE(at + 3);
  if (wide !== -0x80000000) return { step: wide, after: at + 7 };
  return { step: Number(body.readBigInt64LE(at + 7)), after: at + 15 };
}

/** The number in a header field. */
export function fieldOf(header: string, name: string): string {
  const found = new RegExp(`^${name}: (.*)\\r$`, 'm').exec(header);
  if (found?.[1] === undefined) throw new Error(`no ${name} in the header`);
  return found[1];
}

export function decodeCbf(file: Buffer): Decoded {
  const start = file.indexOf(Buffer.from([0x0c, 0x1a, 0x04, 0xd5]));
  const header = file.subarray(0, start).toString('latin1');
  const body = file.subarray(start + 4, start + 4 + Number(fieldOf(header, 'X-Binary-Size')));
  const pixels: number[] = [];
  let at = 0;
  let value = 0;
  while (at < body.length) {
    const { step, after } = nextStep(body, at);
    value += step;
    at = after;
    pixels.push(value);
  }
  return { header, body, pixels };
}
