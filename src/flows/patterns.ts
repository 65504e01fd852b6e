// Regular expressions that users write (`pattern` in an input schema), matched in time linear in the text: all
// ways through the pattern are followed at once, none is tried again. What cannot be matched so, lookaround and
// back-references, is refused when a flow is stored.

/** One step of a compiled pattern. */
type Step =
  | { readonly kind: 'character'; readonly fits: (character: string) => boolean }
  | { readonly kind: 'assert'; readonly holds: (before: string, after: string) => boolean }
  | { readonly kind: 'split'; first: number; second: number }
  | { readonly kind: 'jump'; to: number }
  | { readonly kind: 'found' };

type Node =
  | { readonly kind: 'step'; readonly step: Step }
  | { readonly kind: 'sequence'; readonly parts: readonly Node[] }
  | { readonly kind: 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly of: Node; readonly min: number; readonly max: number };

export interface Pattern {
  /** How much work a text is, at most: places of the pattern times characters of the text. */
  work(text: string): number;
  /** Is there a match anywhere in the text? */
  matches(text: string): boolean;
}

export class PatternError extends Error {}

const LONGEST = 1_000;
const MOST_STEPS = 4_000;
const DEEPEST = 30;

interface Reader {
  readonly text: string;
  at: number;
  depth: number;
}

function word(character: string): boolean {
  return /^[A-Za-z0-9_]$/.test(character);
}

/** A matcher of single characters, from the source of a native pattern for exactly one: that cannot run away. */
function one(source: string): Node {
  let native: RegExp;
  try {
    native = new RegExp(`^(?:${source})$`, 'u');
  } catch {
    throw new PatternError(`"${source}" is not a valid part of a pattern`);
  }
  return { kind: 'step', step: { kind: 'character', fits: (character) => native.test(character) } };
}

function assertion(holds: (before: string, after: string) => boolean): Node {
  return { kind: 'step', step: { kind: 'assert', holds } };
}

function readEscape(reader: Reader): Node {
  const rest = reader.text.slice(reader.at);
  const source =
    /^\\(?:u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[pP]\{[\w=]{1,60}\}|c[a-zA-Z]|[^])/.exec(
      rest,
    )?.[0];
  if (source === undefined) throw new PatternError('the pattern ends in a backslash');
  reader.at += source.length;
  if (source === '\\b') return assertion((before, after) => word(before) !== word(after));
  if (source === '\\B') return assertion((before, after) => word(before) === word(after));
  if (/^\\[1-9k]/.test(source)) throw new PatternError('back-references are not supported');
  // Outside the `u` flag any character may be escaped; inside only those with a meaning.
  return /^\\[^\w\s^$\\.*+?()[\]{}|/]$/u.test(source) ? one(source.slice(1)) : one(source);
}

function readClass(reader: Reader): Node {
  let end = reader.at + 1;
  while (end < reader.text.length && reader.text[end] !== ']') end += reader.text[end] === '\\' ? 2 : 1;
  if (end >= reader.text.length) throw new PatternError('a [ has no closing ]');
  const source = reader.text.slice(reader.at, end + 1);
  reader.at = end + 1;
  return one(source.replace(/\\([^\w\s^$\\.*+?()[\]{}|/-])/gu, '$1'));
}

function readGroup(reader: Reader): Node {
  reader.at += 1;
  const special = /^\?(?:<[A-Za-z_]\w*>|:)/.exec(reader.text.slice(reader.at))?.[0];
  if (special === undefined && reader.text[reader.at] === '?')
    throw new PatternError('lookahead and lookbehind are not supported');
  reader.at += special?.length ?? 0;
  const inner = readChoice(reader);
  if (reader.text[reader.at] !== ')') throw new PatternError('a ( has no closing )');
  reader.at += 1;
  return inner;
}

function readAtom(reader: Reader): Node {
  const character = String.fromCodePoint(reader.text.codePointAt(reader.at) ?? 0);
  switch (character) {
    case '(':
      return readGroup(reader);
    case '[':
      return readClass(reader);
    case '\\':
      return readEscape(reader);
    case '*':
    case '+':
    case '?':
      throw new PatternError(`there is nothing before ${character} to repeat`);
  }
  reader.at += character.length;
  if (character === '^') return assertion((before) => before === '');
  if (character === '$') return assertion((_before, after) => after === '');
  return character === '.' ? one('.') : one(character.replace(/[{}\]/]/, '\\$&'));
}

function readQuantifier(reader: Reader): { min: number; max: number } | null {
  const found = /^(?:[*+?]|\{(\d{1,5})(,(\d{1,5})?)?\})\??/.exec(reader.text.slice(reader.at));
  if (found === null) return null;
  reader.at += found[0].length;
  const sign = found[0][0];
  if (sign === '*') return { min: 0, max: Infinity };
  if (sign === '+') return { min: 1, max: Infinity };
  if (sign === '?') return { min: 0, max: 1 };
  const min = Number(found[1]);
  const max = found[2] === undefined ? min : found[3] === undefined ? Infinity : Number(found[3]);
  if (max < min) throw new PatternError(`{${min},${max}} is upside down`);
  return { min, max };
}

