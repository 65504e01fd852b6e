// Joins calls into batches: what is asked for while earlier batches are under way goes out together in the next.
// A lone call goes at once, so one caller pays nothing; many callers share a round trip and a commit.
import { Fault } from '../../errors.ts';

export interface GroupLimits<I> {
  /** Calls in one batch at most, and the sum of their weights. */
  readonly items: number;
  readonly weight: number;
  readonly weigh: (item: I) => number;
  /** Batches under way at once. */
  readonly at_once: number;
  /** Calls that may wait; one more is refused. */
  readonly waiting: number;
  /** Did one item spoil the batch? Then each goes alone, and only the spoiler fails. */
  readonly divisible: (error: unknown) => boolean;
}

interface Waiting<I, O> {
  readonly item: I;
  readonly weight: number;
  readonly resolve: (answer: O) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes a function of one item from a function of many; `work` answers in the order of its items. */
export function grouped<I, O>(
  work: (items: readonly I[]) => Promise<readonly O[]>,
  limits: GroupLimits<I>,
): (item: I) => Promise<O> {
  const queue: Waiting<I, O>[] = [];
  let running = 0;
  let planned = false;

  const take = (): Waiting<I, O>[] => {
    let weight = 0;
    let count = 0;
    for (const waiting of queue) {
      weight += waiting.weight;
      if (count > 0 && (count >= limits.items || weight > limits.weight)) break;
      count++;
    }
    return queue.splice(0, count);
  };

  const settle = async (batch: readonly Waiting<I, O>[]): Promise<void> => {
    try {
      const answers = await work(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => waiting.resolve(answers[index] as O));
    } catch (error) {
      if (batch.length > 1 && limits.divisible(error)) {
        for (const waiting of batch) await settle([waiting]);
      } else {
        for (const waiting of batch) waiting.reject(error);
      }
    }
  };

  const pump = (): void => {
    planned = false;
    while (running < limits.at_once && queue.length > 0) {
      running++;
      void settle(take()).finally(() => {
        running--;
        pump();
      });
    }
  };

  return (item) =>
    new Promise<O>((resolve, reject) => {
      if (queue.length >= limits.waiting) {
        const extras = { remedy: 'Send the request again in a moment.', retry_after_s: 1 };
        reject(new Fault('unavailable', 'Too many requests wait for the database.', extras));
        return;
      }
      queue.push({ item, weight: limits.weigh(item), resolve, reject });
      if (planned) return;
      planned = true;
      queueMicrotask(pump);
    });
}
