// The one way in for events: stored first, bounded by how many wait, told to whoever listens. Nothing is decided
// here.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../db/connect.ts';
import { hasWaiting, storeEvents, type StoredEvent } from '../db/trigger-events.ts';
import { Fault } from '../errors.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { CloudEvent } from './ports.ts';

/** Undecided events of one trigger at most; more are not taken until some are decided. */
export const MAX_WAITING = 100_000;
/** How long the answer to "are there too many?" is believed. */
const BELIEVED_MS = 1_000;

/** What happens to events, for whoever shows or counts it. A hint in this process only; the truth is in the tables. */
export type TriggerNotice =
  | {
      readonly is: 'stored';
      readonly trigger_id: string;
      readonly event_id: string;
      readonly subject: string | null;
    }
  | {
      readonly is: 'decided';
      readonly trigger_id: string;
      readonly event_id: string;
      readonly decision: 'fired' | 'filtered' | 'paused' | 'failed';
      readonly run_id: string | null;
      readonly reason: string | null;
    };

export type NoticeListener = (notice: TriggerNotice) => void;

export interface EventStore {
  /** For sources: waits while too many events wait, then stores. Throws when the trigger is not this host's to
   *  write for any more. */
  fromSource(
    triggerId: string,
    events: readonly CloudEvent[],
    cursor: JsonObject | null,
    signal: AbortSignal,
  ): Promise<void>;
  /** For people and webhooks: answers the stored event, or null for one that was stored before. Throws Fault
   *  too_many_requests or trigger_not_found. */
  fromRequest(triggerId: string, event: CloudEvent, byHand: boolean): Promise<StoredEvent | null>;
}

export interface EventStoreOptions {
  readonly db: Db;
  /** This host's id: the fence of fromSource. */
  readonly host: string;
  readonly elapsed: () => number;
  /** Undecided events of one trigger at most; default MAX_WAITING. */
  readonly max_waiting?: number;
  readonly notify: NoticeListener;
  /** New events of this trigger are stored. */
  readonly onStored: (triggerId: string) => void;
}

export function makeEventStore(options: EventStoreOptions): EventStore {
  const { db, host, elapsed, notify, onStored } = options;
  const max_waiting = options.max_waiting ?? MAX_WAITING;
  const crowded = new Map<string, { readonly at_ms: number; readonly is: boolean }>();

  const isCrowded = async (triggerId: string): Promise<boolean> => {
    const known = crowded.get(triggerId);
    if (known !== undefined && elapsed() - known.at_ms < BELIEVED_MS) return known.is;
    if (crowded.size > 10_000) crowded.clear();
    const is = await hasWaiting(db, triggerId, max_waiting);
    crowded.set(triggerId, { at_ms: elapsed(), is });
    return is;
  };
  const store = async (
    triggerId: string,
    events: readonly CloudEvent[],
    extra: { host: string | null; by_hand: boolean; cursor: JsonObject | null },
  ): Promise<StoredEvent[] | null> => {
    const rows = events.map((event) => ({
      event_id: event.id,
      source: event.source,
      event: JSON.stringify(event),
    }));
    const stored = await storeEvents(db, { trigger_id: triggerId, events: rows, ...extra });
    if (stored === null || stored.length === 0) return stored;
    const subjects = new Map(events.map((event) => [event.id, event.subject ?? null]));
    for (const { event_id } of stored)
      notify({ is: 'stored', trigger_id: triggerId, event_id, subject: subjects.get(event_id) ?? null });
    onStored(triggerId);
    return stored;
  };
  return {
    async fromSource(triggerId, events, cursor, signal) {
      while (events.length > 0 && (await isCrowded(triggerId)))
        await sleep(BELIEVED_MS, undefined, { signal });
      const stored = await store(triggerId, events, { host, by_hand: false, cursor });
      if (stored === null) throw new Error('this trigger is paused, deleted, or led by another service');
    },
    async fromRequest(triggerId, event, byHand) {
      if (await isCrowded(triggerId)) {
        throw new Fault('too_many_requests', `${max_waiting} events of this trigger wait to be decided.`, {
          remedy: 'Send it again later; the event was not stored.',
          retry_after_s: 5,
        });
      }
      const stored = await store(triggerId, [event], { host: null, by_hand: byHand, cursor: null });
      if (stored === null) throw new Fault('trigger_not_found', `No such trigger: ${triggerId}`);
      return stored[0] ?? null;
    },
  };
}
