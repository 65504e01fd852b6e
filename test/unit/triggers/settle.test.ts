// The settle rule over random histories: writers that stop and go, looks at random moments, renames and deletions.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  makeBook,
  nextDue_ms,
  noteFile,
  noteGone,
  noteListing,
  noteStored,
} from '../../../src/triggers/files/book.ts';
import { noteUnfinished, pathOf, readyFiles, waitingFiles } from '../../../src/triggers/files/book.ts';
import { versionOf, type Look, type SettleRules } from '../../../src/triggers/files/settle.ts';

const RULES: SettleRules = { settle_ms: 1_000, checks: 2, min_size: 0, on_change: 'fire' };
const PLACE = { folder: '', name: 'a.h5' };

function look(change: Partial<Look> = {}): Look {
  return { inode: '7', size: 10, mtime_ns: '100', ctime_ns: '100', born_ns: '50', ...change };
}

/** A moment at which the file is looked at, written, replaced or gone, after a wait. */
const step = fc.record({
  wait_ms: fc.integer({ min: 0, max: 700 }),
  does: fc.constantFrom('look', 'look', 'look', 'write', 'replace', 'touch', 'vanish', 'look slowly'),
});

interface World {
  now_ms: number;
  file: Look | null;
  changed_ms: number;
  serial: number;
}

function act(world: World, does: string): void {
  const serial = String(++world.serial);
  const before = world.file ?? look({ inode: serial, size: 0 });
  if (does === 'write') world.file = { ...before, size: before.size + 1, mtime_ns: serial, ctime_ns: serial };
  else if (does === 'touch') world.file = { ...before, ctime_ns: serial };
  else if (does === 'replace') world.file = look({ inode: serial, mtime_ns: serial, ctime_ns: serial });
  else if (does === 'vanish') world.file = null;
  world.changed_ms = world.now_ms;
}

