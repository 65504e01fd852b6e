// How a state fails: the error names that Catch clauses match, and the text people read.
import type { JsonObject } from '../providers/contract.ts';
import { isObject } from './paths.ts';

/** Names that flows in use write in ErrorEquals; `States.*` are Amazon's, the others Globus Flows'. */
export type ErrorName =
  | 'ActionUnableToRun'
  | 'ActionFailedException'
  | 'ActionTimeout'
  | 'NoTokenException'
  | 'States.ParameterPathFailure'
  | 'States.ResultPathMatchFailure'
  | 'States.IntrinsicFailure'
  | 'States.NoChoiceMatched'
  | 'States.DataLimitExceeded'
  | 'States.Runtime';

/** Thrown by a state that cannot go on; its Catch may take it. */
export class StateFailure extends Error {
  readonly error: ErrorName;
  /** Facts beside name and cause, e.g. the ActionStatus of a failed action. */
  readonly facts: JsonObject;

  constructor(error: ErrorName, cause: string, facts: JsonObject = {}) {
    super(cause);
    this.name = 'StateFailure';
    this.error = error;
    this.facts = facts;
  }
}

/** Does a Catch clause's ErrorEquals take this error? Public flows write States.ALL and States.All: any case. */
export function isCaught(errorEquals: readonly string[], error: string): boolean {
  return errorEquals.some((name) => name === error || name.toLowerCase() === 'states.all');
}

const LONGEST_CAUSE = 4_000;

/** Keeps the beginning and the end: the last line of a traceback says what went wrong. */
export function shorten(text: string, limit = LONGEST_CAUSE): string {
  if (text.length <= limit) return text;
  const half = Math.floor((limit - 5) / 2);
  return `${text.slice(0, half)}\n[…]\n${text.slice(text.length - half)}`;
}

function textsIn(details: JsonObject): string[] {
  const texts = ['description', 'message', 'error', 'exception', 'reason', 'cause']
    .map((name) => details[name])
    .filter((value): value is string => typeof value === 'string' && value.trim() !== '');
  const results: unknown = details['results'];
  if (Array.isArray(results)) {
    const failed: unknown = results.find(
      (item: unknown) => isObject(item) && typeof item['exception'] === 'string',
    );
    if (isObject(failed) && typeof failed['exception'] === 'string') texts.push(failed['exception']);
  }
  return [...new Set(texts)];
}

/** What a provider says of a failed action, as text for people. */
export function explain(details: unknown): string {
  if (typeof details === 'string') return shorten(details);
  if (!isObject(details)) return 'the provider gave no reason';
  const texts = textsIn(details);
  if (texts.length > 0) return shorten(texts.join('\n'));
  return Object.keys(details).length === 0
    ? 'the provider gave no reason'
    : shorten(jsonText(details) ?? 'details too deep to show');
}

/** JSON text, or null for a value nested too deep to write. */
export function jsonText(value: unknown): string | null {
  try {
    return JSON.stringify(value) ?? null;
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}
