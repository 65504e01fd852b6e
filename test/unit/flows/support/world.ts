// Plays a flow against scripted providers, with a clock that jumps: the shell of the machine as a test needs it.
import { parseFlow, problemsMessage, type Flow } from '../../../../src/flows/language.ts';
import { step, type FlowEvent } from '../../../../src/flows/machine.ts';
import type { ActionDocument } from '../../../../src/flows/ports.ts';
import {
  newPlace,
  startingDetails,
  type Run,
  type RunLogEntry,
  type Stepped,
} from '../../../../src/flows/run.ts';
import type { Effect, WorldEvent } from '../../../../src/flows/states/contract.ts';
import type { JsonObject } from '../../../../src/providers/contract.ts';

export const RUN_ID = '36ad9f9a-ad29-488f-beb4-c22ab729643a';
export const T0 = Date.UTC(2026, 0, 31, 8);

export type StartEffect = Extract<Effect, { kind: 'start_action' }>;

/** What a provider says to each request; `script` sees every effect and answers an event, or null for silence. */
export type Script = (effect: Effect, now: number) => WorldEvent | null;

export function flowOf(definition: unknown): Flow {
  const parsed = parseFlow(definition);
  if (!parsed.ok) throw new Error(problemsMessage(parsed.items));
  return parsed.flow;
}

export function newRun(input: JsonObject = {}): Run {
  return {
    run_id: RUN_ID,
    context: {
      run_id: RUN_ID,
      flow_id: 'f',
      username: 'ada',
      email: null,
      user_id: 'urn:u',
      identities: ['urn:u'],
    },
    status: 'ACTIVE',
    details: startingDetails(input),
    completed_at: null,
    place: newPlace(input),
  };
}

export function document(
  status: ActionDocument['status'],
  details: JsonObject = {},
  action_id = 'a1',
): ActionDocument {
  return { action_id, status, details };
}

export function answer(
  effect: Effect,
  status: ActionDocument['status'],
  details: JsonObject = {},
): WorldEvent {
  const request_id = 'request_id' in effect ? effect.request_id : '';
  return { kind: 'action_answered', request_id, document: document(status, details) };
}

/** A provider that succeeds at once with these details. */
export function succeeding(details: (effect: StartEffect) => JsonObject): Script {
  return (effect) => (effect.kind === 'start_action' ? answer(effect, 'SUCCEEDED', details(effect)) : null);
}

/** A text among values of unknown kind; empty for anything else. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export interface Played {
  readonly run: Run;
  readonly entries: readonly RunLogEntry[];
  readonly effects: readonly Effect[];
  readonly now: number;
  readonly steps: number;
}

export interface PlayOptions {
  readonly input?: JsonObject;
  readonly script?: Script;
  /** An event that arrives at a time of its own. */
  readonly at?: readonly { readonly now: number; readonly event: FlowEvent }[];
  readonly maxSteps?: number;
  readonly onStep?: (stepped: Stepped) => void;
}

/** Steps a run until it ends or waits for what never comes (then `run.status` is ACTIVE or INACTIVE). */
export function play(flow: Flow, options: PlayOptions = {}): Played {
  const entries: RunLogEntry[] = [];
  const effects: Effect[] = [];
  const timed = [...(options.at ?? [])];
  let run = newRun(options.input);
  let now = T0;
  let event: FlowEvent = { kind: 'started' };
  let steps = 0;
  while (steps < (options.maxSteps ?? 2_000)) {
    steps += 1;
    const stepped = step(flow, run, event, now);
    options.onStep?.(stepped);
    run = stepped.run;
    entries.push(...stepped.entries);
    effects.push(...stepped.effects);
    if (stepped.wake_at === null) break;
    const answered = stepped.effects
      .map((effect) => options.script?.(effect, now) ?? null)
      .find((found) => found !== null);
    if (answered !== undefined) {
      event = answered;
      continue;
    }
    const next = timed[0];
    const silent = stepped.effects.some((effect) => effect.kind !== 'release_action');
    if (next !== undefined && (silent || next.now <= stepped.wake_at)) {
      timed.shift();
      now = Math.max(now, next.now);
      event = next.event;
      continue;
    }
    if (silent) break;
    now = Math.max(now, stepped.wake_at);
    event = { kind: 'woken' };
  }
  return { run, entries, effects, now, steps };
}