function readSequence(reader: Reader): Node {
  const parts: Node[] = [];
  while (reader.at < reader.text.length && !'|)'.includes(reader.text[reader.at] ?? '')) {
    const of = readAtom(reader);
    const times = readQuantifier(reader);
    parts.push(times === null ? of : { kind: 'repeat', of, ...times });
  }
  return { kind: 'sequence', parts };
}

function readChoice(reader: Reader): Node {
  reader.depth += 1;
  if (reader.depth > DEEPEST) throw new PatternError(`groups nest deeper than ${DEEPEST} levels`);
  const parts = [readSequence(reader)];
  while (reader.text[reader.at] === '|') {
    reader.at += 1;
    parts.push(readSequence(reader));
  }
  reader.depth -= 1;
  return parts.length === 1 ? (parts[0] as Node) : { kind: 'choice', parts };
}

function put(steps: Step[], step: Step): number {
  if (steps.length >= MOST_STEPS) throw new PatternError('the pattern repeats too much');
  return steps.push(step) - 1;
}

function emitRepeat(node: Extract<Node, { kind: 'repeat' }>, steps: Step[]): void {
  for (let times = 0; times < node.min; times += 1) emit(node.of, steps);
  if (node.max === Infinity) {
    const split = put(steps, { kind: 'split', first: steps.length + 1, second: 0 });
    emit(node.of, steps);
    put(steps, { kind: 'jump', to: split });
    (steps[split] as Extract<Step, { kind: 'split' }>).second = steps.length;
    return;
  }
  const splits: number[] = [];
  for (let times = node.min; times < node.max; times += 1) {
    splits.push(put(steps, { kind: 'split', first: steps.length + 1, second: 0 }));
    emit(node.of, steps);
  }
  for (const split of splits) (steps[split] as Extract<Step, { kind: 'split' }>).second = steps.length;
}

function emitChoice(parts: readonly Node[], steps: Step[]): void {
  const jumps: number[] = [];
  for (const [index, part] of parts.entries()) {
    const last = index === parts.length - 1;
    const split = last ? -1 : put(steps, { kind: 'split', first: steps.length + 1, second: 0 });
    emit(part, steps);
    if (last) continue;
    jumps.push(put(steps, { kind: 'jump', to: 0 }));
    (steps[split] as Extract<Step, { kind: 'split' }>).second = steps.length;
  }
  for (const jump of jumps) (steps[jump] as Extract<Step, { kind: 'jump' }>).to = steps.length;
}

function emit(node: Node, steps: Step[]): void {
  if (node.kind === 'step') put(steps, node.step);
  else if (node.kind === 'sequence') for (const part of node.parts) emit(part, steps);
  else if (node.kind === 'choice') emitChoice(node.parts, steps);
  else emitRepeat(node, steps);
}

/** Every step that can be reached from `from` without taking a character. */
function follow(
  steps: readonly Step[],
  from: number,
  into: Set<number>,
  before: string,
  after: string,
): void {
  const open = [from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (into.has(at)) continue;
    into.add(at);
    const step = steps[at];
    if (step?.kind === 'jump') open.push(step.to);
    else if (step?.kind === 'split') open.push(step.second, step.first);
    else if (step?.kind === 'assert' && step.holds(before, after)) open.push(at + 1);
  }
}

function run(steps: readonly Step[], text: string): boolean {
  const characters = Array.from(text);
  let current = new Set<number>();
  for (let at = 0; at <= characters.length; at += 1) {
    const [before, here] = [characters[at - 1] ?? '', characters[at] ?? ''];
    follow(steps, 0, current, before, here);
    const next = new Set<number>();
    for (const place of current) {
      const step = steps[place];
      if (step?.kind === 'found') return true;
      if (step?.kind === 'character' && here !== '' && step.fits(here))
        follow(steps, place + 1, next, here, characters[at + 1] ?? '');
    }
    current = next;
  }
  return false;
}

/** Compiles a pattern. Throws PatternError for what is not one, or not supported. */
export function compilePattern(source: string): Pattern {
  if (source.length > LONGEST) throw new PatternError(`a pattern may have ${LONGEST} characters`);
  const reader: Reader = { text: source, at: 0, depth: 0 };
  const tree = readChoice(reader);
  if (reader.at < source.length) throw new PatternError('a ) has no opening (');
  const steps: Step[] = [];
  emit(tree, steps);
  steps.push({ kind: 'found' });
  return { work: (text) => text.length * steps.length, matches: (text) => run(steps, text) };
}
