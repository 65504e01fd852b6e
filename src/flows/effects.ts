// Performs one effect of a run through the action client and turns what comes of it into an event.
import { FAULTS, asFault, type Fault } from '../errors.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { ActionCaller, ActionClient, ActionDocument } from './ports.ts';
import type { Effect, WorldEvent } from './states/contract.ts';

/** An effect whose outcome the run waits for. */
export type AskingEffect = Exclude<Effect, { kind: 'release_action' }>;

export interface EffectContext {
  readonly actions: ActionClient;
  /** The identity for a state's RunAs; null when there is no token for it. */
  readonly callerFor: (runAs: string) => ActionCaller | null;
  readonly label: string;
}

function bodyOf(fault: Fault): JsonObject {
  const row = FAULTS[fault.code];
  const items = fault.extras.items?.map((item) => ({ loc: [...item.loc], msg: item.msg, type: item.type }));
  return {
    code: row.provider,
    description: fault.message,
    ...(items === undefined ? {} : { detail: items }),
  };
}

function messageOf(fault: Fault): string {
  const items = fault.extras.items?.map((item) => `${item.loc.join('.')}: ${item.msg}`) ?? [];
  return [fault.message, ...items].join('; ');
}

/** May the same request succeed later? Then nothing is known about it yet. */
function passes(fault: Fault, effect: AskingEffect): boolean {
  if (FAULTS[fault.code].retry) return true;
  // Only "no such action" is an answer to a poll: a refused look says nothing about the action.
  return effect.kind === 'poll_action' && fault.code !== 'action_not_found';
}

async function ask(
  effect: AskingEffect,
  caller: ActionCaller,
  context: EffectContext,
): Promise<ActionDocument> {
  const { actions, label } = context;
  switch (effect.kind) {
    case 'start_action': {
      const { request_id, body } = effect;
      return actions.run(effect.url, caller, {
        request_id,
        body,
        ...(label === '' ? {} : { label: label.slice(0, 64) }),
      });
    }
    case 'poll_action':
      return actions.status(effect.url, caller, effect.action_id);
    case 'cancel_action':
      return actions.cancel(effect.url, caller, effect.action_id).catch((error: unknown) => {
        // It has ended meanwhile: its end is what there is to know.
        if (asFault(error).code !== 'state_conflict') throw error;
        return actions.status(effect.url, caller, effect.action_id);
      });
  }
}

/** Performs an effect; never throws. */
export async function perform(effect: AskingEffect, context: EffectContext): Promise<WorldEvent> {
  const { request_id } = effect;
  const caller = context.callerFor(effect.run_as);
  if (caller === null) {
    const message = `RunAs "${effect.run_as}" needs a token of that role, and the run was given none`;
    return { kind: 'action_refused', request_id, message, body: {}, error: 'NoTokenException' };
  }
  try {
    return { kind: 'action_answered', request_id, document: await ask(effect, caller, context) };
  } catch (error) {
    const fault = asFault(error);
    if (passes(fault, effect)) return { kind: 'action_unreachable', request_id, message: messageOf(fault) };
    return { kind: 'action_refused', request_id, message: messageOf(fault), body: bodyOf(fault) };
  }
}
