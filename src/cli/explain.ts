// Every thrown value → what the person reads and the code the program ends with. The one place that knows both.
import { Fault, FAULTS, messageOf, type FaultItem, type Whose } from '../errors.ts';
import { ApiError, RequestTimeoutError, UnexpectedAnswerError, UnreachableError } from '../sdk/errors.ts';
import { CliError, EXIT, type ExitCode, type Explanation } from './exit.ts';

export interface Told extends Explanation {
  readonly exit: ExitCode;
  readonly what: string;
  /** Single problems, when there are several. */
  readonly items: readonly string[];
}

const WHOSE: Record<Whose, string> = {
  caller: 'your request',
  user: "the user's function",
  system: 'this system',
  link: 'the connection to another system',
};

/** The exit code for an HTTP status of the service. */
export function exitOfStatus(http: number): ExitCode {
  if (http === 401) return EXIT.auth;
  if (http === 403 || http === 404) return EXIT.not_found;
  if (http === 504) return EXIT.timeout;
  // A conflict with the thing's own state: the request was well formed, and it failed.
  if (http === 409 || http === 423) return EXIT.failed;
  if (http === 429 || http >= 500) return EXIT.unavailable;
  return EXIT.usage;
}

function remedyOfStatus(http: number): string | undefined {
  if (http === 401)
    return 'give a valid token: --token, PILOTWAVE_TOKEN, or start the service again with: pilotwave up';
  if (http === 429 || http === 503) return 'try again in a moment';
  if (http >= 500) return "the service's log has the details";
  return undefined;
}

function isLocal(url: string): boolean {
  return /^https?:\/\/(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:|\/|$)/.test(url);
}

/** The single problems as lines; none when there is one only and the message has said it already. */
function itemLines(message: string, items: readonly FaultItem[]): string[] {
  const [only, ...others] = items;
  if (only !== undefined && others.length === 0 && message.includes(only.msg)) return [];
  return items.map((item) => (item.loc.length === 0 ? item.msg : `${item.loc.join('.')}: ${item.msg}`));
}

/** File system errors that mean: you may not, or there is no room. */
function fromSystem(error: NodeJS.ErrnoException): Told | null {
  const path = error.path ?? '';
  if (error.code === 'EACCES' || error.code === 'EPERM' || error.code === 'EROFS') {
    return {
      exit: EXIT.no_permission,
      what: `No permission for ${path === '' ? error.syscall : path}.`,
      why: error.message,
      remedy: 'use another --home, or change who may use this one',
      items: [],
    };
  }
  if (error.code === 'ENOSPC') {
    return {
      exit: EXIT.unavailable,
      what: `No space left for ${path}.`,
      remedy: 'free disk space',
      items: [],
    };
  }
  return null;
}

/** What to tell of any thrown value. */
export function explain(error: unknown): Told {
  if (error instanceof CliError)
    return { exit: error.exit, what: error.message, items: [], ...error.explanation };
  if (error instanceof ApiError) {
    const { http, message, whose, remedy, items, code, request } = error.problem;
    return {
      exit: exitOfStatus(http),
      what: message,
      where: `${request} answered ${http}`,
      whose: WHOSE[whose],
      remedy: remedy ?? remedyOfStatus(http),
      code,
      items: itemLines(message, items),
    };
  }
  if (error instanceof UnreachableError) {
    return {
      exit: EXIT.unavailable,
      what: error.message,
      remedy: isLocal(error.url)
        ? 'start it with: pilotwave up'
        : 'check the address (--url, PILOTWAVE_URL) and the network; a service of your own: pilotwave up',
      code: 'unreachable',
      items: [],
    };
  }
  if (error instanceof RequestTimeoutError) {
    return {
      exit: EXIT.timeout,
      what: error.message,
      remedy: 'try again; what was asked may go on',
      items: [],
    };
  }
  if (error instanceof UnexpectedAnswerError) {
    return {
      exit: EXIT.unavailable,
      what: error.message,
      remedy: 'check the address (--url, PILOTWAVE_URL)',
      items: [],
    };
  }
  if (error instanceof Fault) {
    return {
      exit: exitOfStatus(error.http),
      what: error.message,
      whose: WHOSE[FAULTS[error.code].whose],
      remedy: error.extras.remedy,
      code: error.code,
      items: itemLines(error.message, error.extras.items ?? []),
    };
  }
  const system = error instanceof Error ? fromSystem(error) : null;
  if (system !== null) return system;
  return {
    exit: EXIT.software,
    what: `Something went wrong in pilotwave itself: ${messageOf(error)}`,
    why: error instanceof Error ? error.stack : undefined,
    whose: WHOSE.system,
    items: [],
  };
}
