// What a state type is. A type is one file beside this one and one line in index.ts; the machine (machine.ts)
// knows none of them by name. A state reads the run's data and answers an Outcome; writing the result, Catch,
// the log and going on are the machine's.
import type { ActionDocument } from '../ports.ts';
import type { Json, JsonObject } from '../../providers/contract.ts';
import type { ErrorName, StateFailure } from '../failures.ts';
import type { Keys, ReferencePath } from '../paths.ts';
import type { Loc, Reader } from '../reader.ts';

/** An action as the run waits for it. Times in milliseconds since 1970. */
export interface ActionWait {
  readonly kind: 'action';
  /** starting: asked for, not known to have started. running: known. stopping: its cancel is asked for. */
  readonly phase: 'starting' | 'running' | 'stopping';
  readonly request_id: string;
  readonly url: string;
  readonly run_as: string;
  /** Kept until the action is known to have started, so that the request can be repeated word for word. */
  readonly body: JsonObject | null;
  readonly action_id: string | null;
  readonly deadline: number;
  /** When to ask next, and how long the wait after that is. */
  readonly next_at: number;
  readonly poll_ms: number;
  /** Contacts in a row that brought no answer. */
  readonly tries: number;
  /** The last status the provider gave. */
  readonly document: ActionDocument | null;
}

export interface TimeWait {
  readonly kind: 'time';
  readonly until: number;
}

/** What a run that is inside a state waits for. Stored with the run. */
export type Waiting = ActionWait | TimeWait;

/** What the world tells the run. Answers name the request they answer, so that a late one changes nothing. */
export type WorldEvent =
  | { readonly kind: 'woken' }
  | { readonly kind: 'action_answered'; readonly request_id: string; readonly document: ActionDocument }
  | {
      readonly kind: 'action_refused';
      readonly request_id: string;
      readonly message: string;
      /** The error body of the provider. */
      readonly body: JsonObject;
      /** The error's name for Catch, when it is not the provider that refused. */
      readonly error?: ErrorName;
    }
  | { readonly kind: 'action_unreachable'; readonly request_id: string; readonly message: string }
  | { readonly kind: 'cancel_requested'; readonly by: string };

/** What the run wants done. Each may be done twice without harm. */
export type Effect =
  | {
      readonly kind: 'start_action';
      readonly request_id: string;
      readonly url: string;
      readonly run_as: string;
      readonly body: JsonObject;
    }
  | {
      readonly kind: 'poll_action' | 'cancel_action';
      readonly request_id: string;
      readonly url: string;
      readonly run_as: string;
      readonly action_id: string;
    }
  /** A courtesy: the provider forgets ended actions by itself in the end. */
  | {
      readonly kind: 'release_action';
      readonly url: string;
      readonly run_as: string;
      readonly action_id: string;
    };

/** One stay in a state. */
export interface Visit {
  /** The run state; with the virtual `_context` in `root`. */
  readonly data: JsonObject;
  readonly root: JsonObject;
  readonly now: number;
  /** The same for the same visit, whenever it is computed: run, visit number and state. */
  readonly request_id: string;
  /** Is the run being cancelled? */
  readonly cancelled: boolean;
}

export type Outcome =
  /** Done: the value goes to ResultPath, the run goes on. */
  | {
      readonly kind: 'result';
      readonly value: Json;
      readonly hidden?: readonly Keys[];
      readonly effects?: readonly Effect[];
    }
  /** Done, nothing written; `next` when the state itself decides where to go. */
  | { readonly kind: 'unchanged'; readonly next?: string }
  | { readonly kind: 'waiting'; readonly waiting: Waiting; readonly report: Report }
  /** Nothing has changed; these things are (still) to be done. */
  | { readonly kind: 'ask'; readonly effects: readonly Effect[] }
  | { readonly kind: 'failed'; readonly failure: StateFailure; readonly effects?: readonly Effect[] }
  /** The Fail state: ends the run, nothing catches it. */
  | { readonly kind: 'give_up'; readonly error: string; readonly cause: string }
  | { readonly kind: 'cancelled'; readonly note?: string };

/** What a waiting run shows of itself. */
export interface Report {
  readonly status: 'ACTIVE' | 'INACTIVE';
  readonly code: string;
  readonly description: string;
  readonly facts?: JsonObject;
}

/** What a state makes of its input when the run enters it. */
export interface Entry {
  /** For the log; undefined when the state has no input of its own. */
  readonly input?: Json;
  readonly hidden?: readonly Keys[];
  readonly outcome: Outcome;
}

export interface Catcher {
  readonly errors: readonly string[];
  readonly next: string;
  readonly resultPath: ReferencePath | null;
}

/** A checked state. */
export interface FlowState {
  readonly name: string;
  readonly type: string;
  /** Where the run goes on; null after the last state and where the state decides itself. */
  readonly next: string | null;
  /** null: the result replaces the whole run state. */
  readonly resultPath: ReferencePath | null;
  readonly catchers: readonly Catcher[];
  /** Every state this one can lead to, with the place in the definition that says so. */
  readonly targets: readonly { readonly loc: Loc; readonly name: string }[];
  /** The provider it calls, if any. */
  readonly calls?: { readonly url: string; readonly scope: string | null; readonly run_as: string };
  readonly enter: (visit: Visit) => Entry;
  /** For states that wait: what an event means. null: nothing. */
  readonly on?: (waiting: Waiting, event: WorldEvent, visit: Visit) => Outcome | null;
  /** For states that wait: what is due now, and when to look again if nothing is. */
  readonly due?: (
    waiting: Waiting,
    now: number,
  ) => { readonly effects: readonly Effect[]; readonly wake_at: number };
}

/** What a type's parser answers: the machine's part of a FlowState is filled in from the common fields. */
export type StateBehaviour = Pick<FlowState, 'enter' | 'on' | 'due' | 'calls'> & {
  /** Targets beside Next and Catch. */
  readonly targets?: FlowState['targets'];
};

export interface StateType {
  /** Fields of this type beside Type and Comment; every other field is refused. */
  readonly fields: readonly string[];
  /** Must it have exactly one of Next and End? */
  readonly goesOn: boolean;
  /** Reads the type's own fields; problems go to the reader, and then the behaviour is never used. */
  readonly parse: (reader: Reader, name: string) => StateBehaviour;
}
