// The Globus Compute SDK's string forms, as far as Node must write or read them: a buffer is "<id>\n<payload>",
// packed buffers are "<length>\n<buffer>" one after another, and a length counts Unicode code points, not bytes.

/** Is this unit the second half of a surrogate pair? */
function isTrailing(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  if (unit < 0xdc00 || unit > 0xdfff || at === 0) return false;
  const before = text.charCodeAt(at - 1);
  return before >= 0xd800 && before <= 0xdbff;
}

/** Code points in a text: what Python's len() says. */
function codePoints(text: string): number {
  let count = 0;
  // A code point beyond the basic plane is two units of a JavaScript string, the second of them in this range.
  for (let at = 0; at < text.length; at++) if (!isTrailing(text, at)) count++;
  return count;
}

/** Buffers → packed text. */
export function pack(buffers: readonly string[]): string {
  return buffers.map((buffer) => `${codePoints(buffer)}\n${buffer}`).join('');
}

/** A JSON value as a data buffer of strategy `11` (JSONData). */
export function jsonBuffer(value: unknown): string {
  return `11\n${JSON.stringify(value)}`;
}

/** Positional and keyword arguments as a task payload of JSONData buffers. */
export function jsonPayload(args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): string {
  return pack([jsonBuffer(args), jsonBuffer(kwargs)]);
}

/** Python source and the name of the function in it → registered code of strategy `st`. */
export function sourceCode(name: string, source: string): string {
  return pack([`st\n${name}:${source}`]);
}

/** The value of a JSONData buffer; undefined when the buffer is of another strategy. */
export function jsonValue(buffer: string): { readonly value: unknown } | undefined {
  return buffer.startsWith('11\n') ? { value: JSON.parse(buffer.slice(3)) as unknown } : undefined;
}
