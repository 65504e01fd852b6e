// A run of a flow as data: where it is, what it has logged, what a step answers. Written by machine.ts only.
import type { ActionStatusName } from '../lifecycle.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { Keys } from './paths.ts';
import { redact } from './privacy.ts';
import type { Effect, Waiting } from './states/contract.ts';

/** Where a run is; stored as it is. */
export interface Place {
  /** The run state: what the flow computes on. */
  readonly data: JsonObject;
  /** The state the run is in or about to enter; null before the start. */
  readonly at: string | null;
  /** Number of the visit of `at`, from 1 over the whole run; 0 before the start. */
  readonly visit: number;
  /** What it waits for inside `at`; null: it is about to enter `at`. */
  readonly waiting: Waiting | null;
  /** Who asked to cancel the run. */
  readonly cancel_by: string | null;
  /** Places in `data` that hold private parameters. */
  readonly hidden: readonly Keys[];
  /** Entries written to the log so far, and their size in bytes. */
  readonly log_entries: number;
  readonly log_bytes: number;
}

export interface Run {
  readonly run_id: string;
  /** The value of `$._context`. */
  readonly context: JsonObject;
  readonly status: ActionStatusName;
  /** What GET /runs/{id} shows as details. */
  readonly details: JsonObject;
  readonly completed_at: number | null;
  readonly place: Place;
}

export interface RunLogEntry {
  /** From 1, without gaps. */
  readonly seq: number;
  readonly time: number;
  readonly code: string;
  readonly description: string;
  readonly details: JsonObject;
}

export interface Stepped {
  readonly run: Run;
  readonly entries: readonly RunLogEntry[];
  readonly effects: readonly Effect[];
  /** When the run wants to be woken: `now` while something is due at once, null after its end. */
  readonly wake_at: number | null;
  /** Must the run be stored before its effects are performed? */
  readonly changed: boolean;
}

/** Size limit of the run state, bytes of JSON (Globus Flows' own limit). */
export const STATE_BYTES = 200 * 1024;
export const TRANSITIONS_PER_STEP = 100;
/** A run that visits more states than this is taken for a loop without end. */
export const MOST_VISITS = 25_000;
/** Log of one step call, and of one run; beyond it entries leave their details out. */
export const STEP_LOG_BYTES = 1024 * 1024;
export const RUN_LOG_BYTES = 8 * 1024 * 1024;

/** A run as it is when it is created. */
export function newPlace(input: JsonObject): Place {
  return {
    data: input,
    at: null,
    visit: 0,
    waiting: null,
    cancel_by: null,
    hidden: [],
    log_entries: 0,
    log_bytes: 0,
  };
}

/** The details of a run nobody has stepped yet. */
export function startingDetails(input: JsonObject): JsonObject {
  return {
    code: 'FlowStarting',
    description: 'The Flow is starting execution',
    details: { input: redact(input, []) },
  };
}
