// Events that come by request: webhooks, and events that a person fires by hand.
import type { Db } from '../db/connect.ts';
import { eventById, type EventRow } from '../db/trigger-events.ts';
import type { TriggerRow } from '../db/triggers.ts';
import { Fault } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';
import { checkJson, parseEvent, type HookRequest } from './cloud-event.ts';
import type { CloudEvent } from './ports.ts';
import { isSigned, unseal } from './secrets.ts';
import type { EventStore } from './store.ts';

const SIGNATURE_HEADER = 'x-hub-signature-256';
const MANUAL_TYPE = 'org.lab.manual.v1';

/** The answer to an event: its id, and what is decided about it so far. */
export interface Receipt {
  readonly event_id: string;
  readonly decision: 'waiting' | 'fired' | 'filtered' | 'paused' | 'failed';
  readonly run_id: string | null;
  /** It was stored before; nothing new happened. */
  readonly duplicate: boolean;
  readonly reason: string | null;
}

/** A request to fire by hand: with an event that is stored, with a given one, or with none. */
export interface FireRequest {
  /** Id of a stored event: its type, subject and data are used again. */
  readonly event_id?: string;
  readonly event?: { readonly type?: string; readonly subject?: string; readonly data?: Json };
  /** The same request_id again is the same event. */
  readonly request_id?: string;
}

export interface InboxOptions {
  readonly db: Db;
  readonly store: EventStore;
  readonly now: () => number;
  readonly makeId: () => string;
  /** Opens sealed signing secrets; null when this service has no key. */
  readonly secret_key: Buffer | null;
}

export interface Inbox {
  webhook(row: TriggerRow, request: HookRequest): Promise<Receipt>;
  /** Checks the signature first, when the trigger has a signing secret. Throws Fault unauthenticated. */
  signedWebhook(row: TriggerRow, request: HookRequest): Promise<Receipt>;
  fire(row: TriggerRow, request: FireRequest): Promise<Receipt>;
}

export function receiptOf(row: EventRow, duplicate: boolean): Receipt {
  const decision = row.decision ?? (row.while_paused ? 'paused' : 'waiting');
  return { event_id: row.event_id, decision, run_id: row.run_id, duplicate, reason: row.reason };
}

function checkSignature(row: TriggerRow, request: HookRequest, key: Buffer | null): void {
  if (row.signing_secret === null) return;
  const name = (row.config as { signature_header?: string }).signature_header ?? SIGNATURE_HEADER;
  const value = request.headers[name.toLowerCase()];
  const signature = typeof value === 'string' ? value : '';
  if (key === null) throw new Fault('unavailable', 'This service cannot check signatures: it has no key.');
  // A body that a parser took apart is not what was signed.
  const signed =
    request.body instanceof Uint8Array && isSigned(request.body, signature, unseal(row.signing_secret, key));
  if (!signed) {
    throw new Fault('unauthenticated', `The signature in ${name} is missing or wrong.`, {
      remedy: 'Sign the body with HMAC-SHA256 and the signing secret of the trigger.',
    });
  }
}

export function makeInbox({ db, store, now, makeId, secret_key }: InboxOptions): Inbox {
  const take = async (row: TriggerRow, event: CloudEvent, byHand: boolean): Promise<Receipt> => {
    const stored = await store.fromRequest(row.id, event, byHand);
    if (stored !== null) {
      const decision = stored.while_paused ? 'paused' : 'waiting';
      return { event_id: event.id, decision, run_id: null, duplicate: false, reason: null };
    }
    const known = await eventById(db, row.id, event.id);
    if (known === null) throw new Fault('trigger_not_found', `No such trigger: ${row.id}`);
    return receiptOf(known, true);
  };
  const webhook = (row: TriggerRow, request: HookRequest): Promise<Receipt> => {
    if (row.kind !== 'webhook') {
      throw new Fault('state_conflict', `A ${row.kind} trigger takes no events over HTTP.`, {
        remedy: 'Post to a webhook trigger, or fire this one by hand.',
      });
    }
    const idHeader = (row.config as { id_header?: string }).id_header;
    return take(row, parseEvent(request, row.id, makeId, idHeader), false);
  };
  const chosen = async (row: TriggerRow, request: FireRequest): Promise<Partial<CloudEvent>> => {
    if (request.event_id === undefined) return {};
    const found = await eventById(db, row.id, request.event_id);
    if (found === null) {
      throw new Fault('invalid_request', `The trigger has no event ${request.event_id.slice(0, 80)}.`, {
        remedy: 'Take an event_id from the list of its events.',
      });
    }
    return found.event as Partial<CloudEvent>;
  };
  return {
    webhook,
    async signedWebhook(row, request) {
      checkSignature(row, request, secret_key);
      return webhook(row, request);
    },
    async fire(row, request) {
      const base = await chosen(row, request);
      const given = request.event ?? {};
      const subject = given.subject ?? base.subject;
      const data = given.data ?? base.data ?? {};
      const event: CloudEvent = {
        specversion: '1.0',
        id: `manual:${request.request_id ?? makeId()}`,
        source: `/triggers/${row.id}/manual`,
        type: given.type ?? base.type ?? MANUAL_TYPE,
        ...(subject === undefined ? {} : { subject }),
        time: new Date(now()).toISOString(),
        datacontenttype: 'application/json',
        data,
      };
      checkJson(event as JsonObject);
      return take(row, event, true);
    },
  };
}
