// The state types of the flow language: one line each.
import { action } from './action.ts';
import { choice } from './choice.ts';
import type { StateType } from './contract.ts';
import { expressionEval } from './expression-eval.ts';
import { fail } from './fail.ts';
import { pass } from './pass.ts';
import { wait } from './wait.ts';

export const STATE_TYPES = {
  Action: action,
  Pass: pass,
  Choice: choice,
  Wait: wait,
  ExpressionEval: expressionEval,
  Fail: fail,
} satisfies Record<string, StateType>;

export type StateTypeName = keyof typeof STATE_TYPES;

export function isStateTypeName(name: unknown): name is StateTypeName {
  return typeof name === 'string' && Object.hasOwn(STATE_TYPES, name);
}
