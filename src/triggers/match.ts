// What is to be done about one event of one trigger. Pure: the same event and trigger give the same answer.
import { Fault, messageOf } from '../errors.ts';
import type { JsonObject } from '../providers/contract.ts';
import { makeGlob, type Glob } from './glob.ts';
import type { CloudEvent } from './ports.ts';
import { fillLabel, fillTemplate, type Scope } from './template.ts';

export interface EventFilter {
  /** Globs; one must match the event's subject. */
  readonly subject?: readonly string[];
  /** Globs; one must match the event's type. */
  readonly type?: readonly string[];
}

/** The part of a trigger that deciding needs. */
export interface Rule {
  readonly id: string;
  readonly name: string;
  readonly input: JsonObject;
  readonly label: string;
  readonly filter: EventFilter | null;
}

export type Verdict =
  | { readonly is: 'start'; readonly body: JsonObject; readonly label: string }
  | { readonly is: 'filtered' | 'failed'; readonly reason: string };

/** Decides about one event. `byHand` events were asked for by a person: no filter holds them back. */
export type Matcher = (event: CloudEvent, byHand: boolean) => Verdict;

function scopeOf(rule: Rule, event: CloudEvent): Scope {
  const data = event.data ?? null;
  const facts: JsonObject =
    typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as JsonObject) : {};
  return {
    event: event as unknown as JsonObject,
    data,
    trigger: { id: rule.id, name: rule.name },
    ...(event.subject === undefined ? {} : { subject: event.subject }),
    ...(event.time === undefined ? {} : { time: event.time }),
    ...(facts.path === undefined ? {} : { path: facts.path }),
    ...(facts.name === undefined ? {} : { name: facts.name }),
  };
}

function refusal(globs: Glob | null, value: string | undefined, what: string): string | null {
  if (globs === null || globs(value ?? '')) return null;
  return `The event's ${what} ${JSON.stringify(value ?? null)} is not one that the trigger's filter lets through.`;
}

/**
 * Compiles a trigger's rule; `declines` is the kind's own veto. The patterns were checked when the trigger was
 * made, so compiling throws only for a rule that never passed that check.
 */
export function makeMatcher(rule: Rule, declines?: (event: CloudEvent) => string | null): Matcher {
  const subject = rule.filter?.subject === undefined ? null : makeGlob(rule.filter.subject);
  const type = rule.filter?.type === undefined ? null : makeGlob(rule.filter.type);
  return (event, byHand) => {
    const veto = byHand
      ? null
      : (declines?.(event) ??
        refusal(subject, event.subject, 'subject') ??
        refusal(type, event.type, 'type'));
    if (veto !== null) return { is: 'filtered', reason: veto };
    const scope = scopeOf(rule, event);
    try {
      const label = fillLabel(rule.label, scope) || rule.name.slice(0, 64);
      return { is: 'start', body: fillTemplate(rule.input, scope), label };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { is: 'failed', reason: `The run's input could not be made: ${messageOf(error)}` };
    }
  };
}
