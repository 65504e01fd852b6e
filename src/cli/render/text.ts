// Text that came from elsewhere, made fit for a terminal line.

// C0 and C1 controls, line separators, and the marks that turn the direction of text.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g;

/** One line without control characters: a name must not move the cursor, change colours or turn text round. */
export function plain(text: string): string {
  return text.replace(CONTROL, ' ').trim();
}

/** Several lines, each without control characters but tabs. */
export function plainLines(text: string): string {
  return text
    .split('\n')
    .map((line) =>
      line
        .split('\t')
        .map((part) => part.replace(CONTROL, ' '))
        .join('\t'),
    )
    .join('\n');
}

/** At most `width` characters, the last one `…` when something is cut. */
export function shorten(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join('')}…`;
}
