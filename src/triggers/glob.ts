// Glob patterns over relative paths, matched without regular expressions: the time is bounded by pattern length
// times path length whatever the pattern, so no pattern of a user can stall the service.
//
//   *  any characters but /      **  any folders, also none (at the end: all that is inside)
//   ?  one character but /
//   [a-z] [!a-z]  one of a set   {a,b}  alternatives             \x  the character x itself
import { Fault } from '../errors.ts';

/** Characters in one pattern, and patterns that its braces may stand for. */
export const MAX_PATTERN = 256;
const MAX_ALTERNATIVES = 64;

type Piece =
  | { readonly is: 'char'; readonly char: string }
  | { readonly is: 'one' }
  | { readonly is: 'many' }
  | { readonly is: 'set'; readonly not: boolean; readonly ranges: readonly (readonly [string, string])[] };

/** One folder or file name of a pattern; null stands for `**`. */
type Segment = readonly Piece[] | null;

function refuse(pattern: string, why: string): never {
  throw new Fault('invalid_request', `The pattern ${JSON.stringify(pattern.slice(0, 80))} ${why}.`, {
    remedy: 'Use *, **, ?, [a-z], {a,b}; write \\ before a character that stands for itself.',
  });
}

/** Where the brace that opens at `start` closes, and where its commas are. */
function braceParts(pattern: string, start: number): { end: number; parts: string[] } {
  const parts: string[] = [];
  let depth = 0;
  let from = start + 1;
  for (let i = start; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === '\\') i++;
    else if (char === '{') depth++;
    else if (char === ',' && depth === 1) {
      parts.push(pattern.slice(from, i));
      from = i + 1;
    } else if (char === '}' && --depth === 0) {
      parts.push(pattern.slice(from, i));
      return { end: i, parts };
    }
  }
  return refuse(pattern, 'has a { without its }');
}

/** `a{b,c}d` → `abd`, `acd`. */
function expandBraces(pattern: string, whole = pattern): string[] {
  let inSet = false;
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === '\\') i++;
    else if (char === '[') inSet = true;
    else if (char === ']') inSet = false;
    else if (char === '{' && !inSet) {
      const { end, parts } = braceParts(pattern, i);
      const tails = expandBraces(pattern.slice(end + 1), whole);
      const heads = parts.flatMap((part) => expandBraces(part, whole));
      if (heads.length * tails.length > MAX_ALTERNATIVES)
        return refuse(whole, `stands for more than ${MAX_ALTERNATIVES} patterns`);
      return heads.flatMap((head) => tails.map((tail) => pattern.slice(0, i) + head + tail));
    }
  }
  return [pattern];
}

function parseSet(text: string, start: number, whole: string): { piece: Piece; end: number } {
  const not = text[start + 1] === '!' || text[start + 1] === '^';
  const ranges: (readonly [string, string])[] = [];
  let i = start + (not ? 2 : 1);
  for (; i < text.length && text[i] !== ']'; i++) {
    if (text[i] === '\\') i++;
    const low = text[i] ?? '';
    if (text[i + 1] === '-' && i + 2 < text.length && text[i + 2] !== ']') {
      ranges.push([low, text[i + 2] ?? low]);
      i += 2;
    } else ranges.push([low, low]);
  }
  if (i >= text.length || ranges.length === 0) return refuse(whole, 'has a [ without its ] or an empty set');
  return { piece: { is: 'set', not, ranges }, end: i };
}

function parseSegment(text: string, whole: string): Segment {
  if (text === '**') return null;
  const pieces: Piece[] = [];
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    if (char === '*') {
      if (pieces.at(-1)?.is !== 'many') pieces.push({ is: 'many' });
    } else if (char === '?') pieces.push({ is: 'one' });
    else if (char === '[') {
      const { piece, end } = parseSet(text, i, whole);
      pieces.push(piece);
      i = end;
    } else if (char === '\\') pieces.push({ is: 'char', char: text[++i] ?? '\\' });
    else if (char === '(' && '!@+?*'.includes(text[i - 1] ?? ' ')) return refuse(whole, 'uses (…) groups');
    else pieces.push({ is: 'char', char });
  }
  return pieces;
}

function fits(piece: Piece, char: string): boolean {
  if (piece.is === 'char') return piece.char === char;
  if (piece.is === 'set')
    return piece.ranges.some(([low, high]) => char >= low && char <= high) !== piece.not;
  return true;
}

/** One name against one segment. On a mismatch only the latest * is tried again: earlier ones need not be. */
function matchName(pieces: readonly Piece[], name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < name.length) {
    const piece = pieces[p];
    if (piece?.is === 'many') {
      star = p++;
      resume = n;
    } else if (piece !== undefined && fits(piece, name[n] ?? '')) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++resume;
    } else return false;
  }
  while (pieces[p]?.is === 'many') p++;
  return p === pieces.length;
}

/** The same walk one level up: `**` among folders is what * is among characters. */
function matchPath(segments: readonly Segment[], names: readonly string[]): boolean {
  let s = 0;
  let n = 0;
  let star = -1;
  let resume = 0;
  while (n < names.length) {
    const segment = segments[s];
    if (segment === null) {
      star = s++;
      resume = n;
    } else if (segment !== undefined && matchName(segment, names[n] ?? '')) {
      s++;
      n++;
    } else if (star >= 0) {
      s = star + 1;
      n = ++resume;
    } else return false;
  }
  while (segments[s] === null) s++;
  return s === segments.length;
}

export type Glob = (path: string) => boolean;

/**
 * Makes a matcher of relative paths (`/` between names). A pattern without `/` is matched against the last name
 * alone. No name is special: `*` also matches names that begin with a dot.
 * Throws Fault invalid_request for a pattern that cannot be read.
 */
export function makeGlob(patterns: readonly string[]): Glob {
  const paths: Segment[][] = [];
  const lasts: (readonly Piece[])[] = [];
  for (const pattern of patterns) {
    if (pattern === '' || pattern.length > MAX_PATTERN)
      refuse(pattern, `must have 1 to ${MAX_PATTERN} characters`);
    for (const plain of expandBraces(pattern)) {
      const segments = plain.split('/').map((text) => parseSegment(text, pattern));
      const only = segments[0];
      if (segments.at(-1) === null) segments.push([{ is: 'many' }]);
      if (segments.length > 1) paths.push(segments);
      else if (only != null) lasts.push(only);
    }
  }
  return (path) => {
    const last = path.slice(path.lastIndexOf('/') + 1);
    if (lasts.some((pieces) => matchName(pieces, last))) return true;
    if (paths.length === 0) return false;
    const names = path.split('/');
    return paths.some((segments) => matchPath(segments, names));
  };
}
