// What is left out when a run or a definition is shown: members named `_private…`, and private parameters
// wherever they were written. The engine itself always works on the whole.
import type { Json, JsonObject } from '../providers/contract.ts';
import { isObject, setMember, type Keys } from './paths.ts';
import { PRIVATE_LIST, splitKey } from './parameters.ts';

function without(value: Json, hidden: readonly Keys[]): Json {
  if (Array.isArray(value)) {
    return (value as readonly Json[]).map((item, index) => without(item, below(hidden, index)));
  }
  if (!isObject(value)) return value;
  const shown: Record<string, Json> = {};
  for (const [key, member] of Object.entries(value)) {
    const deeper = below(hidden, key);
    if (key.startsWith('_private') || deeper.some((keys) => keys.length === 0)) continue;
    setMember(shown, key, without(member, deeper));
  }
  return shown;
}

function below(hidden: readonly Keys[], key: string | number): readonly Keys[] {
  return hidden.length === 0 ? hidden : hidden.filter((keys) => keys[0] === key).map((keys) => keys.slice(1));
}

/** A value as it may be shown: without `_private…` members and without the hidden places. */
export function redact<T extends Json>(value: T, hidden: readonly Keys[]): T {
  return without(value, hidden) as T;
}

function publicPart(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(publicPart);
  if (!isObject(value)) return value;
  const list: Json | undefined = value[PRIVATE_LIST];
  const names = new Set(
    Array.isArray(list)
      ? (list as readonly Json[]).map((name) => (typeof name === 'string' ? splitKey(name).name : ''))
      : [],
  );
  const shown: Record<string, Json> = {};
  for (const [key, member] of Object.entries(value)) {
    if (key !== PRIVATE_LIST && !names.has(splitKey(key).name)) setMember(shown, key, publicPart(member));
  }
  return shown;
}

/** A definition for those who are not the flow's administrators: without private parameters. */
export function publicDefinition(definition: JsonObject): JsonObject {
  return publicPart(definition) as JsonObject;
}
