// Requests that become events: the two modes of CloudEvents over HTTP, plain JSON, and everything that is refused.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Fault } from '../../../src/errors.ts';
import { MAX_BODY, parseEvent, type HookRequest } from '../../../src/triggers/cloud-event.ts';
import type { CloudEvent } from '../../../src/triggers/ports.ts';

const bytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
const parse = (headers: HookRequest['headers'], body: HookRequest['body'], idHeader?: string): CloudEvent =>
  parseEvent({ headers, body }, 'T', () => 'fresh', idHeader);
const STRUCTURED = { 'content-type': 'application/cloudevents+json; charset=utf-8' };
const EVENT = { specversion: '1.0', id: 'A1', source: '/beam', type: 'org.lab.run.ended', data: { run: 7 } };

describe('an event over HTTP', () => {
  it('in structured mode is the body', () => {
    const event = parse(
      STRUCTURED,
      bytes({ ...EVENT, subject: 'r7', time: '2026-06-02T14:03:11.120Z', correlationid: 'c' }),
    );
    assert.deepEqual(event, {
      ...EVENT,
      subject: 'r7',
      time: '2026-06-02T14:03:11.120Z',
      correlationid: 'c',
      datacontenttype: 'application/json',
    });
  });

  it('in binary mode is in the headers, percent-decoded, with the body as data', () => {
    const event = parse(
      {
        'content-type': 'application/json',
        'ce-specversion': '1.0',
        'ce-id': 'A1',
        'ce-source': '/beam',
        'ce-type': 'org.lab.run.ended',
        'ce-subject': 'caf%C3%A9',
      },
      bytes({ run: 7 }),
    );
    assert.deepEqual(event, { ...EVENT, subject: 'café', datacontenttype: 'application/json' });
  });

  it('may be any JSON: its id comes from the header that identifies the delivery, or is new', () => {
    const json = { 'content-type': 'application/json' };
    assert.equal(parse(json, bytes([1])).id, 'fresh');
    assert.equal(parse({ ...json, 'idempotency-key': 'k' }, bytes({})).id, 'k');
    assert.equal(parse({ ...json, 'x-shot': '17', 'idempotency-key': 'k' }, bytes({}), 'X-Shot').id, '17');
    const event = parse({}, undefined);
    assert.deepEqual([event.source, event.type, event.data], ['/triggers/T', 'org.lab.webhook.v1', null]);
    assert.deepEqual(parse(json, { parsed: true }).data, { parsed: true });
  });

  it('is refused with a reason when it is no event', () => {
    const refused = (headers: HookRequest['headers'], body: unknown, why: RegExp): void => {
      assert.throws(
        () => parse(headers, body instanceof Uint8Array ? body : bytes(body)),
        (error) => error instanceof Fault && error.http < 500 && why.test(error.message),
        String(why),
      );
    };
    refused(STRUCTURED, [EVENT], /must be a JSON object/);
    refused(STRUCTURED, { ...EVENT, specversion: '0.3' }, /version 1\.0/);
    for (const name of ['id', 'source', 'type'] as const)
      refused(STRUCTURED, { ...EVENT, [name]: '' }, /must be text/);
    refused(STRUCTURED, { ...EVENT, id: 'x'.repeat(257) }, /id must be text/);
    refused(STRUCTURED, { ...EVENT, id: 5 }, /id must be text/);
    refused(STRUCTURED, { ...EVENT, time: 'yesterday' }, /RFC 3339/);
    refused(STRUCTURED, { ...EVENT, 'Bad-Name': 'x' }, /no name of an attribute/);
    refused(STRUCTURED, { ...EVENT, ext: { a: 1 } }, /text, a whole number or a boolean/);
    refused(STRUCTURED, { ...EVENT, data_base64: 'AA==' }, /Binary data/);
    refused(STRUCTURED, { ...EVENT, data: 'nul\0' }, /NUL/);
    refused(STRUCTURED, '{"specversion":"1.0","id":"\\ud800","source":"s","type":"t"}', /broken character/);
    refused({ 'content-type': 'application/cloudevents-batch+json' }, [EVENT], /Batches/);
    refused({ 'content-type': 'application/cloudevents+avro' }, 'x', /not supported/);
    refused({}, '{"a":', /not valid JSON/);
    refused({}, Buffer.from([0xff, 0xfe]), /not valid JSON/);
    refused({}, `${'['.repeat(100)}${']'.repeat(100)}`, /nested/);
    refused({}, `${'['.repeat(400_000)}${']'.repeat(400_000)}`, /nested/);
    refused({}, new Uint8Array(MAX_BODY + 1), /at most/);
    const many = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`x${i}`, i]));
    refused(STRUCTURED, { ...EVENT, ...many }, /at most 32 attributes/);
  });

  it('is either an event or a fault of the caller, whatever is sent', () => {
    const headers = fc.record(
      {
        'content-type': fc.constantFrom('application/json', 'application/cloudevents+json', 'text/plain', ''),
        'ce-specversion': fc.constantFrom('1.0', '2', '%zz'),
        'ce-id': fc.string(),
        'ce-source': fc.string(),
        'ce-type': fc.string(),
      },
      { requiredKeys: [] },
    );
    const body = fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.json().map(bytes), fc.constant(undefined));
    fc.assert(
      fc.property(headers, body, (given, sent) => {
        try {
          const event = parse(given, sent);
          assert.ok(event.id !== '' && event.source !== '' && event.type !== '');
        } catch (error) {
          assert.ok(error instanceof Fault && error.http < 500, String(error));
        }
      }),
    );
  });
});
