// Choice: the first rule that holds says where the run goes; Default otherwise. The run state stays as it is.
import type { Json, JsonObject } from '../../providers/contract.ts';
import { COMPARISONS, TYPE_TESTS, type OperandKind } from '../comparisons.ts';
import { StateFailure } from '../failures.ts';
import { isObject, lookUp, type ReferencePath } from '../paths.ts';
import type { Loc, Reader } from '../reader.ts';
import { parseTimestamp } from '../times.ts';
import type { StateType, Visit } from './contract.ts';
import { valueAt } from './input.ts';

type Test = (visit: Visit) => boolean;

interface Rule {
  readonly holds: Test;
  readonly next: string;
}

const DEEPEST = 20;
const NEVER: Test = () => false;
const OPERATORS: readonly string[] = [
  ...Object.entries(COMPARISONS).flatMap(([name, { byPath }]) => (byPath ? [name, `${name}Path`] : [name])),
  ...Object.keys(TYPE_TESTS),
];

const OPERAND_TEXT: Record<OperandKind, string> = {
  string: 'a string',
  number: 'a number',
  boolean: 'true or false',
  timestamp: 'an RFC 3339 time such as 2026-01-31T08:00:00Z',
};

function fits(kind: OperandKind, value: Json | undefined): boolean {
  if (kind !== 'timestamp') return typeof value === kind;
  return typeof value === 'string' && parseTimestamp(value) !== null;
}

function parseTypeTest(reader: Reader, operator: string, variable: ReferencePath): Test {
  const test = TYPE_TESTS[operator];
  const wanted = reader.flag(operator);
  if (test === undefined || wanted === undefined) return NEVER;
  return (visit) => {
    const value = lookUp(visit.root, variable);
    // Only IsPresent may ask about what is not there: elsewhere a misspelt reference must not read as "no".
    if (value === undefined && operator !== 'IsPresent') valueAt(variable, 'Variable', visit);
    return test(value) === wanted;
  };
}

function parseComparison(reader: Reader, operator: string, variable: ReferencePath): Test {
  const byPath = operator.endsWith('Path');
  const row = COMPARISONS[byPath ? operator.slice(0, -4) : operator];
  if (row === undefined) return NEVER;
  if (byPath) {
    const right = reader.path(operator);
    if (right === undefined) return NEVER;
    return (visit) => row.compare(valueAt(variable, 'Variable', visit), valueAt(right, operator, visit));
  }
  const right = reader.raw[operator];
  if (!fits(row.operand, right)) {
    reader.problem(operator, `must be ${OPERAND_TEXT[row.operand]}`, 'type_error');
    return NEVER;
  }
  return (visit) => row.compare(valueAt(variable, 'Variable', visit), right as Json);
}

function parseVariableRule(reader: Reader, extra: readonly string[]): Test {
  reader.only('A rule', ['Variable', ...OPERATORS, ...extra]);
  const variable = reader.path('Variable');
  const given = OPERATORS.filter((name) => reader.has(name));
  const [operator] = given;
  if (!reader.has('Variable')) reader.problem('Variable', 'field required', 'value_error.missing');
  if (operator === undefined)
    reader.problem(
      null,
      'a rule with Variable needs one comparison such as StringEquals',
      'value_error.missing',
    );
  if (given.length > 1) reader.problem(null, `only one comparison may be given, not ${given.join(' and ')}`);
  if (variable === undefined || operator === undefined) return NEVER;
  return Object.hasOwn(TYPE_TESTS, operator)
    ? parseTypeTest(reader, operator, variable)
    : parseComparison(reader, operator, variable);
}

function parseRules(reader: Reader, name: 'And' | 'Or', depth: number): Test[] {
  const list = reader.list(name) ?? [];
  if (list.length === 0) reader.problem(name, 'needs at least one rule');
  return list.map((raw, index) => parseInner(reader, [name, index], raw, depth));
}

function parseInner(outer: Reader, path: readonly (string | number)[], raw: Json, depth: number): Test {
  if (isObject(raw) && depth < DEEPEST) return parseRule(outer.inside(path, raw), depth + 1);
  outer.problem(
    String(path[0]),
    isObject(raw) ? `rules nest deeper than ${DEEPEST} levels` : 'a rule must be an object',
    'type_error',
  );
  return NEVER;
}

function parseRule(reader: Reader, depth: number): Test {
  if (depth > 0 && reader.has('Next')) reader.problem('Next', 'only the outermost rule has a Next');
  const extra = ['Next', 'Comment'];
  const combined = (['And', 'Or', 'Not'] as const).find((name) => reader.has(name));
  if (combined === undefined) return parseVariableRule(reader, extra);
  reader.only(`The rule ${combined}`, [combined, ...extra]);
  if (combined === 'Not') {
    const inner = parseInner(reader, ['Not'], reader.raw['Not'] as Json, depth);
    return (visit) => !inner(visit);
  }
  const rules = parseRules(reader, combined, depth);
  return combined === 'And'
    ? (visit) => rules.every((rule) => rule(visit))
    : (visit) => rules.some((rule) => rule(visit));
}

function parseTopRule(outer: Reader, index: number, raw: Json): Rule {
  if (!isObject(raw)) {
    outer.problem('Choices', `rule ${index} must be an object`, 'type_error');
    return { holds: NEVER, next: '' };
  }
  const reader = outer.inside(['Choices', index], raw);
  return { holds: parseRule(reader, 0), next: reader.text('Next', 'required') ?? '' };
}

function noMatch(name: string, data: JsonObject): StateFailure {
  return new StateFailure(
    'States.NoChoiceMatched',
    `no rule of the Choice state ${name} holds and it has no Default; the run state has ${Object.keys(data).slice(0, 20).join(', ')}`,
  );
}

export const choice: StateType = {
  fields: ['Choices', 'Default'],
  goesOn: false,
  parse(reader, name) {
    const list = reader.list('Choices', 'required') ?? [];
    const fallback = reader.text('Default');
    if (reader.has('Choices') && list.length === 0) reader.problem('Choices', 'needs at least one rule');
    const rules = list.map((raw, index) => parseTopRule(reader, index, raw));
    const targets: { loc: Loc; name: string }[] = rules.map((rule, index) => ({
      loc: [...reader.loc, 'Choices', index, 'Next'],
      name: rule.next,
    }));
    if (fallback !== undefined) targets.push({ loc: [...reader.loc, 'Default'], name: fallback });
    return {
      targets: targets.filter((target) => target.name !== ''),
      enter(visit) {
        const next = rules.find((rule) => rule.holds(visit))?.next ?? fallback;
        if (next === undefined) throw noMatch(name, visit.data);
        return { outcome: { kind: 'unchanged', next } };
      },
    };
  },
};
