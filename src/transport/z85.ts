// Z85 (ZeroMQ RFC 32): four bytes as five printable characters. CURVE keys are written this way.
import type { KeyPair } from './link.ts';

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';

/** Bytes, a multiple of four, → text. */
export function encodeZ85(bytes: Uint8Array): string {
  if (bytes.byteLength % 4 !== 0) throw new RangeError('z85 needs a multiple of four bytes');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = '';
  for (let at = 0; at < bytes.byteLength; at += 4) {
    const value = view.getUint32(at);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += ALPHABET[Math.floor(value / power) % 85];
  }
  return text;
}

/** Is it the text of a 32-byte key? */
export function isZ85Key(text: unknown): text is string {
  return typeof text === 'string' && text.length === 40 && [...text].every((char) => ALPHABET.includes(char));
}

/** Is it a pair of such keys? */
export function isKeyPair(value: unknown): value is KeyPair {
  if (typeof value !== 'object' || value === null) return false;
  const { publicKey, secretKey } = value as Partial<KeyPair>;
  return isZ85Key(publicKey) && isZ85Key(secretKey);
}
