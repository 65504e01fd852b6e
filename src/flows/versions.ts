// Checked definitions by version: a version never changes, so each is parsed once while it is in use.
import type { Db } from '../db/connect.ts';
import { findVersions } from '../db/flows.ts';
import { parseFlow, problemsMessage, type Flow } from './language.ts';
import { UnusableFlow } from './turn.ts';

const MOST_REMEMBERED = 200;

export interface Versions {
  /** Throws UnusableFlow for a definition that this service does not take. */
  flowOf(version: number): Promise<Flow>;
}

export function makeVersions(db: Db): Versions {
  const known = new Map<number, Promise<Flow>>();

  const load = async (version: number): Promise<Flow> => {
    const [row] = await findVersions(db, [version]);
    if (row === undefined) throw new UnusableFlow(`version ${version} of its flow is gone`);
    const parsed = parseFlow(row.definition);
    if (!parsed.ok) throw new UnusableFlow(problemsMessage(parsed.items));
    return parsed.flow;
  };

  return {
    flowOf(version) {
      const found = known.get(version);
      if (found !== undefined) return found;
      const loading = load(version);
      known.set(version, loading);
      // The database may be away for a moment: only answers are remembered.
      loading.catch(() => known.delete(version));
      const oldest = known.keys().next().value;
      if (known.size > MOST_REMEMBERED && oldest !== undefined) known.delete(oldest);
      return loading;
    },
  };
}
