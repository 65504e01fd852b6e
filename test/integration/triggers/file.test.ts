// File watch on a real file system and a real database: which files start runs, how often and when.
import assert from 'node:assert/strict';
import { appendFile, chmod, mkdir, open, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '../../../src/providers/contract.ts';
import type { TriggerHost } from '../../../src/triggers/host.ts';
import { withDatabase } from '../../support/database.ts';
import { eventually, recordingPorts, startHost, withFolders } from '../../support/trigger-host.ts';

const OWNER = '11111111-1111-4111-8111-111111111111';
const FLOW = '22222222-2222-4222-8222-222222222222';

function fileTrigger(dir: string, config: JsonObject = {}): JsonObject {
  return {
    name: 'drop',
    kind: 'file',
    flow_id: FLOW,
    config: { dir, pattern: '*.h5', settle_s: 0.3, poll_s: 1, ...config },
    input: { 'path.$': '$.path', 'size.$': '$.data.size' },
    label: 'frame {name}',
  };
}

describe('a file trigger', () => {
  const database = withDatabase();
  const folder = withFolders();
  const ends: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
    await database().db.query('DELETE FROM triggers');
  });

  const begin = () => {
    const doors = recordingPorts();
    const started = startHost(database().url, doors.ports);
    ends.push(started.end);
    const paths = (): string[] => doors.asked.map((request) => request.body.path as string);
    return { ...doors, ...started, paths };
  };
  const healthOf = async (host: TriggerHost, id: string): Promise<JsonObject> =>
    (await host.get(OWNER, id)).health;
  /** Waits until the source has scanned the folder after now. */
  const scanned = async (host: TriggerHost, id: string): Promise<void> => {
    const from = Date.now();
    await eventually(
      async () => Date.parse((await healthOf(host, id)).last_scan_at as string) > from,
      10_000,
    );
  };

  it('fires once for a file that is there and complete, with the body its template says', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir));
    await writeFile(join(dir, 'a.h5'), 'frame');
    await eventually(() => asked.length === 1);
    assert.deepEqual(asked[0]?.body, { path: join(dir, 'a.h5'), size: 5 });
    assert.equal(asked[0]?.owner, OWNER);
    assert.equal(asked[0]?.flow_id, FLOW);
    assert.equal(asked[0]?.label, 'frame a.h5');
    const { events } = await host.events(OWNER, trigger.id);
    assert.equal(events.length, 1);
    assert.equal(events[0]?.decision, 'fired');
    assert.equal(events[0]?.event.type, 'org.lab.file.settled.v1');
    const data = events[0]?.event.data as JsonObject;
    assert.ok((data.settled_for_s as number) >= 0.3);
    await scanned(host, trigger.id);
    assert.equal(asked.length, 1);
  });

  it('does not fire while a writer is still at work, and then with the final size', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { settle_s: 0.5 }));
    await scanned(host, trigger.id);
    const file = await open(join(dir, 'slow.h5'), 'w');
    for (let i = 0; i < 12; i++) {
      await file.write('0123456789');
      const before = Date.now();
      await eventually(() => Date.now() - before >= 120);
      assert.equal(asked.length, 0, 'fired while the file was written');
    }
    await file.close();
    await eventually(async () => /settling/.test(JSON.stringify((await healthOf(host, trigger.id)).waiting)));
    await eventually(() => asked.length === 1);
    assert.equal(asked[0]?.body.size, 120);
  });

  it('takes a file renamed from an unfinished name at once, and ignores the unfinished name', async () => {
    const dir = await folder();
    const { host, asked, paths } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { settle_s: 3600, pattern: '*' }));
    await writeFile(join(dir, 'b.h5.part'), 'complete');
    await scanned(host, trigger.id);
    await rename(join(dir, 'b.h5.part'), join(dir, 'b.h5'));
    await eventually(() => asked.length === 1);
    assert.deepEqual(paths(), [join(dir, 'b.h5')]);
  });

  it('lets a renamed file settle like others when told so', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { settle_s: 3600, rename_is_complete: false }));
    await writeFile(join(dir, 'b.h5.part'), 'complete');
    await scanned(host, trigger.id);
    await rename(join(dir, 'b.h5.part'), join(dir, 'b.h5'));
    await eventually(async () => (await healthOf(host, trigger.id)).open === 1);
    await scanned(host, trigger.id);
    assert.equal(asked.length, 0);
  });

  it('fires for the file with the pattern only; never for ignored names, links, folders or names it cannot tell', async () => {
    const dir = await folder();
    const outside = await folder();
    await writeFile(join(outside, 'x.h5'), 'x');
    const { host, asked, paths } = begin();
    for (const name of ['.hidden.h5', 'a.h5~', 'a.h5.tmp', 'b.part', 'c.txt', '.nfs0001.h5'])
      await writeFile(join(dir, name), 'x');
    await symlink(join(outside, 'x.h5'), join(dir, 'link.h5'));
    await symlink(outside, join(dir, 'sub'));
    await mkdir(join(dir, 'folder.h5'));
    await writeFile(
      Buffer.concat([Buffer.from(join(dir, 'bad-')), Buffer.from([0xff]), Buffer.from('.h5')]),
      'x',
    );
    await writeFile(join(dir, 'new\nline.h5'), 'x');
    await writeFile(join(dir, 'with space é.h5'), 'x');
    const trigger = await host.create(OWNER, fileTrigger(dir, { recursive: true }));
    await eventually(() => asked.length === 1);
    await scanned(host, trigger.id);
    // The same names again, now told by notifications.
    await writeFile(join(dir, 'other\nline.h5'), 'x');
    await writeFile(join(dir, '.other.h5'), 'x');
    await scanned(host, trigger.id);
    await scanned(host, trigger.id);
    assert.deepEqual(paths(), [join(dir, 'with space é.h5')]);
    const { skipped } = await healthOf(host, trigger.id);
    assert.equal((skipped as JsonObject).count, 3);
    assert.match(JSON.stringify(skipped), /bad-%FF\.h5/);
  });

  it('looks into folders below when told, also new ones, and gives the path below the watched folder', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { recursive: true, pattern: 'run*/**/*.h5' }));
    await scanned(host, trigger.id);
    await mkdir(join(dir, 'run1', 'deep'), { recursive: true });
    await writeFile(join(dir, 'run1', 'deep', 'a.h5'), 'x');
    await mkdir(join(dir, 'other'));
    await writeFile(join(dir, 'other', 'b.h5'), 'x');
    await eventually(() => asked.length === 1);
    const { events } = await host.events(OWNER, trigger.id);
    assert.equal(events[0]?.subject, 'run1/deep/a.h5');
  });

  it('fires again when a file is replaced or rewritten, each version once', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir));
    await writeFile(join(dir, 'a.h5'), 'one');
    await eventually(() => asked.length === 1);
    await writeFile(join(dir, 'other.tmp'), 'three');
    await rename(join(dir, 'other.tmp'), join(dir, 'a.h5'));
    await eventually(() => asked.length === 2);
    await appendFile(join(dir, 'a.h5'), '!');
    await eventually(() => asked.length === 3);
    // The mode is not part of a version.
    await chmod(join(dir, 'a.h5'), 0o600);
    await scanned(host, trigger.id);
    await scanned(host, trigger.id);
    assert.deepEqual(
      asked.map((request) => request.body.size),
      [3, 5, 6],
    );
  });

  it('fires once for a path whatever becomes of it when changes are to be ignored', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { on_change: 'ignore' }));
    await writeFile(join(dir, 'a.h5'), 'one');
    await eventually(() => asked.length === 1);
    await writeFile(join(dir, 'a.h5'), 'two and more');
    await scanned(host, trigger.id);
    await scanned(host, trigger.id);
    assert.equal(asked.length, 1);
  });

  it('tells empty files too, and those of 1970 and of the future; waits for the least size', async () => {
    const dir = await folder();
    const { host, asked, paths } = begin();
    await writeFile(join(dir, 'empty.h5'), '');
    await writeFile(join(dir, 'old.h5'), 'x');
    await utimes(join(dir, 'old.h5'), 1, 1);
    await writeFile(join(dir, 'future.h5'), 'x');
    await utimes(join(dir, 'future.h5'), 4e9, 4e9);
    await host.create(OWNER, fileTrigger(dir));
    await eventually(() => asked.length === 3);
    assert.deepEqual(
      paths(),
      ['old', 'empty', 'future'].map((name) => join(dir, `${name}.h5`)),
    );
    const small = await folder();
    const second = await host.create(OWNER, fileTrigger(small, { min_size: 4 }));
    await writeFile(join(small, 'a.h5'), 'abc');
    await eventually(async () =>
      /smaller than 4 bytes/.test(JSON.stringify(await healthOf(host, second.id))),
    );
    assert.equal(asked.length, 3);
    await appendFile(join(small, 'a.h5'), 'd');
    await eventually(() => asked.length === 4);
  });

  it('waits for the sentinel, whichever comes first', async () => {
    const dir = await folder();
    const { host, asked, paths } = begin();
    const trigger = await host.create(
      OWNER,
      fileTrigger(dir, { pattern: '*', sentinel: { suffix: '.done' } }),
    );
    await writeFile(join(dir, 'early.h5.done'), '');
    await writeFile(join(dir, 'late.h5'), 'x');
    await eventually(async () =>
      JSON.stringify(await healthOf(host, trigger.id)).includes('waiting for late.h5.done'),
    );
    assert.equal(asked.length, 0);
    await writeFile(join(dir, 'late.h5.done'), '');
    await eventually(() => asked.length === 1);
    await writeFile(join(dir, 'early.h5'), 'x');
    await eventually(() => asked.length === 2);
    assert.deepEqual(paths(), [join(dir, 'late.h5'), join(dir, 'early.h5')]);
  });

  it('forgets a file that vanished before it settled', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { settle_s: 3600 }));
    await writeFile(join(dir, 'a.h5'), 'x');
    await eventually(async () => (await healthOf(host, trigger.id)).open === 1);
    await rm(join(dir, 'a.h5'));
    await eventually(async () => (await healthOf(host, trigger.id)).vanished === 1);
    assert.equal((await healthOf(host, trigger.id)).open, 0);
    assert.equal(asked.length, 0);
  });

  it('says what is wrong while the folder is missing or unreadable, and goes on when it is back', async () => {
    const dir = await folder();
    const { host, asked } = begin();
    const drop = join(dir, 'drop');
    const trigger = await host.create(OWNER, fileTrigger(drop));
    await eventually(async () => /is not there/.test((await healthOf(host, trigger.id)).error as string));
    await mkdir(drop);
    await writeFile(join(drop, 'a.h5'), 'x');
    await eventually(() => asked.length === 1);
    await rm(drop, { recursive: true });
    await eventually(async () => (await healthOf(host, trigger.id)).state === 'trouble');
    await mkdir(drop);
    await scanned(host, trigger.id);
    await writeFile(join(drop, 'b.h5'), 'x');
    await eventually(() => asked.length === 2);
  });

  it('stores the files that were there before as seen, and starts nothing for them, with existing: skip', async () => {
    const dir = await folder();
    await writeFile(join(dir, 'old.h5'), 'x');
    const { host, asked, paths } = begin();
    const trigger = await host.create(OWNER, fileTrigger(dir, { existing: 'skip' }));
    await eventually(async () => (await host.get(OWNER, trigger.id)).stats.filtered === 1);
    await writeFile(join(dir, 'new.h5'), 'x');
    await eventually(() => asked.length === 1);
    assert.deepEqual(paths(), [join(dir, 'new.h5')]);
    const { events } = await host.events(OWNER, trigger.id, { decision: 'filtered' });
    assert.match(events[0]?.reason ?? '', /was there before the trigger/);
  });

  it('refuses to watch outside the folders that this service may watch', async () => {
    const dir = await folder();
    const allowed = join(dir, 'allowed');
    await mkdir(allowed);
    await mkdir(join(dir, 'secret'));
    await writeFile(join(dir, 'secret', 'a.h5'), 'x');
    await symlink(join(dir, 'secret'), join(allowed, 'door'));
    const doors = recordingPorts();
    const { host, end } = startHost(database().url, doors.ports, { watch_roots: [allowed] });
    ends.push(end);
    for (const bad of [join(dir, 'secret'), join(allowed, 'door')]) {
      const trigger = await host.create(OWNER, fileTrigger(bad));
      await eventually(async () => /not below one/.test((await healthOf(host, trigger.id)).error as string));
    }
    await assert.rejects(host.create(OWNER, fileTrigger(`${allowed}/../secret`)), /absolute path/);
    assert.equal(doors.asked.length, 0);
  });
});
