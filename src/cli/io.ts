// The program's edges: what it writes to, what it reads from, and the world it is told about. Tests hand in others.

export interface Io {
  /** Data, and nothing else. */
  readonly out: (text: string) => void;
  /** Progress, hints and errors. */
  readonly err: (text: string) => void;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly out_is_tty: boolean;
  readonly err_is_tty: boolean;
  /** Can a question be asked? */
  readonly asks: boolean;
  /** Width of the terminal; null when there is none. */
  readonly columns: number | null;
  /** All of standard input, as text. */
  readonly readInput: () => Promise<string>;
  /** Shows a question on standard error and answers the line typed; rejects when none comes. */
  readonly ask: (question: string) => Promise<string>;
  /** Calls back on Ctrl-C; the answer takes the listener away. */
  readonly onInterrupt: (listener: () => void) => () => void;
}

async function readAll(): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** Rejects when the person answers with Ctrl-C or the end of input. */
async function askLine(question: string): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const stop = new AbortController();
  lines.once('SIGINT', () => stop.abort()).once('close', () => stop.abort());
  try {
    return await lines.question(question, { signal: stop.signal });
  } finally {
    lines.close();
  }
}

/** The real edges. */
export function processIo(): Io {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    env: process.env,
    now: () => Date.now(),
    out_is_tty: process.stdout.isTTY === true,
    err_is_tty: process.stderr.isTTY === true,
    asks: process.stdin.isTTY === true && process.stderr.isTTY === true,
    columns: process.stdout.isTTY === true ? process.stdout.columns : null,
    readInput: readAll,
    ask: askLine,
    onInterrupt(listener) {
      process.on('SIGINT', listener);
      return () => process.off('SIGINT', listener);
    },
  };
}
