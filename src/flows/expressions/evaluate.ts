// Evaluates a parsed expression over the run state, with a bound on the work it may do.
import type { Json, JsonObject } from '../../providers/contract.ts';
import { membersOf, PathError, resolve } from '../paths.ts';
import { callFunction, isFunctionName } from './functions.ts';
import { callMethod } from './methods.ts';
import { binary, compareBy, member, slice, subscript, unary } from './operators.ts';
import { ExpressionError, type Clause, type Expr } from './syntax.ts';
import {
  elementsOf,
  isDict,
  isList,
  isTrue,
  makeFloat,
  makeMeter,
  toJson,
  typeName,
  type Meter,
  type Value,
} from './values.ts';

/** Variables of the comprehensions around an expression, innermost first; then the state. */
interface Scope {
  readonly root: JsonObject;
  readonly variables: ReadonlyMap<string, Value>;
  readonly meter: Meter;
}

function nameValue(name: string, scope: Scope): Value {
  const variable = scope.variables.get(name);
  if (variable !== undefined) return variable;
  if (Object.hasOwn(scope.root, name)) return scope.root[name] as Value;
  const hint = isFunctionName(name)
    ? `${name} is a function; call it with ${name}(…)`
    : `the run state has ${membersOf(scope.root)}`;
  throw new ExpressionError(`"${name}" is not known: ${hint}`);
}

function pathValue(expr: Extract<Expr, { kind: 'path' }>, scope: Scope): Value {
  try {
    return resolve(scope.root, expr.path);
  } catch (error) {
    if (error instanceof PathError) throw new ExpressionError(error.message);
    throw error;
  }
}

function call(expr: Extract<Expr, { kind: 'call' }>, scope: Scope): Value {
  const self = expr.of === null ? null : evaluate(expr.of, scope);
  const args = expr.args.map((arg) => evaluate(arg, scope));
  const named = expr.named.map(([name, value]) => [name, evaluate(value, scope)] as const);
  return expr.of === null
    ? callFunction(expr.name, args, named, scope)
    : callMethod(self, expr.name, args, named, scope.meter);
}

function compareAll(expr: Extract<Expr, { kind: 'compare' }>, scope: Scope): boolean {
  let left = evaluate(expr.first, scope);
  for (const { operator, right } of expr.rest) {
    const value = evaluate(right, scope);
    if (!compareBy(operator, left, value, scope.meter)) return false;
    left = value;
  }
  return true;
}

function logical(expr: Extract<Expr, { kind: 'and' | 'or' }>, scope: Scope): Value {
  let value: Value = null;
  for (const item of expr.items) {
    value = evaluate(item, scope);
    if (isTrue(value) === (expr.kind === 'or')) return value;
  }
  return value;
}

function dict(expr: Extract<Expr, { kind: 'dict' }>, scope: Scope): Value {
  const entries = expr.entries.map(([key, value]) => {
    const name = evaluate(key, scope);
    if (typeof name !== 'string')
      throw new ExpressionError(`an object's key must be a string, not ${typeName(name)}`);
    return [name, evaluate(value, scope)] as const;
  });
  return Object.fromEntries(entries);
}

function bound(targets: readonly string[], item: Value, scope: Scope): Scope {
  const variables = new Map(scope.variables);
  if (targets.length === 1) variables.set(targets[0] as string, item);
  else {
    const parts =
      isList(item) || typeof item === 'string' || isDict(item) ? elementsOf(item, scope.meter) : [];
    if (parts.length !== targets.length) {
      throw new ExpressionError(
        `${targets.join(', ')} cannot be taken from ${typeName(item)} of ${parts.length}`,
      );
    }
    targets.forEach((name, index) => variables.set(name, parts[index] as Value));
  }
  return { ...scope, variables };
}

function comprehend(element: Expr, clauses: readonly Clause[], scope: Scope, into: Value[]): void {
  const [clause, ...rest] = clauses;
  if (clause === undefined) {
    into.push(evaluate(element, scope));
    return;
  }
  for (const item of elementsOf(evaluate(clause.source, scope), scope.meter)) {
    scope.meter.spend(1 + scope.variables.size);
    const inner = bound(clause.targets, item, scope);
    if (clause.conditions.every((condition) => isTrue(evaluate(condition, inner)))) {
      comprehend(element, rest, inner, into);
    }
  }
}

function evaluate(expr: Expr, scope: Scope): Value {
  scope.meter.spend(1);
  switch (expr.kind) {
    case 'constant':
      return expr.value;
    case 'number':
      return expr.float ? makeFloat(expr.value) : expr.value;
    case 'name':
      return nameValue(expr.name, scope);
    case 'path':
      return pathValue(expr, scope);
    case 'attribute':
      return member(evaluate(expr.of, scope), expr.name);
    case 'index':
      return subscript(evaluate(expr.of, scope), evaluate(expr.index, scope));
    case 'slice': {
      const of = evaluate(expr.of, scope);
      const at = (part: Expr | null): Value => (part === null ? null : evaluate(part, scope));
      return slice(of, [at(expr.start), at(expr.stop), at(expr.step)], scope.meter);
    }
    case 'call':
      return call(expr, scope);
    case 'list':
      return expr.items.map((item) => evaluate(item, scope));
    case 'dict':
      return dict(expr, scope);
    case 'unary':
      return unary(expr.operator, evaluate(expr.of, scope));
    case 'binary':
      return binary(expr.operator, evaluate(expr.left, scope), evaluate(expr.right, scope), scope.meter);
    case 'compare':
      return compareAll(expr, scope);
    case 'and':
    case 'or':
      return logical(expr, scope);
    case 'not':
      return !isTrue(evaluate(expr.of, scope));
    case 'if':
      return evaluate(isTrue(evaluate(expr.test, scope)) ? expr.then : expr.otherwise, scope);
    case 'comprehension': {
      const items: Value[] = [];
      comprehend(expr.element, expr.clauses, scope, items);
      return items;
    }
  }
}

/**
 * The value of an expression as JSON. `root` is the run state with `_context` in it.
 * Throws ExpressionError: a name that is not there, types that do not fit, too much work.
 */
export function evaluateExpression(expr: Expr, root: JsonObject): Json {
  const meter = makeMeter();
  return toJson(evaluate(expr, { root, variables: new Map(), meter }), meter);
}
