// From what a person types, an id, the first part of one, or a name, to the one thing meant.
import { isUuid } from '../ids.ts';
import { CliError, EXIT, usageError } from './exit.ts';
import { plain } from './render/text.ts';

export interface Named {
  readonly id: string;
  readonly name: string | null;
}

export type Pick<T> =
  | { readonly kind: 'one'; readonly item: T }
  | { readonly kind: 'none' }
  | { readonly kind: 'many'; readonly items: readonly T[] };

function among<T>(items: readonly T[]): Pick<T> {
  const [first, ...others] = items;
  if (first === undefined) return { kind: 'none' };
  return others.length === 0 ? { kind: 'one', item: first } : { kind: 'many', items };
}

/** A whole id wins over a whole name, and that over the first part of an id. */
export function pick<T extends Named>(text: string, items: readonly T[]): Pick<T> {
  const whole = items.find((item) => item.id === text.toLowerCase());
  if (whole !== undefined) return { kind: 'one', item: whole };
  const named = among(items.filter((item) => item.name === text));
  if (named.kind !== 'none' || text === '') return named;
  return among(items.filter((item) => item.id.startsWith(text.toLowerCase())));
}

export interface Lookup {
  /** What it is, in words: `task`, `flow`. */
  readonly noun: string;
  /** The command that lists them. */
  readonly list_command: string;
  /** Of several with the same name, the first listed is meant. */
  readonly newest_wins?: boolean;
}

/** The id meant. A whole id is not looked up: the service says whether it is there. */
export async function resolveId(
  text: string,
  lookup: Lookup,
  list: () => Promise<readonly Named[]>,
): Promise<string> {
  if (isUuid(text.toLowerCase())) return text.toLowerCase();
  const picked = pick(text, await list());
  if (picked.kind === 'one') return picked.item.id;
  if (picked.kind === 'none') {
    throw new CliError(EXIT.not_found, `There is no ${lookup.noun} "${text}".`, {
      remedy: `see what there is: ${lookup.list_command}`,
      code: `${lookup.noun}_not_found`,
    });
  }
  const same_name = picked.items.every((item) => item.name === text);
  const first = picked.items[0];
  if (lookup.newest_wins === true && same_name && first !== undefined) return first.id;
  const some = picked.items
    .slice(0, 5)
    .map((item) => `${item.id}${item.name === null ? '' : ` (${plain(item.name)})`}`);
  throw usageError(
    `"${text}" may be any of ${picked.items.length} ${lookup.noun}s: ${some.join(', ')}${picked.items.length > 5 ? ', …' : ''}`,
    'type more of the id',
  );
}
