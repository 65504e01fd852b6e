// Counts the ways through a flow, for the answer of /flows/validate.
import type { Flow } from './language.ts';

/** Counting stops here: flows with many choices have more ways than anybody wants to wait for. */
const MOST_STEPS = 20_000;

/** Ways from the start to an end that enter no state twice; a lower bound where there are very many. */
export function countTraversals(flow: Flow): number {
  const seen = new Set<string>();
  let count = 0;
  let steps = 0;
  const walk = (name: string): void => {
    const state = flow.states.get(name);
    steps += 1;
    if (state === undefined || seen.has(name) || steps > MOST_STEPS) return;
    seen.add(name);
    if (state.next === null && state.type !== 'Choice') count += 1;
    for (const target of new Set(state.targets.map((one) => one.name))) walk(target);
    seen.delete(name);
  };
  walk(flow.startAt);
  return Math.max(count, 1);
}
