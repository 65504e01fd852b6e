// States that every provider words the same way. Pure.
import { FAULTS, type Fault } from '../../errors.ts';
import { identityOfUrn } from '../../ids.ts';
import { isFinal } from '../../lifecycle.ts';
import type { ActionState, JsonObject } from '../contract.ts';

/** The most characters a display_status may have. */
const DISPLAY_LIMIT = 64;

/** A failed state; `code` is for programs, `description` for people. */
export function failedState(
  code: string,
  description: string,
  display_status = 'Failed',
  more: JsonObject = {},
): ActionState {
  return { status: 'FAILED', display_status, details: { code, description, ...more } };
}

/** The state of work that somebody ended. The display names the identity alone: its whole URN is too long. */
export function cancelledState(by: string, more: JsonObject = {}): ActionState {
  return failedState('Cancelled', `Cancelled by ${by}`, `Cancelled by ${identityOfUrn(by) ?? by}`, more);
}

/** The state of an action whose provider refused or failed to start it. */
export function refusedState(fault: Fault): ActionState {
  return failedState(FAULTS[fault.code].provider, fault.message, 'Not started');
}

/** What people see of a state: 1 to 64 characters. */
export function displayOf(state: ActionState): string {
  const text = state.display_status?.trim() ?? '';
  if (text === '') return state.status;
  const clean = text.replaceAll('\u0000', '');
  return clean.length <= DISPLAY_LIMIT ? clean : `${clean.slice(0, DISPLAY_LIMIT - 1)}…`;
}

/** Between these, the wait for the next look grows with the action's age: a quarter of it, in milliseconds. */
const LOOK_MIN_MS = 2_000;
const LOOK_MAX_MS = 60_000;

/** When the kit must deal with an action again, in milliseconds since 1970. */
export function dueAt(
  action: {
    readonly started_at: number;
    readonly deadline: number | null;
    readonly release_after_ms: number;
  },
  state: ActionState,
  now: number,
): number {
  if (isFinal(state.status)) return Math.max(now, action.started_at) + action.release_after_ms;
  const age_ms = now - action.started_at;
  const wait_ms = state.look_after_ms ?? Math.min(Math.max(age_ms / 4, LOOK_MIN_MS), LOOK_MAX_MS);
  const look = now + Math.max(0, Math.ceil(wait_ms));
  return action.deadline === null || action.deadline <= now ? look : Math.min(look, action.deadline);
}