describe('the settle rule', () => {
  it('never lets a file fire that changed within the settle time, and lets each version fire once', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const book = makeBook();
        const world: World = { now_ms: 0, file: null, changed_ms: 0, serial: 1_000 };
        const fired = new Set<string>();
        for (const { wait_ms, does } of steps) {
          world.now_ms += wait_ms;
          if (!does.startsWith('look')) {
            act(world, does);
            continue;
          }
          const from_ms = world.now_ms;
          const seen = world.file;
          if (does === 'look slowly') world.now_ms += wait_ms;
          // What was seen to go may come back as it was: then the host knows its id, not the book.
          if (seen === null) {
            fired.clear();
            noteGone(book, PLACE);
          } else noteFile(book, PLACE, seen, { from_ms, to_ms: world.now_ms }, RULES);
          for (const ready of readyFiles(book, RULES)) {
            const quiet_ms = from_ms - world.changed_ms;
            assert.ok(quiet_ms >= RULES.settle_ms, `fired ${quiet_ms} ms after a change`);
            assert.equal(versionOf(ready.track), versionOf(seen as Look));
            assert.ok(!fired.has(versionOf(ready.track)), 'a version fired twice');
            fired.add(versionOf(ready.track));
            noteStored(book, PLACE, ready.track, RULES);
          }
          assert.deepEqual(readyFiles(book, RULES), [], 'the same look made it fire twice');
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('fires each version once however often it is looked at, and always in the end', () => {
    const pauses = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 30, maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), pauses, (versions, waits) => {
        const book = makeBook();
        let now_ms = 0;
        for (let version = 1; version <= versions; version++) {
          let fires = 0;
          for (const wait_ms of waits) {
            now_ms += wait_ms;
            const seen = look({ size: version, mtime_ns: String(version) });
            noteFile(book, PLACE, seen, { from_ms: now_ms, to_ms: now_ms }, RULES);
            for (const ready of readyFiles(book, RULES)) {
              fires++;
              noteStored(book, PLACE, ready.track, RULES);
            }
          }
          const total_ms = waits.reduce((sum, wait) => sum + wait, 0) - (waits[0] ?? 0);
          assert.equal(fires, total_ms >= RULES.settle_ms ? 1 : 0);
          if (fires === 0) return;
        }
      }),
    );
  });

  it('counts a slow look against the settle time, not for it', () => {
    const book = makeBook();
    noteFile(book, PLACE, look(), { from_ms: 0, to_ms: 900 }, RULES);
    noteFile(book, PLACE, look(), { from_ms: 1_800, to_ms: 9_000 }, RULES);
    assert.equal(readyFiles(book, RULES).length, 0);
    noteFile(book, PLACE, look(), { from_ms: 9_000, to_ms: 9_000 }, RULES);
    assert.equal(readyFiles(book, RULES).length, 1);
  });

  it('asks for as many looks as the rule says, and for the least size', () => {
    const rules = { ...RULES, checks: 4, min_size: 20 };
    const book = makeBook();
    const see = (at_ms: number, size: number): number => {
      noteFile(book, PLACE, look({ size }), { from_ms: at_ms, to_ms: at_ms }, rules);
      return readyFiles(book, rules).length;
    };
    assert.equal(see(0, 10), 0);
    assert.equal(see(5_000, 10), 0);
    assert.match(waitingFiles(book, 5_000, rules, 1)[0]?.why ?? '', /smaller than 20 bytes/);
    assert.equal(nextDue_ms(book, 5_000, rules, new Set()), null);
    assert.deepEqual(
      [5_000, 6_100, 7_000, 7_001].map((at_ms) => see(at_ms, 30)),
      [0, 0, 0, 1],
    );
  });

  it('fires at once for a rename from an unfinished name, and not for a new file with the same inode number', () => {
    const span = { from_ms: 0, to_ms: 0 };
    for (const [born_ns, ready] of [
      ['50', 1],
      ['51', 0],
    ] as const) {
      const book = makeBook();
      noteUnfinished(book, { folder: '', name: 'a.h5.part' }, look());
      noteFile(book, PLACE, look({ born_ns, ctime_ns: '200' }), span, RULES);
      assert.equal(readyFiles(book, RULES).length, ready);
    }
    const elsewhere = makeBook();
    noteUnfinished(elsewhere, { folder: 'other', name: 'a.h5.part' }, look());
    noteFile(elsewhere, PLACE, look(), span, RULES);
    assert.equal(readyFiles(elsewhere, RULES).length, 0);
    const nameless = makeBook();
    noteUnfinished(nameless, { folder: '', name: 'a.h5.part' }, look({ born_ns: '0' }));
    noteFile(nameless, PLACE, look({ born_ns: '0' }), span, RULES);
    assert.equal(readyFiles(nameless, RULES).length, 0);
  });

  it('makes a renamed file settle when it is written to after the rename', () => {
    const book = makeBook();
    noteUnfinished(book, { folder: '', name: 'a.h5.part' }, look());
    noteFile(book, PLACE, look(), { from_ms: 0, to_ms: 0 }, RULES);
    noteFile(book, PLACE, look({ size: 11 }), { from_ms: 10, to_ms: 10 }, RULES);
    assert.equal(readyFiles(book, RULES).length, 0);
  });

  it('tells files in the order in which they were written, and forgets those that a listing no longer has', () => {
    const book = makeBook();
    const rules = { ...RULES, settle_ms: 0, checks: 1 };
    const span = { from_ms: 0, to_ms: 0 };
    for (const [name, mtime_ns] of [
      ['c', '99'],
      ['a', '1000'],
      ['b', '1000'],
    ] as const)
      noteFile(book, { folder: 'run', name }, look({ mtime_ns }), span, rules);
    assert.deepEqual(readyFiles(book, rules).map(pathOf), ['run/c', 'run/a', 'run/b']);
    noteListing(book, 'run', new Set(['b']));
    assert.deepEqual(readyFiles(book, rules).map(pathOf), ['run/b']);
    assert.equal(book.vanished, 2);
  });
});
