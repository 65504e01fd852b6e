// From an event to the body of a run: a template whose keys that end in `.$` are replaced by what their
// reference path names. Pure. Reference paths only ($.a.b[0]['c d']): no wildcards, filters or functions.
import { Fault } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';

const MAX_DEPTH = 32;
const MAX_NODES = 10_000;
const MAX_PATH = 1_024;

/** What a reference path may begin with. */
export const ROOTS = ['event', 'data', 'path', 'name', 'subject', 'time', 'trigger'] as const;
export type Scope = { readonly [root in (typeof ROOTS)[number]]?: Json };

type Step = string | number;

function badPath(path: string, why: string): never {
  throw new Fault('invalid_request', `The reference path ${JSON.stringify(path.slice(0, 120))} ${why}.`, {
    remedy: `Write it as $.event.data.path or $.data.items[0]; it begins with one of ${ROOTS.join(', ')}.`,
  });
}

/** A bracket step that begins at `[`: an index or a quoted name. */
function bracketStep(path: string, at: number): { step: Step; next: number } {
  const quote = path[at + 1];
  if (quote === "'" || quote === '"') {
    const end = path.indexOf(`${quote}]`, at + 2);
    if (end < 0) badPath(path, 'has a quote that is not closed');
    return { step: path.slice(at + 2, end), next: end + 2 };
  }
  const end = path.indexOf(']', at);
  const digits = end < 0 ? '' : path.slice(at + 1, end);
  if (!/^\d{1,6}$/.test(digits)) badPath(path, 'has a [ ] with neither a number nor a quoted name in it');
  return { step: Number(digits), next: end + 1 };
}

/** `$.a.b[0]` → ['a', 'b', 0]. Throws Fault invalid_request. */
export function parsePath(path: string): readonly Step[] {
  if (path.length > MAX_PATH) badPath(path, `is longer than ${MAX_PATH} characters`);
  if (!path.startsWith('$')) badPath(path, 'does not begin with $');
  const steps: Step[] = [];
  let at = 1;
  while (at < path.length) {
    if (path[at] === '[') {
      const { step, next } = bracketStep(path, at);
      steps.push(step);
      at = next;
    } else if (path[at] === '.') {
      let end = at + 1;
      while (end < path.length && path[end] !== '.' && path[end] !== '[') end++;
      const name = path.slice(at + 1, end);
      if (!/^[\w-]+$/.test(name)) badPath(path, 'has an empty or unusual name; quote it: [\u0027a b\u0027]');
      steps.push(name);
      at = end;
    } else badPath(path, `cannot be read at character ${at + 1}`);
  }
  const root = steps[0];
  if (typeof root !== 'string' || !ROOTS.some((known) => known === root))
    badPath(path, `begins with nothing that an event has`);
  return steps;
}

/** The value a path names, or undefined. Own properties only. */
export function valueAt(scope: Scope, steps: readonly Step[]): Json | undefined {
  let value: Json | undefined = scope;
  for (const step of steps) {
    if (typeof value !== 'object' || value === null) return undefined;
    if (Array.isArray(value)) value = typeof step === 'number' ? (value as readonly Json[])[step] : undefined;
    else value = Object.hasOwn(value, step) ? (value as JsonObject)[step] : undefined;
  }
  return value;
}

interface Visit {
  nodes: number;
  readonly resolve: (path: string) => Json;
}

function fill(template: Json, depth: number, visit: Visit): Json {
  if (depth > MAX_DEPTH || ++visit.nodes > MAX_NODES) {
    throw new Fault('invalid_request', 'The input template is nested too deeply or too large.');
  }
  if (typeof template !== 'object' || template === null) return template;
  if (Array.isArray(template))
    return (template as readonly Json[]).map((item) => fill(item, depth + 1, visit));
  const entries = Object.entries(template).map(([key, value]): [string, Json] => {
    if (!key.endsWith('.$')) return [key, fill(value, depth + 1, visit)];
    if (typeof value !== 'string' || key === '.$') {
      throw new Fault('invalid_request', `The input template's ${key} must be a reference path in a string.`);
    }
    return [key.slice(0, -2), visit.resolve(value)];
  });
  return Object.fromEntries(entries);
}

/** Throws Fault invalid_request for a template that no event could fill. */
export function checkTemplate(template: JsonObject): void {
  fill(template, 0, { nodes: 0, resolve: (path) => (parsePath(path), null) });
}

/** Fills a checked template. Throws Fault invalid_request when a path names nothing in this event. */
export function fillTemplate(template: JsonObject, scope: Scope): JsonObject {
  const resolve = (path: string): Json => {
    const value = valueAt(scope, parsePath(path));
    if (value === undefined) throw new Fault('invalid_request', `${path} is not in the event.`);
    return value;
  };
  return fill(template, 0, { nodes: 0, resolve }) as JsonObject;
}

/** `Frame {data.name}` → `Frame x.cbf`: what is in braces is a reference path without `$.`; unknown ones are
 *  left out. At most 64 characters, the limit of a run's label. */
export function fillLabel(label: string, scope: Scope): string {
  const text = label
    .split('{')
    .map((part, index) => {
      const end = part.indexOf('}');
      if (index === 0 || end < 0) return index === 0 ? part : `{${part}`;
      const value = valueAt(scope, labelPath(part.slice(0, end)));
      const shown = value === undefined || (typeof value === 'object' && value !== null) ? '' : String(value);
      return shown + part.slice(end + 1);
    })
    .join('');
  return Array.from(text).slice(0, 64).join('').trim();
}

function labelPath(inner: string): readonly Step[] {
  return parsePath(`$.${inner}`);
}

/** Throws Fault invalid_request when a placeholder of the label cannot be read. */
export function checkLabel(label: string): void {
  for (const part of label.split('{').slice(1)) {
    const end = part.indexOf('}');
    if (end >= 0) labelPath(part.slice(0, end));
  }
}
