// What the file of a command is given to register itself.
import type { Command } from 'commander';
import type { Context } from './context.ts';

export interface Cli {
  readonly program: Command;
  /** Turns work into a commander action: it gets a context and what commander hands over, without the command. */
  readonly run: <P extends unknown[]>(
    work: (context: Context, ...params: P) => Promise<void>,
  ) => (...received: [...P, Command]) => Promise<void>;
}
