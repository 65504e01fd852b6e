// The pure parts of the kit: durations, requests, body checks, documents, batches.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Fault } from '../../../src/errors.ts';
import { may } from '../../../src/providers/kit/access.ts';
import { bodyCheck } from '../../../src/providers/kit/body-check.ts';
import { logPage } from '../../../src/providers/kit/document.ts';
import { parseDateTime, parseDuration } from '../../../src/providers/kit/duration.ts';
import { grouped, type GroupLimits } from '../../../src/providers/kit/group.ts';
import { canonicalJson, readRequest } from '../../../src/providers/kit/request.ts';
import { cancelledState, displayOf, dueAt } from '../../../src/providers/kit/states.ts';
import { GROUP, person } from '../../support/action-host.ts';

const DAY = 86_400_000;
/** The published pattern of a duration. */
const PUBLISHED =
  /^P(?!$)(\d+(?:\.\d+)?Y)?(\d+(?:\.\d+)?M)?(\d+(?:\.\d+)?W)?(\d+(?:\.\d+)?D)?(T(?=\d)(\d+(?:\.\d+)?H)?(\d+(?:\.\d+)?M)?(\d+(?:\.\d+)?S)?)?$/;

describe('durations', () => {
  it('reads every unit', () => {
    const known: [string, number][] = [
      ['P30D', 30 * DAY],
      ['P1Y2M3W4D', (365 + 60 + 21 + 4) * DAY],
      ['PT1H30M', 5_400_000],
      ['P1DT0.5S', DAY + 500],
      ['PT0S', 0],
      ['P1M', 30 * DAY],
      ['PT1M', 60_000],
    ];
    for (const [text, ms] of known) assert.equal(parseDuration(text), ms, text);
  });
  it('takes exactly what the published pattern takes', () => {
    const piece = fc.constantFrom(
      'P',
      'T',
      '1',
      '22',
      '0.5',
      '.',
      'Y',
      'M',
      'W',
      'D',
      'H',
      'S',
      '3D',
      '4M',
      '5S',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, begin) => {
        const text = (begin ? 'P' : '') + pieces.join('');
        assert.equal(parseDuration(text) !== null, PUBLISHED.test(text), text);
      }),
      { numRuns: 20_000 },
    );
  });
  it('is not fooled by length', () => assert.equal(parseDuration(`P${'1'.repeat(100)}D`), null));
  it('reads date-times with T or space, Z, offset or neither', () => {
    const at = Date.UTC(2030, 0, 31, 12, 0, 0, 250);
    for (const text of [
      '2030-01-31T12:00:00.25Z',
      '2030-01-31T12:00:00.250000+00:00',
      '2030-01-31 12:00:00.25',
      '2030-01-31T14:00:00.250+0200',
    ]) {
      assert.equal(parseDateTime(text), at, text);
    }
    for (const text of ['2030-01-31', 'now', '2030-13-01T00:00:00Z', '2030-01-31T12:00:00 Z', '']) {
      assert.equal(parseDateTime(text), null, text);
    }
  });
});

describe('action requests', () => {
  const minimal = { request_id: 'r', body: {} };
  it('fills in what is missing, and takes null for missing', () => {
    const nothing = { label: null, monitor_by: null, manage_by: null, deadline: null, release_after: null };
    for (const raw of [minimal, { ...minimal, ...nothing }]) {
      const request = readRequest(raw);
      assert.deepEqual(
        [
          request.label,
          request.monitor_by,
          request.deadline,
          request.release_after,
          request.release_after_ms,
        ],
        [null, [], null, 'P30D', 30 * DAY],
      );
    }
  });
  it('takes seconds for release_after, and no more than a year', () => {
    assert.equal(readRequest({ ...minimal, release_after: 90 }).release_after, 'PT90S');
    const long = readRequest({ ...minimal, release_after: 'P1000Y' });
    assert.deepEqual([long.release_after, long.release_after_ms], ['P365D', 365 * DAY]);
  });
  it('hashes content, not the order of keys', () => {
    const hash = (raw: unknown): string => readRequest(raw).hash.toString('hex');
    const first = hash({ request_id: 'r', body: { a: 1, b: [1, { c: 2, d: 3 }] } });
    assert.equal(first, hash({ body: { b: [1, { d: 3, c: 2 }], a: 1 }, request_id: 'r' }));
    assert.notEqual(first, hash({ request_id: 'r', body: { a: 1, b: [{ c: 2, d: 3 }, 1] } }));
    assert.notEqual(first, hash({ request_id: 'r', body: { a: 1, b: [1, { c: 2, d: 3 }] }, extra: 1 }));
  });
  it('makes canonical JSON that reads as the same value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const text = canonicalJson(value);
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
        assert.equal(canonicalJson(JSON.parse(text)), text);
      }),
    );
  });
});

describe('body checks', () => {
  const check = bodyCheck({
    type: 'object',
    required: ['items'],
    properties: {
      items: {
        type: 'array',
        items: { type: 'object', required: ['x'], properties: { x: { type: 'integer' } } },
      },
    },
  });
  it('passes what fits', () => check({ items: [{ x: 1 }, { x: 2, y: 'free' }] }));
  it('names each field with the broken keyword and repeats no value', () => {
    const secret = 'hunter2';
    assert.throws(
      () => check({ items: [{ x: secret }, {}, 'text'] }),
      (error: unknown) => {
        assert.ok(error instanceof Fault && error.code === 'invalid_request');
        assert.match(error.message, /Field '\$\.items\[0\]\.x' \(category: 'type'\): /);
        assert.match(error.message, /; Field '\$\.items\[1\]\.x' \(category: 'required'\): is missing/);
        assert.match(error.message, /; Field '\$\.items\[2\]' \(category: 'type'\): /);
        assert.equal(error.message.includes(secret), false);
        return true;
      },
    );
  });
  it('names ten problems at most', () => {
    assert.throws(() => check({ items: Array.from({ length: 50 }, () => ({})) }), /and 40 more$/);
  });
});

