// From an HTTP request to a CloudEvents 1.0 envelope: binary mode (ce-… headers), structured mode
// (application/cloudevents+json), or any JSON body. Source: CloudEvents HTTP protocol binding 1.0.2.
import { Fault } from '../errors.ts';
import type { Json, JsonObject } from '../providers/contract.ts';
import type { CloudEvent } from './ports.ts';

/** Bytes of a body, characters of a source and of an id, depth of JSON. */
export const MAX_BODY = 1024 * 1024;
const MAX_SOURCE = 1_024;
const MAX_ID = 256;
const MAX_TEXT = 4_096;
const MAX_DEPTH = 64;
const MAX_ATTRIBUTES = 32;

const RAW_TYPE = 'org.lab.webhook.v1';
/** Headers that identify a delivery of a sender that speaks no CloudEvents: a repeat has the same value. */
const ID_HEADERS = ['idempotency-key', 'x-tiled-event-id', 'x-github-delivery'];

const RFC3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
/** With the u flag a surrogate matches only when it is not one of a pair. */
const LONE_SURROGATE = /\p{Surrogate}/u;
const ATTRIBUTE = /^[a-z0-9]{1,20}$/;

export interface HookRequest {
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The body as it came, or the JSON that a parser made of it. */
  readonly body: Uint8Array | Json | undefined;
}

function refuse(message: string, remedy?: string): never {
  throw new Fault('invalid_request', message, remedy === undefined ? {} : { remedy });
}

function header(request: HookRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : value?.[0];
}

/** Refuses JSON that a database or a later reader would choke on: too deep, NUL, broken surrogates. */
export function checkJson(root: Json): void {
  const todo: { value: Json; depth: number }[] = [{ value: root, depth: 0 }];
  const checkText = (text: string): void => {
    if (text.includes('\0') || LONE_SURROGATE.test(text))
      refuse('The event contains a NUL or a broken character, which cannot be stored.');
  };
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const { value, depth } = next;
    if (depth > MAX_DEPTH) refuse(`The event is nested more than ${MAX_DEPTH} levels deep.`);
    if (typeof value === 'string') checkText(value);
    else if (Array.isArray(value)) {
      for (const item of value as readonly Json[]) todo.push({ value: item, depth: depth + 1 });
    } else if (typeof value === 'object' && value !== null) {
      for (const [key, item] of Object.entries(value as JsonObject)) {
        checkText(key);
        todo.push({ value: item, depth: depth + 1 });
      }
    }
  }
}

function bytesOf(body: HookRequest['body']): Uint8Array | null {
  return body instanceof Uint8Array ? body : null;
}

/** The body as JSON; undefined when there is none. */
function jsonBody(request: HookRequest): Json | undefined {
  const bytes = bytesOf(request.body);
  if (bytes === null) return request.body as Json | undefined;
  if (bytes.byteLength === 0) return undefined;
  if (bytes.byteLength > MAX_BODY)
    throw new Fault('payload_too_large', `An event is at most ${MAX_BODY} bytes.`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Json;
  } catch (error) {
    throw new Fault('bad_json', 'The body of the event is not valid JSON in UTF-8.', { cause: error });
  }
}

function text(value: unknown, name: string, limit: number): string {
  if (typeof value !== 'string' || value === '' || value.length > limit)
    return refuse(`The event's ${name} must be text of 1 to ${limit} characters.`);
  return value;
}

function isTime(value: unknown): boolean {
  return typeof value === 'string' && RFC3339.test(value) && !Number.isNaN(Date.parse(value));
}

/** Checks attributes and data, whichever mode they came in. */
function envelope(attributes: Readonly<Record<string, unknown>>, data: Json | undefined): CloudEvent {
  if (attributes.specversion !== '1.0')
    refuse('The event is not of CloudEvents version 1.0.', 'Send specversion 1.0.');
  const names = Object.keys(attributes);
  if (names.length > MAX_ATTRIBUTES) refuse(`An event has at most ${MAX_ATTRIBUTES} attributes.`);
  for (const name of names) {
    const value = attributes[name];
    if (!ATTRIBUTE.test(name)) refuse(`${JSON.stringify(name.slice(0, 40))} is no name of an attribute.`);
    const plain = typeof value === 'string' || typeof value === 'boolean' || Number.isInteger(value);
    if (!plain) refuse(`The event's ${name} must be text, a whole number or a boolean.`);
    if (typeof value === 'string') text(value, name, MAX_TEXT);
  }
  const { time } = attributes;
  if (time !== undefined && !isTime(time))
    refuse("The event's time is not in the form of RFC 3339, e.g. 2026-06-02T14:03:11Z.");
  const event = {
    ...(attributes as Record<string, Json>),
    specversion: '1.0' as const,
    id: text(attributes.id, 'id', MAX_ID),
    source: text(attributes.source, 'source', MAX_SOURCE),
    type: text(attributes.type, 'type', MAX_SOURCE),
    ...(data === undefined ? {} : { datacontenttype: 'application/json' as const, data }),
  };
  checkJson(event);
  return event;
}

function structured(request: HookRequest): CloudEvent {
  const body = jsonBody(request);
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    return refuse('A structured event must be a JSON object.');
  const { data, data_base64, ...attributes } = body as JsonObject;
  if (data_base64 !== undefined) refuse('Binary data in events is not supported; send JSON data.');
  return envelope(attributes, data);
}

function percentDecoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function binary(request: HookRequest): CloudEvent {
  const attributes: Record<string, string> = {};
  for (const name of Object.keys(request.headers)) {
    if (name.startsWith('ce-')) attributes[name.slice(3)] = percentDecoded(header(request, name) ?? '');
  }
  return envelope(attributes, jsonBody(request));
}

function raw(request: HookRequest, triggerId: string, makeId: () => string, idHeader?: string): CloudEvent {
  const names = idHeader === undefined ? ID_HEADERS : [idHeader.toLowerCase(), ...ID_HEADERS];
  const given = names
    .map((name) => header(request, name))
    .find((value) => value !== undefined && value !== '');
  const attributes = {
    specversion: '1.0',
    id: given ?? makeId(),
    source: `/triggers/${triggerId}`,
    type: RAW_TYPE,
  };
  return envelope(attributes, jsonBody(request) ?? null);
}

/**
 * The event in a request. A body that is no CloudEvent becomes the data of one; its id comes from a header that
 * identifies the delivery, or is new. Throws Fault invalid_request, bad_json or payload_too_large.
 */
export function parseEvent(
  request: HookRequest,
  triggerId: string,
  makeId: () => string,
  idHeader?: string,
): CloudEvent {
  const type = (header(request, 'content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
  if (type.startsWith('application/cloudevents-batch'))
    refuse('Batches of events are not supported.', 'Send one event per request.');
  if (type.startsWith('application/cloudevents')) {
    if (type !== 'application/cloudevents+json') refuse(`Events in the format ${type} are not supported.`);
    return structured(request);
  }
  if (header(request, 'ce-specversion') !== undefined) return binary(request);
  return raw(request, triggerId, makeId, idHeader);
}
