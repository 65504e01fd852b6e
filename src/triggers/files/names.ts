// Names of files as bytes, and which of them an event can carry.
import { isUtf8 } from 'node:buffer';

/** A name as text, or null when it is not UTF-8 or has control characters (a newline in a path breaks logs,
 *  shells and tables; reference security.md section 8). */
export function usableName(bytes: Buffer): string | null {
  if (!isUtf8(bytes)) return null;
  const name = bytes.toString('utf8');
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < 32 || code === 127) return null;
  }
  return name;
}

/** Bytes as printable text, for people. */
export function percentEncoded(bytes: Buffer): string {
  return Array.from(bytes, (byte) =>
    byte > 32 && byte < 127 && byte !== 37
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`,
  ).join('');
}
