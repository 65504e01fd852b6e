// One structured logger: JSON lines on stderr. Every line carries the ids it is about.
import { pino } from 'pino';
import type { Logger } from 'pino';

export type { Logger };

/** Makes the process's logger; `name` says which process speaks. */
export function makeLogger(name: string, level = 'info', file?: string): Logger {
  return pino(
    { name, level },
    pino.destination(file === undefined ? { dest: 2, sync: true } : { dest: file, sync: true, mkdir: true }),
  );
}

/** For code that must be given a logger but whose caller wants silence. */
export const silentLogger: Logger = pino({ level: 'silent' });
