// Every registered trigger kind is exercised; one without a fixture here fails.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KINDS } from '../../src/triggers/kinds/index.ts';
import { withFolders } from '../support/trigger-host.ts';
import { exercise, type KindFixture } from './triggers.ts';

describe('trigger kinds', () => {
  const folder = withFolders();

  const fixtures: Readonly<Record<string, KindFixture>> = {
    file: {
      async make() {
        const dir = await folder();
        for (const name of ['a.h5', 'b.h5', 'c.h5', 'd.tmp']) await writeFile(join(dir, name), name);
        return { config: { dir, settle_s: 0.2, poll_s: 0.5 }, now: Date.now(), created_at: 0, events: 3 };
      },
      bad: [
        {},
        { dir: 'relative' },
        { dir: '/data/../etc' },
        { dir: '/data', settle_s: -1 },
        { dir: '/data', pattern: '{a' },
        { dir: '/data', pattern: [] },
        { dir: '/data', ignore: ['[a'] },
        { dir: '/data', sentinel: { suffix: '/../x' } },
        { dir: '/data', sentinel: {} },
        { dir: '/data', sentinel: { suffix: '.a', name: 'b' } },
      ],
    },
    cron: {
      async make() {
        const now = Date.parse('2026-06-01T10:30:00Z');
        const config = { schedule: '0 * * * *', timezone: 'Europe/Berlin', catch_up: 'all' };
        return { config, now, created_at: now - 4 * 3_600_000, events: 4 };
      },
      bad: [
        {},
        { schedule: 'every day' },
        { schedule: '* * * * * *' },
        { schedule: '0 0 30 2 *' },
        { schedule: '* * * * *', timezone: 'Mars/Phobos' },
        { schedule: '* * * * *', catch_up: 'some' },
      ],
    },
    webhook: {
      make: async () => ({ config: { id_header: 'X-Shot' }, now: 0, created_at: 0, events: 0 }),
      bad: [{ id_header: 'not a header' }, { signature_header: '' }],
    },
  };

  it('each have a fixture', () => {
    assert.deepEqual([...KINDS.keys()].sort(), Object.keys(fixtures).sort());
  });
  for (const [name, kind] of KINDS) {
    const fixture = fixtures[name];
    if (fixture !== undefined) exercise(kind, fixture);
  }
});
