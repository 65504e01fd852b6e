// How the program ends: its exit codes, and the errors that carry one.

/** 69, 77 and 78 are those of sysexits.h. */
export const EXIT = {
  ok: 0,
  /** The task or run failed, or a check did. */
  failed: 1,
  usage: 2,
  /** No token, or one that is not valid. */
  auth: 3,
  /** Not there, or not yours. */
  not_found: 4,
  /** Waited long enough; the work goes on. */
  timeout: 5,
  unavailable: 69,
  /** A fault of this program. */
  software: 70,
  /** The operating system says no. */
  no_permission: 77,
  bad_config: 78,
  /** Ctrl-C. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a person is told of an error beside what happened; each one line or more. */
export interface Explanation {
  readonly why?: string | undefined;
  readonly where?: string | undefined;
  /** Whose fault, in words. */
  readonly whose?: string | undefined;
  /** What to do. */
  readonly remedy?: string | undefined;
  /** Names of a machine-readable kind, e.g. `task_not_found`. */
  readonly code?: string | undefined;
}

/** Ends the program with a code, after telling what, why and what to do. */
export class CliError extends Error {
  readonly exit: ExitCode;
  readonly explanation: Explanation;

  constructor(exit: ExitCode, message: string, explanation: Explanation = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CliError';
    this.exit = exit;
    this.explanation = explanation;
  }
}

/** A mistake in what was typed. */
export function usageError(message: string, remedy?: string): CliError {
  return new CliError(EXIT.usage, message, { remedy });
}
