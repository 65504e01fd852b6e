// Tells who waits that actions have ended: listeners of this process at once, other services by a notification.
// All of it is a hint. A message names its sender, who need not hear it again.
import type { Db } from '../../db/connect.ts';
import type { Logger } from '../../log.ts';
import { grouped } from './group.ts';

export type EndedListener = (actionId: string) => void;

export interface EndedNews {
  /** `everywhere`: other services too; no need when the caller of this one has the answer in hand. */
  readonly tell: (actionId: string, everywhere: boolean) => void;
  readonly onEnded: (listener: EndedListener) => void;
  /** Starts hearing what other services tell. */
  readonly listen: () => Promise<void>;
}

export const ENDED_CHANNEL = 'action_ended';
/** PostgreSQL takes 8,000 bytes in a notification. */
const MAX_CHARACTERS = 6_000;

export function endedNews(db: Db, sender: string, log: Logger): EndedNews {
  const listeners: EndedListener[] = [];
  const call = (actionId: string): void => {
    for (const listener of listeners) {
      try {
        listener(actionId);
      } catch (error) {
        log.error({ err: error, action_id: actionId }, 'a listener for ended actions failed');
      }
    }
  };
  const send = grouped(
    async (ids: readonly string[]) => {
      await db.notify(ENDED_CHANNEL, JSON.stringify({ from: sender, ids }));
      return ids;
    },
    {
      items: 128,
      weight: MAX_CHARACTERS,
      weigh: (id: string) => id.length + 3,
      at_once: 1,
      waiting: 10_000,
      divisible: () => false,
    },
  );
  return {
    tell(actionId, everywhere) {
      call(actionId);
      if (!everywhere) return;
      send(actionId).catch((error: unknown) =>
        log.debug({ err: error }, 'an ended action was not announced'),
      );
    },
    onEnded(listener) {
      listeners.push(listener);
    },
    async listen() {
      await db.listen(ENDED_CHANNEL, (payload) => {
        for (const id of newsFrom(payload, sender)) call(id);
      });
    },
  };
}

/** The action ids in a notification of another service. */
function newsFrom(payload: string, self: string): readonly string[] {
  try {
    const news = JSON.parse(payload) as { from?: unknown; ids?: unknown };
    if (news.from === self || !Array.isArray(news.ids)) return [];
    return news.ids.filter((id) => typeof id === 'string');
  } catch {
    return [];
  }
}
