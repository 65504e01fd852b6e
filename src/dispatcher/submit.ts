// Tasks in: payloads become chunks of at most 100 tasks, stored in one statement that concurrent submissions
// share, and are offered for delivery once they are durable.
import { createHash } from 'node:crypto';
import type { Chance } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { insertChunks, loadChunks, type NewChunk } from '../db/tasks.ts';
import { Fault } from '../errors.ts';
import { CHUNK_TASKS, chunkIdFrom, taskId } from '../ids.ts';
import { encodeBatch } from '../protocol/batch.ts';
import type { TaskOptions } from '../protocol/messages.ts';
import { makeGroupCommit } from './group-commit.ts';

/** Tasks of one function for one endpoint. */
export interface Submission {
  readonly owner: string;
  readonly endpoint_id: string;
  readonly function_id: string;
  readonly task_group_id: string;
  readonly options: TaskOptions;
  readonly payloads: readonly Buffer[];
  /** The same key of the same owner makes the same tasks, once. */
  readonly key?: string;
}

export interface Submitter {
  /** Stores all of the submissions or none. Answers the task ids of each, in order. */
  submit(submissions: readonly Submission[]): Promise<string[][]>;
}

const STATEMENT_BYTES = 8 * 1024 * 1024;
const STATEMENTS = 2;

interface Pending {
  readonly chunks: readonly NewChunk[];
  readonly bytes: number;
}

/** Cuts a submission into chunks. With a key, chunk ids are made from it, so that they come out the same again. */
function toChunks(submission: Submission, chance: Chance): NewChunk[] {
  const chunks: NewChunk[] = [];
  for (let start = 0; start < submission.payloads.length; start += CHUNK_TASKS) {
    const payloads = submission.payloads.slice(start, start + CHUNK_TASKS);
    const seed =
      submission.key === undefined
        ? chance.bytes(16)
        : createHash('sha256')
            .update(JSON.stringify([submission.owner, submission.key, submission.function_id, start]))
            .digest();
    chunks.push({
      id: chunkIdFrom(seed),
      owner: submission.owner,
      endpoint_id: submission.endpoint_id,
      function_id: submission.function_id,
      task_group_id: submission.task_group_id,
      tasks: payloads.length,
      options: submission.options,
      payloads: encodeBatch(payloads.map((payload, index) => ({ index, attempt: 1, payload }))),
    });
  }
  return chunks;
}

export function makeSubmitter(deps: {
  readonly db: Db;
  readonly chance: Chance;
  /** Takes stored chunks for delivery; must not throw. */
  readonly offer: (chunks: readonly NewChunk[]) => void;
}): Submitter {
  const { db, chance, offer } = deps;
  const commit = makeGroupCommit<Pending, Set<string>>({
    concurrency: STATEMENTS,
    max_weight: STATEMENT_BYTES,
    weigh: (pending) => pending.bytes,
    exclusive: (pending) => pending.chunks.map((chunk) => chunk.id),
    async write(batch) {
      const stored = await insertChunks(
        db,
        batch.flatMap((pending) => pending.chunks),
      );
      return batch.map(() => stored);
    },
  });

  /** Chunks that were there already must be the same submission seen again, not another under the same key. */
  const checkRepeated = async (known: readonly NewChunk[]): Promise<void> => {
    const rows = new Map(
      (
        await loadChunks(
          db,
          known.map((chunk) => chunk.id),
        )
      ).map((row) => [row.id, row]),
    );
    for (const chunk of known) {
      const row = rows.get(chunk.id);
      if (row?.endpoint_id !== chunk.endpoint_id || row.tasks !== chunk.tasks) {
        throw new Fault('state_conflict', 'This idempotency key was used before for other tasks.', {
          remedy: 'Use a new key for a new submission.',
        });
      }
    }
  };

  return {
    async submit(submissions) {
      const cut = submissions.map((submission) => toChunks(submission, chance));
      const chunks = cut.flat();
      if (chunks.length === 0) return submissions.map(() => []);
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.payloads.length, 0);
      const stored = await commit.add({ chunks, bytes });
      const fresh = chunks.filter((chunk) => stored.has(chunk.id));
      const known = chunks.filter((chunk) => !stored.has(chunk.id));
      if (known.length > 0) await checkRepeated(known);
      if (fresh.length > 0) offer(fresh);
      return cut.map((own) =>
        own.flatMap((chunk) => Array.from({ length: chunk.tasks }, (_, index) => taskId(chunk.id, index))),
      );
    },
  };
}
