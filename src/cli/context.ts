// What every command is given: where its home is, how to show things, and a client that is connected when asked for.
import { makeClient, type Client } from '../sdk/client.ts';
import { findConnection, homeOf, type Connection } from './connection.ts';
import { CliError, EXIT, type ExitCode } from './exit.ts';
import type { Io } from './io.ts';
import { makeOutput, type Output } from './output.ts';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly home?: string;
  readonly url?: string;
  readonly token?: string;
  readonly output?: 'table' | 'json';
  readonly quiet?: boolean;
  readonly utc?: boolean;
}

export interface Context {
  readonly io: Io;
  readonly out: Output;
  readonly home: string;
  readonly quiet: boolean;
  readonly connection: () => Promise<Connection>;
  /** Throws CliError auth when there is no token, UnreachableError when there is no service either. */
  readonly client: () => Promise<Client>;
  /** The code to end with when nothing is thrown. */
  readonly endWith: (code: ExitCode) => void;
}

export function makeContext(io: Io, options: GlobalOptions, endWith: (code: ExitCode) => void): Context {
  const connection = (): Promise<Connection> => findConnection(options, io.env);
  return {
    io,
    out: makeOutput(io, {
      json: options.output === 'json',
      quiet: options.quiet === true,
      utc: options.utc === true,
    }),
    home: homeOf(options, io.env),
    quiet: options.quiet === true,
    connection,
    async client() {
      const { url, token } = await connection();
      if (token !== null) return makeClient({ url, token });
      // Without a service there is no token either: the first thing to say is that nothing is there.
      await makeClient({ url }).health();
      throw new CliError(EXIT.auth, `${url} answers, but there is no token for it here.`, {
        why: 'no --token, no PILOTWAVE_TOKEN, and no connection.json for it in the home',
        remedy: 'set PILOTWAVE_TOKEN, or give the --home that "pilotwave up" was started with',
      });
    },
    endWith,
  };
}
