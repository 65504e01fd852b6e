// From an event to what is done about it: templates, labels, filters, pace, file systems and secrets.
import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { requestIdOf } from '../../../src/triggers/decider.ts';
import { fileSystemFor } from '../../../src/triggers/files/file-system.ts';
import { LOOK_GAP_MS, lookPause_ms, scanPause_ms } from '../../../src/triggers/files/pace.ts';
import { makeMatcher, type Rule } from '../../../src/triggers/match.ts';
import type { CloudEvent } from '../../../src/triggers/ports.ts';
import { hashSecret, isSecret, isSigned, seal, unseal } from '../../../src/triggers/secrets.ts';
import { checkTemplate, fillLabel, fillTemplate, parsePath } from '../../../src/triggers/template.ts';

const EVENT: CloudEvent = {
  specversion: '1.0',
  id: 'e1',
  source: '/triggers/t',
  type: 'org.lab.file.settled.v1',
  subject: 'run1/a.h5',
  time: '2026-06-01T00:00:00Z',
  data: { path: '/data/run1/a.h5', name: 'a.h5', sizes: [1, { 'odd name': 2 }] },
};
const RULE: Rule = { id: 't', name: 'drop', input: { 'p.$': '$.path' }, label: 'Frame {name}', filter: null };

describe('an input template', () => {
  const scope = { event: EVENT as never, data: EVENT.data as never, trigger: { id: 't', name: 'drop' } };

  it('replaces what its keys ending in .$ name, at any depth, and leaves the rest as it is', () => {
    const template = {
      endpoint_id: 'e',
      'path.$': '$.event.data.path',
      tasks: [
        { args: [1, null], kwargs: { 'n.$': "$.data.sizes[1]['odd name']", 'one.$': '$.data.sizes[0]' } },
      ],
    };
    assert.deepEqual(fillTemplate(template, scope), {
      endpoint_id: 'e',
      path: '/data/run1/a.h5',
      tasks: [{ args: [1, null], kwargs: { n: 2, one: 1 } }],
    });
  });

  it('is refused when a path cannot be read or begins with nothing known', () => {
    for (const bad of [
      'event',
      '$',
      '$.nothing.x',
      '$..event',
      '$.event[*]',
      "$.event['a",
      '$.event[?(@.x)]',
      '$.',
    ])
      assert.throws(() => checkTemplate({ 'x.$': bad }), /reference path/, bad);
    assert.throws(() => checkTemplate({ 'x.$': 5 }), /in a string/);
    let deep: object = {};
    for (let i = 0; i < 40; i++) deep = { deep };
    assert.throws(() => checkTemplate(deep as never), /too deeply/);
    assert.deepEqual(parsePath('$.event.data'), ['event', 'data']);
  });

  it('does not reach what an event inherits', () => {
    for (const path of ['$.event.constructor', '$.data.__proto__', '$.event.data.toString'])
      assert.throws(() => fillTemplate({ 'x.$': path }, scope), /is not in the event/);
  });

  it('makes a label of at most 64 characters and leaves out what is not there', () => {
    assert.equal(
      fillLabel('{trigger.name}: {event.subject}{data.none} {data.sizes}!', scope),
      'drop: run1/a.h5 !',
    );
    assert.equal(Array.from(fillLabel('é'.repeat(100), scope)).length, 64);
  });
});

