// The flow language: checks a definition and makes it a Flow that the machine can step. Every problem is
// reported with the state and field it is in. Source of the rules: the published JSON Schema of the language and,
// where documents disagree, what public flows use.
import type { FaultItem } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';
import { describe, isObject } from './paths.ts';
import { makeProblems, makeReader, type Loc, type Problems, type Reader } from './reader.ts';
import type { Catcher, FlowState } from './states/contract.ts';
import { isStateTypeName, STATE_TYPES, type StateTypeName } from './states/index.ts';

export interface Flow {
  readonly startAt: string;
  readonly states: ReadonlyMap<string, FlowState>;
}

export type Parsed =
  | { readonly ok: true; readonly flow: Flow; readonly warnings: readonly string[] }
  | { readonly ok: false; readonly items: readonly FaultItem[] };

const MOST_STATES = 1_000;
const LONGEST_NAME = 256;

/** Types of other dialects, so that their authors are told what to write instead. */
const FOREIGN: Readonly<Record<string, string>> = {
  ActionWait: 'it belongs to the language of before 2020; an Action state waits by itself now',
  Task: 'write a state of type Action with an ActionUrl',
  Succeed: 'end with a Pass state and "End": true',
  Parallel: 'it is not available in this version',
  Map: 'it is not available in this version',
  CreateWebInput: 'web inputs are not available in this version',
  AwaitWebInput: 'web inputs are not available in this version',
};

function readComment(reader: Reader): void {
  if (reader.raw['Comment'] !== null) reader.text('Comment');
}

/** Next or End, as the type asks for. */
function readNext(reader: Reader, type: StateTypeName): string | null {
  if (!STATE_TYPES[type].goesOn) return null;
  const next = reader.text('Next');
  const end = reader.flag('End');
  if (reader.has('Next') === (end === true)) {
    reader.problem(
      null,
      `A state of type '${type}' must be defined as either terminal ("End": true) or transitional ("Next": "NextStateId")`,
    );
  }
  return next ?? null;
}

function readCatcher(reader: Reader, index: number, raw: Json): Catcher | null {
  if (!isObject(raw)) {
    reader.problem('Catch', `element ${index} must be an object, not ${describe(raw)}`, 'type_error');
    return null;
  }
  const inner = reader.inside(['Catch', index], raw);
  inner.only('A Catch clause', ['ErrorEquals', 'Next', 'ResultPath', 'Comment']);
  const names = inner.list('ErrorEquals', 'required') ?? [];
  const errors = names.filter((name) => typeof name === 'string');
  if (
    inner.has('ErrorEquals') &&
    (names.length === 0 || errors.length < names.length || new Set(errors).size < errors.length)
  ) {
    inner.problem('ErrorEquals', 'must be a list of at least one error name, each once');
  }
  return { errors, next: inner.text('Next', 'required') ?? '', resultPath: inner.resultPath() ?? null };
}

function readCatchers(reader: Reader): Catcher[] {
  const list = reader.list('Catch');
  if (list?.length === 0) reader.problem('Catch', 'needs at least one clause');
  return (list ?? [])
    .map((raw, index) => readCatcher(reader, index, raw))
    .filter((catcher) => catcher !== null);
}

function badType(reader: Reader): void {
  const type = reader.raw['Type'];
  if (type === undefined) {
    reader.problem(
      null,
      "Discriminator 'Type' is missing in value",
      'value_error.discriminated_union.missing_discriminator',
    );
    return;
  }
  const hint = typeof type === 'string' && Object.hasOwn(FOREIGN, type) ? `; ${FOREIGN[type]}` : '';
  reader.problem(
    'Type',
    `no state type ${JSON.stringify(type)}${hint}. There are ${Object.keys(STATE_TYPES).join(', ')}`,
  );
}

