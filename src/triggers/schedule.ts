// Which instants of a cron schedule are due. Pure apart from croner, the one place that knows cron and time
// zones. Daylight saving: a schedule whose hour and minute are plain numbers runs at the first valid time after a
// gap, and once when its time comes twice; one with * or / in them runs by elapsed time.
import { Cron } from 'croner';
import { Fault, messageOf } from '../errors.ts';

/** Instants caught up at most; of more, the newest are kept. */
export const MAX_CATCH_UP = 1_000;
/** An instant that is found so late was not missed, only a little late. */
export const ON_TIME_MS = 60_000;

export interface Schedule {
  /** Five fields: minute, hour, day of month, month, day of week. */
  readonly schedule: string;
  /** An IANA name such as Europe/Berlin. */
  readonly timezone: string;
}

/** What happens to instants that passed while nobody looked: all fire, the latest, or none. */
export type CatchUp = 'all' | 'last' | 'none';

export interface Due {
  /** Milliseconds since 1970, in order. */
  readonly instants: readonly number[];
  /** Instants that passed and do not fire. */
  readonly dropped: number;
  /** There were even more than were counted. */
  readonly more: boolean;
}

function cronOf({ schedule, timezone }: Schedule): Cron {
  if (schedule.trim().split(/\s+/).length !== 5) {
    throw new Fault(
      'invalid_request',
      `The schedule ${JSON.stringify(schedule)} does not have five fields.`,
      {
        remedy: 'Write minute, hour, day of month, month and day of week, e.g. 30 6 * * 1-5.',
      },
    );
  }
  try {
    const cron = new Cron(schedule, {
      timezone,
      mode: '5-part',
      paused: true,
      fixedTimeRule: 'no-wildcard',
    });
    // A wrong time zone shows only in use.
    cron.nextRun(new Date(0));
    return cron;
  } catch (error) {
    throw new Fault('invalid_request', `The schedule cannot be read: ${messageOf(error)}`, {
      remedy: 'Five cron fields, and a time zone such as UTC or Europe/Berlin.',
    });
  }
}

/** The first instant after `after_ms`; null when there is none. Throws Fault invalid_request. */
export function nextInstant(schedule: Schedule, after_ms: number): number | null {
  return cronOf(schedule).nextRun(new Date(after_ms))?.getTime() ?? null;
}

function forward(cron: Cron, after_ms: number, until_ms: number, limit: number): number[] {
  const instants: number[] = [];
  let at = cron.nextRun(new Date(after_ms));
  while (at !== null && at.getTime() <= until_ms && instants.length < limit) {
    instants.push(at.getTime());
    at = cron.nextRun(at);
  }
  return instants;
}

/** The instants in (after, until], oldest first; at most MAX_CATCH_UP, the newest. */
function passed(cron: Cron, after_ms: number, until_ms: number): { instants: number[]; more: boolean } {
  const instants = forward(cron, after_ms, until_ms, MAX_CATCH_UP + 1);
  if (instants.length <= MAX_CATCH_UP) return { instants, more: false };
  // Too many: begin so far back that enough remain. Backwards croner leaves out the instants that daylight saving
  // moves, so it is asked only where to begin.
  const early =
    cron
      .previousRuns(MAX_CATCH_UP, new Date(until_ms + 1_000))
      .at(-1)
      ?.getTime() ?? after_ms;
  const newest = forward(cron, Math.max(after_ms, early - 1_000), until_ms, 2 * MAX_CATCH_UP);
  return { instants: newest.slice(-MAX_CATCH_UP), more: true };
}

/**
 * What fires now, when the latest instant dealt with is `after_ms`. A clock that went backwards finds nothing due.
 * Throws Fault invalid_request for a schedule that cannot be read.
 */
export function dueInstants(schedule: Schedule, after_ms: number, now_ms: number, catch_up: CatchUp): Due {
  const { instants, more } = passed(cronOf(schedule), after_ms, now_ms);
  const fires =
    catch_up === 'all'
      ? instants
      : catch_up === 'last'
        ? instants.slice(-1)
        : instants.filter((at) => now_ms - at <= ON_TIME_MS).slice(-1);
  return { instants: fires, dropped: instants.length - fires.length, more };
}