describe('a rule', () => {
  it('starts a run with body and label', () => {
    const body = { p: '/data/run1/a.h5' };
    assert.deepEqual(makeMatcher(RULE)(EVENT, false), { is: 'start', body, label: 'Frame a.h5' });
  });

  it('lets through what its filter names, and everything that a person fires', () => {
    const rule: Rule = { ...RULE, filter: { subject: ['run2/*'], type: ['org.lab.file.*'] } };
    const verdict = makeMatcher(rule)(EVENT, false);
    assert.equal(verdict.is, 'filtered');
    assert.match('reason' in verdict ? verdict.reason : '', /run1\/a\.h5/);
    assert.equal(makeMatcher(rule)(EVENT, true).is, 'start');
    assert.equal(makeMatcher(rule)({ ...EVENT, subject: 'run2/b.h5' }, false).is, 'start');
  });

  it('fails an event that lacks what the template needs, and says what', () => {
    const verdict = makeMatcher({ ...RULE, input: { 'x.$': '$.data.energy' } })(EVENT, false);
    assert.ok(verdict.is === 'failed' && verdict.reason.includes('$.data.energy is not in the event'));
  });

  it('asks for the run of an event always under the same UUID, and for another event under another', () => {
    const id = requestIdOf('t', EVENT);
    assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal(requestIdOf('t', { ...EVENT }), id);
    assert.notEqual(requestIdOf('u', EVENT), id);
    assert.notEqual(requestIdOf('t', { ...EVENT, source: '/other' }), id);
  });
});

describe('the pace of a file source', () => {
  const rules = { poll_ms: 10_000, settle_ms: 2_000, trusted: true };

  it('stretches with the time a scan takes, and on idle folders only where notifications are complete', () => {
    assert.equal(scanPause_ms(rules, 5, 0), 10_000);
    assert.equal(scanPause_ms(rules, 3_000, 0), 30_000);
    assert.equal(scanPause_ms(rules, 5, 100), 60_000);
    assert.equal(scanPause_ms({ ...rules, trusted: false }, 5, 100), 10_000);
    assert.equal(scanPause_ms({ ...rules, poll_ms: 600_000 }, 5, 100), 600_000);
  });

  it('looks at half the settle time, at the moment when a file can settle, and never in a hurry', () => {
    assert.equal(lookPause_ms(rules, 1, null), null);
    assert.equal(lookPause_ms(rules, 1, 2_000), 1_000);
    assert.equal(lookPause_ms(rules, 1, 700), 702);
    assert.equal(lookPause_ms(rules, 1, 0), LOOK_GAP_MS);
    assert.equal(lookPause_ms(rules, 500, 1), 2_000);
  });
});

describe('file systems', () => {
  it('that are on a network are never trusted, and unknown ones neither', () => {
    for (const magic of [0x6969, 0xff534d42, 0x0bd00bd0, 0x47504653, 0x65735546, 0x01021997])
      assert.equal(fileSystemFor(magic).notifications, 'none');
    assert.equal(fileSystemFor(-11317950).name, 'cifs');
    assert.equal(fileSystemFor(0x6969).min_settle_ms, 4_000);
    assert.equal(fileSystemFor(0xef53).notifications, 'trusted');
    assert.equal(fileSystemFor(0x794c7630).notifications, 'hints');
    assert.deepEqual([fileSystemFor(0x1234).remote, fileSystemFor(0x1234).notifications], [true, 'hints']);
  });
});

describe('secrets', () => {
  it('are compared by hash, sealed for keeping, and signatures checked over the bytes', () => {
    assert.ok(isSecret('right', hashSecret('right')));
    assert.ok(!isSecret('wrong', hashSecret('right')));
    assert.ok(!isSecret('', null));
    const key = randomBytes(32);
    const sealed = seal('signing secret', key, randomBytes(12));
    assert.equal(unseal(sealed, key), 'signing secret');
    assert.ok(!sealed.includes('signing'));
    assert.throws(() => unseal(sealed, randomBytes(32)));
    const body = Buffer.from('{"a":1}');
    const hex = createHmac('sha256', 's').update(body).digest('hex');
    assert.ok(isSigned(body, hex, 's') && isSigned(body, `sha256=${hex.toUpperCase()}`, 's'));
    for (const bad of ['', 'sha256=', hex.slice(2), 'zz'.repeat(32)]) assert.ok(!isSigned(body, bad, 's'));
    assert.ok(!isSigned(Buffer.from('{"a":2}'), hex, 's'));
  });
});
