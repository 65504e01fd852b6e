// Group commit: what gathers while one statement is on its way shares the next one. No timer: an idle system
// adds no delay, a busy one makes larger batches by itself.

export interface GroupCommit<Item, Answer> {
  /** Adds an item to the next batch; resolves with its answer once the batch is durable. */
  add(item: Item): Promise<Answer>;
  /** Items waiting or on their way. */
  readonly size: number;
}

export interface GroupCommitOptions<Item, Answer> {
  /** Writes one batch; answers one value an item, in order. A throw fails every item of the batch. */
  readonly write: (items: readonly Item[]) => Promise<readonly Answer[]>;
  /** Batches on their way at once. */
  readonly concurrency: number;
  /** A batch is closed when its weights reach this; a single heavier item travels alone. */
  readonly max_weight: number;
  readonly weigh: (item: Item) => number;
  /** Items that may not share a batch have the same key. */
  readonly exclusive?: (item: Item) => readonly string[];
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

export function makeGroupCommit<Item, Answer>(
  options: GroupCommitOptions<Item, Answer>,
): GroupCommit<Item, Answer> {
  let waiting: Waiting<Item, Answer>[] = [];
  let onTheWay = 0;
  let itemsOnTheWay = 0;
  /** Keys of the batches on their way: a second batch with one of them would race the first. */
  const busy = new Set<string>();

  const takeBatch = (): Waiting<Item, Answer>[] => {
    const batch: Waiting<Item, Answer>[] = [];
    const later: Waiting<Item, Answer>[] = [];
    const keys = new Set<string>();
    let weight = 0;
    for (const [place, entry] of waiting.entries()) {
      const mine = options.exclusive?.(entry.item) ?? [];
      const fits = batch.length === 0 || weight + options.weigh(entry.item) <= options.max_weight;
      if (!fits) {
        later.push(...waiting.slice(place));
        break;
      }
      if (mine.some((key) => keys.has(key) || busy.has(key))) {
        later.push(entry);
        // A later item with the same key must not overtake this one.
        for (const key of mine) keys.add(key);
        continue;
      }
      batch.push(entry);
      weight += options.weigh(entry.item);
      for (const key of mine) keys.add(key);
    }
    waiting = later;
    return batch;
  };

  const pump = (): void => {
    while (onTheWay < options.concurrency && waiting.length > 0) {
      const batch = takeBatch();
      if (batch.length === 0) return;
      void send(batch);
    }
  };

  const send = async (batch: readonly Waiting<Item, Answer>[]): Promise<void> => {
    const keys = batch.flatMap((entry) => options.exclusive?.(entry.item) ?? []);
    for (const key of keys) busy.add(key);
    onTheWay++;
    itemsOnTheWay += batch.length;
    try {
      const answers = await options.write(batch.map((entry) => entry.item));
      batch.forEach((entry, place) => entry.resolve(answers[place] as Answer));
    } catch (error) {
      for (const entry of batch) entry.reject(error);
    } finally {
      for (const key of keys) busy.delete(key);
      onTheWay--;
      itemsOnTheWay -= batch.length;
      pump();
    }
  };

  return {
    add(item) {
      return new Promise<Answer>((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        pump();
      });
    },
    get size() {
      return waiting.length + itemsOnTheWay;
    },
  };
}
