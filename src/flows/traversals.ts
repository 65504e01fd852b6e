// Counts the ways through a flow, for the answer of /flows/validate.
import type { Flow } from './language.ts';

const MOST = 1_000_000;

/** Ways from the start to an end that enter no state twice, up to a million. */
export function countTraversals(flow: Flow): number {
  let count = 0;
  let steps = 0;
  const walk = (name: string, seen: ReadonlySet<string>): void => {
    steps += 1;
    if (count >= MOST || steps > MOST) return;
    const targets = [...new Set(flow.states.get(name)?.targets.map((target) => target.name) ?? [])];
    const state = flow.states.get(name);
    if (state?.next === null && (state.type !== 'Choice' || targets.length === 0)) count += 1;
    for (const target of targets) if (!seen.has(target)) walk(target, new Set([...seen, target]));
  };
  walk(flow.startAt, new Set([flow.startAt]));
  return Math.max(count, 1);
}
