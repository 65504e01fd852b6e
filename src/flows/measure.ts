// Sizes of JSON values as they are stored and sent.
import { jsonText } from './failures.ts';

/** Bytes of UTF-8 that a text takes. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code < 0x80) continue;
    // A surrogate pair is two units and four bytes.
    bytes += code < 0x800 || (code >= 0xd800 && code <= 0xdfff) ? 1 : 2;
  }
  return bytes;
}

/** Bytes of a value's JSON; null when it nests too deep to be written. */
export function measure(value: unknown): number | null {
  const text = jsonText(value);
  return text === null ? null : utf8Bytes(text);
}
