// Runs command lines in this process, with edges that tests can read.
import type { Io } from '../../../src/cli/io.ts';
import { runCli } from '../../../src/cli/program.ts';

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export interface Edges {
  readonly env?: Readonly<Record<string, string>>;
  readonly tty?: boolean;
  readonly columns?: number;
  readonly input?: string;
  /** What is typed when asked. */
  readonly answer?: string;
  /** Gets the Ctrl-C button once a command listens for it. */
  readonly onListening?: (press: () => void) => void;
}

/** Noon of 2026-06-02, UTC. */
export const NOW = Date.UTC(2026, 5, 2, 12);

/** Runs `pilotwave …argv`; nothing of this machine's own settings gets in. */
export async function cli(argv: readonly string[], edges: Edges = {}): Promise<Ended> {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    env: { PILOTWAVE_HOME: '/nonexistent/pilotwave-home', ...edges.env },
    now: () => NOW,
    out_is_tty: edges.tty === true,
    err_is_tty: edges.tty === true,
    asks: edges.answer !== undefined,
    columns: edges.columns ?? null,
    readInput: async () => edges.input ?? '',
    ask: async (question) => {
      err += question;
      return edges.answer ?? '';
    },
    onInterrupt(listener) {
      edges.onListening?.(listener);
      return () => undefined;
    },
  };
  const code = await runCli(argv, io);
  return { code, out, err };
}