function readState(name: string, raw: Json, loc: Loc, problems: Problems): FlowState | null {
  if (!isObject(raw)) {
    problems.add({ loc, msg: `a state must be an object, not ${describe(raw)}`, type: 'type_error' });
    return null;
  }
  const reader = makeReader(raw, loc, problems);
  const typeName = raw['Type'];
  if (!isStateTypeName(typeName)) {
    badType(reader);
    return null;
  }
  const type = STATE_TYPES[typeName];
  reader.only(`A state of type ${typeName}`, ['Type', 'Comment', ...type.fields]);
  readComment(reader);
  const next = readNext(reader, typeName);
  const resultPath = reader.resultPath() ?? null;
  const catchers = readCatchers(reader);
  const behaviour = type.parse(reader, name);
  const targets = [
    ...(next === null ? [] : [{ loc: [...loc, 'Next'], name: next }]),
    ...catchers.map((catcher, index) => ({ loc: [...loc, 'Catch', index, 'Next'], name: catcher.next })),
    ...(behaviour.targets ?? []),
  ];
  return { ...behaviour, name, type: typeName, next, resultPath, catchers, targets };
}

function checkTargets(
  states: ReadonlyMap<string, FlowState>,
  names: ReadonlySet<string>,
  problems: Problems,
): void {
  for (const state of states.values()) {
    for (const { loc, name } of state.targets) {
      if (name !== '' && !names.has(name))
        problems.add({ loc, msg: `there is no state named "${name}"`, type: 'value_error' });
    }
  }
}

/** States that no path from StartAt reaches. */
function unreachable(flow: Flow): string[] {
  const seen = new Set<string>([flow.startAt]);
  const open = [flow.startAt];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    for (const target of flow.states.get(name)?.targets ?? []) {
      if (seen.has(target.name)) continue;
      seen.add(target.name);
      open.push(target.name);
    }
  }
  return [...flow.states.keys()].filter((name) => !seen.has(name));
}

function readStates(raw: JsonObject, loc: Loc, problems: Problems): Map<string, FlowState> {
  const states = new Map<string, FlowState>();
  const entries = Object.entries(raw);
  if (entries.length === 0 || entries.length > MOST_STATES) {
    problems.add({
      loc,
      msg: `a flow has 1 to ${MOST_STATES} states, not ${entries.length}`,
      type: 'value_error',
    });
    return states;
  }
  for (const [name, state] of entries) {
    if (name === '' || name.length > LONGEST_NAME) {
      problems.add({
        loc: [...loc, name.slice(0, 80)],
        msg: `a state's name has 1 to ${LONGEST_NAME} characters`,
        type: 'value_error',
      });
    }
    const read = readState(name, state, [...loc, name], problems);
    if (read !== null) states.set(name, read);
  }
  return states;
}

/**
 * Checks a definition. `loc` is where it lies in what the caller sent, for the messages.
 * Warnings are about what is allowed but can hardly be meant.
 */
export function parseFlow(definition: unknown, loc: Loc = ['definition']): Parsed {
  const problems = makeProblems();
  if (!isObject(definition)) {
    return {
      ok: false,
      items: [{ loc, msg: `must be an object, not ${describe(definition)}`, type: 'type_error' }],
    };
  }
  const reader = makeReader(definition, loc, problems);
  reader.only('A flow definition', ['StartAt', 'States', 'Comment']);
  readComment(reader);
  const startAt = reader.text('StartAt', 'required') ?? '';
  const raw = reader.object('States', 'required');
  if (raw === undefined) return { ok: false, items: problems.items };
  const states = readStates(raw, [...loc, 'States'], problems);
  const names = new Set(Object.keys(raw));
  if (startAt !== '' && !names.has(startAt))
    reader.problem('StartAt', `there is no state named "${startAt}"`);
  checkTargets(states, names, problems);
  if (problems.items.length > 0) return { ok: false, items: problems.items };
  const flow: Flow = { startAt, states };
  return {
    ok: true,
    flow,
    warnings: unreachable(flow).map((name) => `nothing leads to the state "${name}"`),
  };
}

/** One line for all problems, as the Flows service words it. */
export function problemsMessage(items: readonly FaultItem[]): string {
  const [first] = items;
  const where = first === undefined ? '' : ` $.${first.loc.join('.')}: ${first.msg}`;
  return `${items.length} validation error${items.length === 1 ? '' : 's'} in body.${where}`;
}
