// Wait: holds the run until a time. The run state stays as it is.
import { StateFailure } from '../failures.ts';
import type { Reader } from '../reader.ts';
import { parseTimestamp } from '../times.ts';
import type { Entry, StateType, Visit } from './contract.ts';
import { valueAt } from './input.ts';

/** A run lasts a year at most, so no single wait is longer. */
const LONGEST_S = 31_536_000;

function seconds(value: unknown, field: string, visit: Visit): number {
  if (typeof value !== 'number' || !(value >= 0) || value > LONGEST_S) {
    throw new StateFailure(
      'States.ParameterPathFailure',
      `${field} must be a number of seconds from 0 to ${LONGEST_S}, not ${JSON.stringify(value)}`,
    );
  }
  return visit.now + value * 1_000;
}

function instant(value: unknown, field: string): number {
  const time = typeof value === 'string' ? parseTimestamp(value) : null;
  if (time === null) {
    throw new StateFailure(
      'States.ParameterPathFailure',
      `${field} must be an RFC 3339 time such as 2026-01-31T08:00:00Z, not ${JSON.stringify(value)}`,
    );
  }
  return time;
}

/** Reads the one field that says until when. */
function readUntil(reader: Reader): (visit: Visit) => number {
  const field = reader.oneOf(['Seconds', 'SecondsPath', 'Timestamp', 'TimestampPath']);
  const fixed = reader.whole('Seconds', { min: 0, max: LONGEST_S });
  const stamp = reader.text('Timestamp');
  if (stamp !== undefined && parseTimestamp(stamp) === null) {
    reader.problem('Timestamp', 'must be an RFC 3339 time such as 2026-01-31T08:00:00Z');
  }
  const path = reader.path('SecondsPath') ?? reader.path('TimestampPath');
  return (visit) => {
    if (fixed !== undefined) return seconds(fixed, 'Seconds', visit);
    if (stamp !== undefined) return instant(stamp, 'Timestamp');
    if (path === undefined || field === undefined) return visit.now;
    const value = valueAt(path, field, visit);
    return field === 'SecondsPath' ? seconds(value, field, visit) : instant(value, field);
  };
}

export const wait: StateType = {
  fields: ['Seconds', 'SecondsPath', 'Timestamp', 'TimestampPath', 'Next', 'End'],
  goesOn: true,
  parse(reader, name) {
    const untilOf = readUntil(reader);
    return {
      enter(visit): Entry {
        const until = untilOf(visit);
        const stamp = new Date(until).toISOString();
        if (until <= visit.now) return { input: { until: stamp }, outcome: { kind: 'unchanged' } };
        const description = `State ${name} of type Wait waits until ${stamp}`;
        return {
          input: { until: stamp },
          outcome: {
            kind: 'waiting',
            waiting: { kind: 'time', until },
            report: { status: 'ACTIVE', code: 'WaitStarted', description },
          },
        };
      },
      on(waiting, event, visit) {
        if (event.kind === 'cancel_requested') return { kind: 'cancelled' };
        return waiting.kind === 'time' && waiting.until <= visit.now ? { kind: 'unchanged' } : null;
      },
      due: (waiting, now) => ({ effects: [], wake_at: waiting.kind === 'time' ? waiting.until : now }),
    };
  },
};
