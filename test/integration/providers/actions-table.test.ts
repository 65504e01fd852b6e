// The statements on the action tables: what they write, and what they must leave alone.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  addNote,
  claimDue,
  deleteEnded,
  deleteUnstarted,
  earliestDue,
  insertActions,
  loadActions,
  loadNotes,
  saveStates,
  type NewAction,
  type StateChange,
} from '../../../src/db/actions.ts';
import { withDatabase } from '../../support/database.ts';

const T0 = Date.UTC(2030, 0, 1);
const at = (ms: number): Date => new Date(T0 + ms);

function action(more: Partial<NewAction> = {}): NewAction {
  return {
    action_id: randomUUID(),
    provider: 'p',
    creator: randomUUID(),
    request_id: randomUUID(),
    request_hash: Buffer.alloc(32, 7),
    label: null,
    monitor_by: [],
    manage_by: [],
    deadline: null,
    release_after: 'P1D',
    release_after_ms: 86_400_000,
    body: '{}',
    memo: null,
    failed_starts: 0,
    status: 'ACTIVE',
    display_status: 'Starting',
    details: '{}',
    started_at: at(0),
    ended_at: null,
    due_at: at(10),
    ...more,
  };
}

function change(action_id: string, more: Partial<StateChange> = {}): StateChange {
  return {
    action_id,
    status: 'ACTIVE',
    display_status: 'Running',
    details: '{}',
    memo: null,
    failed_starts: 0,
    ended_at: null,
    due_at: at(20),
    ...more,
  };
}

describe('action tables', () => {
  const database = withDatabase();
  const only = async (id: string) => (await loadActions(database().db, [id]))[0];

  it('insert many, and leave out a request id that is used, also twice in one batch', async () => {
    const { db } = database();
    const first = action({
      body: '{"a":"\\u0000"}',
      label: 'x',
      request_hash: Buffer.from([0, 255, 34, 92]),
    });
    const twin = { ...action(), creator: first.creator, request_id: first.request_id };
    const other = action();
    const stored = await insertActions(db, [first, twin, other]);
    assert.deepEqual([...stored].sort(), [first, other].map((row) => row.action_id).sort());
    assert.equal((await insertActions(db, [twin])).size, 0);
    const read = await only(first.action_id);
    assert.deepEqual([read?.body, read?.label, read?.memo], [{ a: '\u0000' }, 'x', null]);
    assert.deepEqual(read?.request_hash, first.request_hash);
  });

  it('write several changes of one action in their order, and none after its end', async () => {
    const { db } = database();
    const [one, two] = [action(), action()];
    await insertActions(db, [one, two]);
    const end = { status: 'SUCCEEDED', details: '{"n":1}', ended_at: at(-5), due_at: at(100) } as const;
    const written = await saveStates(db, [
      change(one.action_id, { memo: '{"m":1}' }),
      change(two.action_id),
      change(one.action_id, end),
      change(one.action_id, { ...end, status: 'FAILED' }),
      change(randomUUID()),
    ]);
    assert.deepEqual(written, [true, true, true, false, false]);
    const read = await only(one.action_id);
    assert.deepEqual([read?.status, read?.details, read?.memo], ['SUCCEEDED', { n: 1 }, { m: 1 }]);
    assert.deepEqual(read?.ended_at, at(0), 'an end is never before its start');
    assert.deepEqual(await saveStates(db, [change(one.action_id)]), [false]);
  });

  it('delete what has ended, and what was never started, and nothing else', async () => {
    const { db } = database();
    const [open, begun, over] = [
      action(),
      action({ memo: '{}' }),
      action({ status: 'FAILED', ended_at: at(1) }),
    ];
    await insertActions(db, [open, begun, over]);
    assert.equal(await deleteEnded(db, open.action_id), false);
    await deleteUnstarted(db, begun.action_id);
    await deleteUnstarted(db, over.action_id);
    assert.equal(
      (
        await loadActions(
          db,
          [open, begun, over].map((row) => row.action_id),
        )
      ).length,
      3,
    );
    await addNote(db, over.action_id, { noted_at: at(2), code: 'C', description: 'd' });
    await addNote(db, 'nobody', { noted_at: at(2), code: 'C', description: 'd' });
    assert.equal((await loadNotes(db, over.action_id, 5)).length, 1);
    assert.equal(await deleteEnded(db, over.action_id), true);
    assert.equal(await deleteEnded(db, over.action_id), false);
    assert.deepEqual(await loadNotes(db, over.action_id, 5), []);
    await deleteUnstarted(db, open.action_id);
    assert.equal(await only(open.action_id), undefined);
  });

  it('claim what is due of some providers, earliest first, each for one sweep', async () => {
    const { db } = database();
    const rows = [30, 10, 20, 99].map((ms) => action({ provider: 'sweeping', due_at: at(ms) }));
    await insertActions(db, [...rows, action({ provider: 'elsewhere', due_at: at(1) })]);
    const [third, first, second, later] = rows.map((row) => row.action_id);
    assert.deepEqual(await earliestDue(db, ['sweeping']), at(10));
    const [taken, rest] = await Promise.all([
      claimDue(db, ['sweeping'], at(50), 1_000, 2),
      claimDue(db, ['sweeping'], at(50), 1_000, 2),
    ]);
    const ids = [...taken, ...rest].map((row) => row.action_id);
    assert.deepEqual(ids.toSorted(), [first, second, third].toSorted());
    assert.equal(new Set(ids).size, 3);
    assert.deepEqual(await claimDue(db, ['sweeping'], at(50), 1_000, 2), []);
    assert.deepEqual(await earliestDue(db, ['sweeping']), at(99));
    const again = await claimDue(db, ['sweeping'], at(1_050), 1_000, 9);
    assert.deepEqual(again.map((row) => row.action_id).toSorted(), [...ids, later].toSorted());
    assert.equal(await earliestDue(db, ['nobody']), undefined);
  });
});