describe('access', () => {
  it('knows creators, people and groups, and keeps the two rights apart', () => {
    const [creator, monitor, stranger] = [person(), person(), person()];
    const member = person({ groups: [GROUP] });
    const action = { creator: creator.identity, monitor_by: [monitor.urn], manage_by: [GROUP] };
    assert.deepEqual(
      [creator, monitor, member, stranger].map((who) => [
        may(who, 'monitor', action),
        may(who, 'manage', action),
      ]),
      [
        [true, true],
        [true, false],
        [false, true],
        [false, false],
      ],
    );
  });
});

describe('states', () => {
  it('shows at most 64 characters, of a cancel the identity', () => {
    const { urn, identity } = person();
    assert.equal(displayOf(cancelledState(urn)), `Cancelled by ${identity}`);
    const long = displayOf({ status: 'ACTIVE', display_status: 'x'.repeat(100), details: {} });
    assert.equal(long.length, 64);
    assert.equal(displayOf({ status: 'ACTIVE', display_status: ' ', details: {} }), 'ACTIVE');
  });
  it('is due at its look, its deadline or its release, never before now', () => {
    const statuses = fc.constantFrom('ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED');
    const age = fc.nat(10 * DAY);
    fc.assert(
      fc.property(
        statuses,
        age,
        fc.option(fc.nat(20 * DAY)),
        fc.nat(DAY),
        fc.option(fc.nat(DAY)),
        (status, now, deadline, release_after_ms, wait) => {
          const state = { status, details: {}, ...(wait === null ? {} : { look_after_ms: wait }) };
          const due = dueAt({ started_at: 0, deadline, release_after_ms }, state, now);
          if (status === 'SUCCEEDED' || status === 'FAILED') return assert.equal(due, now + release_after_ms);
          assert.ok(due >= now);
          if (deadline !== null && deadline > now) assert.ok(due <= deadline);
          else assert.ok(due <= now + (wait ?? 60_000));
        },
      ),
    );
  });
});

describe('log pages', () => {
  it('show every entry once, forwards and backwards', () => {
    fc.assert(
      fc.property(fc.nat(30), fc.integer({ min: 1, max: 12 }), fc.boolean(), (count, limit, reverse) => {
        const entries = Array.from({ length: count }, (_, time) => ({
          time,
          code: `c${time}`,
          description: 'd',
        }));
        const seen: string[] = [];
        let marker: string | undefined;
        do {
          const page = logPage(entries, { limit, reverse, marker });
          assert.equal(page.marker !== undefined, page.has_next_page);
          assert.ok(page.entries.length <= limit);
          seen.push(...page.entries.map((entry) => entry.code));
          marker = page.marker;
        } while (marker !== undefined);
        const codes = entries.map((entry) => entry.code);
        assert.deepEqual(seen, reverse ? codes.reverse() : codes);
      }),
    );
  });
  it('start at the beginning for a marker that is none', () => {
    const page = logPage([{ time: 0, code: 'c', description: 'd' }], {
      limit: 5,
      reverse: false,
      marker: "' OR 1",
    });
    assert.equal(page.entries.length, 1);
  });
});

describe('grouped calls', () => {
  const limits = (more: Partial<GroupLimits<number>> = {}): GroupLimits<number> => ({
    items: 10,
    weight: 1_000,
    weigh: () => 1,
    at_once: 1,
    waiting: 100,
    divisible: () => true,
    ...more,
  });
  it('answer each caller its own, in as few batches as fit', async () => {
    const sizes: number[] = [];
    const double = grouped(async (items: readonly number[]) => {
      sizes.push(items.length);
      await Promise.resolve();
      return items.map((item) => item * 2);
    }, limits());
    const answers = await Promise.all(Array.from({ length: 25 }, (_, index) => double(index)));
    assert.deepEqual(
      answers,
      Array.from({ length: 25 }, (_, index) => index * 2),
    );
    assert.deepEqual(sizes, [10, 10, 5]);
  });
  it('keep a batch within its weight, but let a heavy item go alone', async () => {
    const batches: number[][] = [];
    const work = grouped(
      async (items: readonly number[]) => {
        batches.push([...items]);
        return items;
      },
      limits({ weight: 10, weigh: (item) => item }),
    );
    await Promise.all([4, 4, 4, 50, 1].map(work));
    assert.deepEqual(batches, [[4, 4], [4], [50], [1]]);
  });
  it('fail the item that spoils a batch, and all of it when no item is to blame', async () => {
    const work = (divisible: boolean): ((item: number) => Promise<number>) =>
      grouped(
        async (items: readonly number[]) => {
          await Promise.resolve();
          if (items.includes(3)) throw new Error('three');
          return items;
        },
        limits({ divisible: () => divisible }),
      );
    const fates = async (one: (item: number) => Promise<number>): Promise<string> =>
      (await Promise.allSettled([1, 2, 3, 4].map(one))).map((fate) => fate.status[0]).join('');
    assert.equal(await fates(work(true)), 'ffrf');
    assert.equal(await fates(work(false)), 'rrrr');
  });
  it('refuse when too many wait', async () => {
    const work = grouped((items: readonly number[]) => Promise.resolve(items), limits({ waiting: 3 }));
    const fates = await Promise.allSettled([1, 2, 3, 4].map(work));
    assert.equal(fates[3]?.status, 'rejected');
    assert.equal(await work(9), 9, 'and take again when they have gone');
  });
});
