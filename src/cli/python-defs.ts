// Finds the functions at the top level of a Python file without running it: enough of the lexer to know what is
// text, what is a comment and what is inside brackets.

export interface PythonDef {
  readonly name: string;
  /** From 1. */
  readonly line: number;
  readonly is_async: boolean;
}

const DEF = /(async[ \t]+)?def[ \t]+([\p{L}_][\p{L}\p{N}_]*)[ \t]*[([]/uy;
const STRING_START = /"""|'''|"|'/y;

/** The place after a string that starts at `at`. One-line strings end at the line's end even when not closed. */
function afterString(source: string, at: number, quote: string): number {
  const triple = quote.length === 3;
  for (let place = at + quote.length; place < source.length; place++) {
    const character = source[place];
    // A backslash hides the next character in every kind of string, raw ones too as far as their end goes.
    if (character === '\\') place++;
    else if (!triple && character === '\n') return place;
    else if (source.startsWith(quote, place)) return place + quote.length;
  }
  return source.length;
}

function afterComment(source: string, at: number): number {
  const end = source.indexOf('\n', at);
  return end === -1 ? source.length : end;
}

/** The top-level functions of a file, in order; of several with one name the last, which is the one that counts. */
export function pythonDefs(source: string): readonly PythonDef[] {
  const found = new Map<string, PythonDef>();
  let line = 1;
  let depth = 0;
  // True at the first character of a line that starts a new statement at the top level.
  let fresh = true;
  const countLines = (from: number, to: number): void => {
    for (let at = source.indexOf('\n', from); at !== -1 && at < to; at = source.indexOf('\n', at + 1)) line++;
  };

  for (let at = 0; at < source.length;) {
    if (fresh) {
      DEF.lastIndex = at;
      const [, is_async, name] = DEF.exec(source) ?? [];
      if (name !== undefined) {
        found.delete(name);
        found.set(name, { name, line, is_async: is_async !== undefined });
      }
      fresh = false;
    }
    const character = source[at] ?? '';
    STRING_START.lastIndex = at;
    const quote = STRING_START.exec(source)?.[0];
    if (quote !== undefined) {
      const end = afterString(source, at, quote);
      countLines(at, end);
      at = end;
    } else if (character === '#') {
      at = afterComment(source, at);
    } else if (character === '\\') {
      // Joins the next line to this one; a Windows line end is two characters.
      const length = source.startsWith('\r\n', at + 1) ? 3 : 2;
      countLines(at, at + length);
      at += length;
    } else {
      if ('([{'.includes(character)) depth++;
      else if (')]}'.includes(character)) depth = Math.max(0, depth - 1);
      else if (character === '\n') {
        line++;
        fresh = depth === 0;
      }
      at++;
    }
  }
  return [...found.values()];
}

export type Chosen =
  { readonly kind: 'one'; readonly name: string } | { readonly kind: 'problem'; readonly message: string };

function listed(defs: readonly PythonDef[]): string {
  return defs.map((def) => `${def.name} (line ${def.line})`).join(', ');
}

/** Which function of a file is meant: the one named, or else the only public one. */
export function chooseDef(defs: readonly PythonDef[], wanted: string | undefined): Chosen {
  const usable = defs.filter((def) => !def.is_async);
  const open = usable.filter((def) => !def.name.startsWith('_'));
  if (wanted !== undefined) {
    const def = defs.find((one) => one.name === wanted);
    if (def === undefined) {
      const there = usable.length === 0 ? 'it has no function at the top level' : `it has ${listed(usable)}`;
      return { kind: 'problem', message: `There is no function "${wanted}" in the file: ${there}.` };
    }
    if (def.is_async)
      return { kind: 'problem', message: `"${wanted}" is async: workers call ordinary functions.` };
    return { kind: 'one', name: wanted };
  }
  const [only, ...others] = open;
  if (only === undefined)
    return { kind: 'problem', message: 'There is no public function at the top level of the file.' };
  if (others.length === 0) return { kind: 'one', name: only.name };
  return {
    kind: 'problem',
    message: `The file has several functions: ${listed(open)}. Say which: FILE:NAME.`,
  };
}
