// A run while one step works on it: what is logged, how it ends, what is written. Pure; used by machine.ts only.
import type { ActionStatusName } from '../lifecycle.ts';
import type { JsonObject } from '../providers/contract.ts';
import { shorten, StateFailure } from './failures.ts';
import type { Flow } from './language.ts';
import { measure } from './measure.ts';
import { PathError, write, type ReferencePath } from './paths.ts';
import { redact } from './privacy.ts';
import { RUN_LOG_BYTES, STATE_BYTES, type Place, type Run, type RunLogEntry, type Stepped } from './run.ts';
import type { Effect } from './states/contract.ts';

/** The run as it changes during one call. */
export interface Draft {
  readonly flow: Flow;
  readonly run_id: string;
  readonly context: JsonObject;
  readonly now: number;
  status: ActionStatusName;
  details: JsonObject;
  completed_at: number | null;
  place: Place;
  readonly entries: RunLogEntry[];
  readonly effects: Effect[];
  wake_at: number | null;
  changed: boolean;
}

export function log(draft: Draft, code: string, description: string, details: JsonObject): void {
  const { place } = draft;
  const bytes = measure(details) ?? RUN_LOG_BYTES;
  const fits = place.log_bytes + bytes <= RUN_LOG_BYTES;
  const kept = fits
    ? details
    : {
        omitted: `${Math.ceil(bytes / 1024)} KB: the log of this run has reached ${RUN_LOG_BYTES / 1024 / 1024} MB`,
      };
  const named =
    fits || details['state_name'] === undefined ? kept : { state_name: details['state_name'], ...kept };
  const seq = place.log_entries + 1;
  draft.entries.push({ seq, time: draft.now, code, description, details: named });
  draft.place = { ...place, log_entries: seq, log_bytes: place.log_bytes + (fits ? bytes : 0) };
}

/** The run state as it may be shown. */
export function shown(draft: Draft): JsonObject {
  return redact(draft.place.data, draft.place.hidden);
}

export function finish(draft: Draft, status: 'SUCCEEDED' | 'FAILED', details: JsonObject): void {
  draft.status = status;
  draft.details = details;
  draft.completed_at = draft.now;
  draft.wake_at = null;
  draft.place = { ...draft.place, waiting: null };
}

export function succeed(draft: Draft): void {
  const output = shown(draft);
  log(draft, 'FlowSucceeded', 'The Flow Instance completed successfully', { output });
  finish(draft, 'SUCCEEDED', {
    code: 'FlowSucceeded',
    description: 'The Flow run reached a successful completion state',
    output,
  });
}

/** Ends the run as failed. `facts`: what else is known, e.g. the status of the action that failed. */
export function failRun(draft: Draft, error: string, cause: string, facts: JsonObject = {}): void {
  const at = draft.place.at;
  const [line = ''] = cause.trim().split('\n');
  const details: JsonObject = {
    code: 'FlowFailed',
    description: `${at === null ? 'The flow' : `State ${at}`} failed with ${error}: ${shorten(line, 500)}`,
    ...(at === null ? {} : { state_name: at }),
    error,
    cause: shorten(cause),
    ...facts,
  };
  log(draft, 'FlowFailed', details['description'] as string, details);
  finish(draft, 'FAILED', details);
}

export function cancelled(draft: Draft, note?: string): void {
  const description = 'The Flow Instance was canceled by the user';
  const facts: JsonObject = note === undefined ? {} : { note };
  log(draft, 'FlowCanceled', description, facts);
  finish(draft, 'FAILED', {
    time: new Date(draft.now).toISOString().replace('Z', '000+00:00'),
    code: 'FlowCanceled',
    description,
    details: facts,
  });
}

/** The data with a value at ResultPath. Throws StateFailure when it cannot be there or is too large. */
export function written(data: JsonObject, path: ReferencePath | null, value: unknown): JsonObject {
  try {
    const next = write(data, path ?? { text: '$', segments: [] }, value as JsonObject);
    const bytes = measure(next);
    if (bytes !== null && bytes <= STATE_BYTES) return next;
    const size = bytes === null ? 'nests too deep' : `would have ${Math.ceil(bytes / 1024)} KB`;
    throw new StateFailure(
      'States.DataLimitExceeded',
      `the run state ${size}; at most ${STATE_BYTES / 1024} KB of JSON fit: pass large values by file or reference`,
    );
  } catch (error) {
    if (error instanceof PathError)
      throw new StateFailure('States.ResultPathMatchFailure', `ResultPath: ${error.message}`);
    throw error;
  }
}

export function begin(flow: Flow, run: Run, now: number): Draft {
  const { run_id, context, status, details, completed_at, place } = run;
  return {
    flow,
    run_id,
    context,
    now,
    status,
    details,
    completed_at,
    place,
    entries: [],
    effects: [],
    wake_at: now,
    changed: false,
  };
}

export function end(draft: Draft): Stepped {
  const { run_id, context, status, details, completed_at, place, entries, effects, wake_at, changed } = draft;
  return {
    run: { run_id, context, status, details, completed_at, place },
    entries,
    effects,
    wake_at,
    changed,
  };
}
