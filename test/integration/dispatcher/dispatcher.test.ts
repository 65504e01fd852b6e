// The dispatcher on a real PostgreSQL, a real BullMQ queue and a real CURVE link; the test plays the manager.
import assert from 'node:assert/strict';
import { systemChance, systemClock } from '../../../src/clock.ts';
import { makeEndpointService } from '../../../src/compute/endpoints.ts';
import { makeFunctionService } from '../../../src/compute/functions.ts';
import { makeTaskService, type TaskService } from '../../../src/compute/tasks.ts';
import { openDispatcher, type Dispatcher } from '../../../src/dispatcher/index.ts';
import { taskPlace } from '../../../src/ids.ts';
import { silentLogger } from '../../../src/log.ts';
import { jsonPayload, sourceCode } from '../../../src/protocol/packed.ts';
import { makeKeys } from '../../../src/transport/zmq.ts';
import { withDatabase } from '../../support/database.ts';
import { dialAsManager, type ManagerFacts, type ScriptedManager } from '../../support/scripted-manager.ts';
import { until } from '../../support/until.ts';

const caller = { identity: '11111111-1111-4111-8111-111111111111' };

interface Rig {
  readonly dispatcher: Dispatcher;
  readonly tasks: TaskService;
  readonly facts: ManagerFacts;
  readonly function_id: string;
}

for (const direct of [true, false]) {
  describe(`dispatcher, ${direct ? 'straight to the link' : 'through the queue'}`, () => {
    const database = withDatabase();
    let rig: Rig;
    let manager: ScriptedManager | null = null;
    let seq = 0;

    before(async () => {
      const { db, url } = database();
      const deps = { db, chance: systemChance, clock: systemClock };
      const dispatcher = await openDispatcher({
        ...deps,
        database_url: url,
        redis_url: process.env.TEST_REDIS_URL,
        link_bind: 'tcp://127.0.0.1:*',
        direct,
        log: silentLogger,
      });
      const endpoints = makeEndpointService({ ...deps, dispatcher });
      const facts = { name: 'rig', display_name: null, public: false, allowed_functions: null, metadata: {} };
      const id = await endpoints.create(caller, facts);
      const { registration_code } = await endpoints.makeCode(caller, id);
      const keys = makeKeys();
      const registered = await endpoints.register(registration_code, keys.publicKey);
      await assert.rejects(endpoints.register(registration_code, keys.publicKey), /registration code/);
      const functions = makeFunctionService(deps);
      const function_id = await functions.register(caller, {
        name: 'f',
        code: sourceCode('f', 'def f(x):\n    return x'),
        description: null,
        meta: {},
        public: false,
        group_id: null,
      });
      const tasks = makeTaskService({ db, dispatcher, chance: systemChance, now: () => Date.now() });
      rig = {
        dispatcher,
        tasks,
        function_id,
        facts: { ...registered.link, keys, endpoint_id: id, secret: registered.secret },
      };
    });
    after(() => rig.dispatcher.close());
    afterEach(async () => {
      await manager?.close();
      manager = null;
    });

    const link = async (extra: Partial<ManagerFacts> = {}): Promise<ScriptedManager> => {
      manager = dialAsManager({ ...rig.facts, ...extra });
      await manager.heard((message) => message.kind === 'link.welcome');
      return manager;
    };
    const submit = async (count: number, key?: string): Promise<readonly string[]> => {
      const payloads = Array.from({ length: count }, (_, n) => Buffer.from(jsonPayload([n], {})));
      const submitted = await rig.tasks.submit(caller, {
        endpoint_id: rig.facts.endpoint_id,
        calls: [{ function_id: rig.function_id, payloads }],
        options: {},
        key,
      });
      return submitted.task_ids.flat();
    };
    const finish = async (far: ScriptedManager, ids: readonly string[]): Promise<void> => {
      await until('tasks taken', () =>
        ids.every((id) => far.taken.some((task) => id.startsWith(task.chunk.slice(0, 32)))),
      );
      far.answer(far.taken, (task) => `11\n${task.index}`, ++seq);
      assert.equal(await rig.dispatcher.waitFor(ids, 10_000), true);
    };

    it('carries 250 tasks out and their results back, with the function once', async () => {
      const far = await link();
      const ids = await submit(250);
      await until('all taken', () => far.taken.length === 250);
      assert.equal(far.messages.filter((message) => message.kind === 'functions').length, 1);
      far.answer(far.taken, (task) => `11\n${task.payload.length}`, ++seq);
      assert.equal(await rig.dispatcher.waitFor(ids, 10_000), true);
      await far.heard((message) => message.kind === 'results.ack' && message.seq === seq);
      const found = await rig.tasks.find(caller, ids);
      assert.equal(found.size, 250);
      assert.ok([...found.values()].every((task) => task.status === 'success'));
      assert.equal(
        (await rig.tasks.find({ identity: rig.function_id }, ids)).size,
        0,
        'a stranger sees none of them',
      );
    });

    it('keeps tasks for an endpoint that is away and says so', async () => {
      const ids = await submit(3);
      const waiting = await rig.tasks.get(caller, ids[0] ?? '', 0);
      assert.match(waiting.reason, /offline since|never connected|on its way/);
      const far = await link();
      await finish(far, ids);
    });

    it('makes a first result visible and ignores a second', async () => {
      const far = await link();
      const [id = ''] = await submit(1);
      await until('taken', () => far.taken.length === 1);
      far.answer(far.taken, () => '11\n"first"', ++seq);
      far.answer(far.taken, () => '11\n"second"', ++seq);
      await far.heard((message) => message.kind === 'results.ack' && message.seq === seq);
      assert.equal((await rig.tasks.get(caller, id, 0)).ended?.result, '11\n"first"');
    });

    it('delivers again what a new manager does not hold, and only that', async () => {
      const first = await link();
      const ids = await submit(4);
      await until('taken and noted', async () => {
        const rows = await database().db.query('SELECT 1 FROM chunks WHERE id = $1 AND state = $2', [
          taskPlace(ids[0] ?? '')?.chunk,
          'sent',
        ]);
        return rows.length === 1;
      });
      const [task] = first.taken;
      first.answer([first.taken[1] as never], () => '11\n"done"', ++seq);
      await first.heard((message) => message.kind === 'results.ack' && message.seq === seq);
      await first.close();
      const second = await link({ held: [{ chunk: task?.chunk ?? '', epoch: 1, indexes: [0] }] });
      await until('taken again', () => second.taken.length === 3);
      assert.deepEqual(
        second.taken.map((again) => again.index),
        [0, 2, 3],
        'all without a result; the holder drops what it has',
      );
      assert.ok(second.taken.every((again) => again.epoch === 2 && again.attempt === 2));
      second.answer(second.taken, () => '11\n"again"', ++seq);
      assert.equal(await rig.dispatcher.waitFor(ids, 10_000), true);
      assert.equal((await rig.tasks.get(caller, ids[1] ?? '', 0)).ended?.result, '11\n"done"');
    });

    it('cancels queued and taken tasks, and a late result changes nothing', async () => {
      const far = await link();
      const [first = '', second = ''] = await submit(2);
      await until('taken', () => far.taken.length === 2);
      assert.deepEqual(await rig.tasks.cancel(caller, [first]), [first]);
      await until('told to kill', () => far.cancelled.length === 1);
      far.answer(far.taken, () => '11\n"late"', ++seq);
      assert.equal(await rig.dispatcher.waitFor([first, second], 10_000), true);
      const cancelled = await rig.tasks.get(caller, first, 0);
      assert.equal(cancelled.status, 'failed');
      assert.match(cancelled.ended?.exception ?? '', /TASK_CANCELLED/);
      assert.equal((await rig.tasks.get(caller, second, 0)).status, 'success');
      assert.deepEqual(await rig.tasks.cancel(caller, [second]), [], 'an ended task cannot be cancelled');
      await far.close();
      const next = await link({ held: [{ chunk: far.taken[0]?.chunk ?? '', epoch: 1, indexes: [0] }] });
      const welcome = await next.heard((message) => message.kind === 'link.welcome');
      assert.ok(
        welcome.kind === 'link.welcome' && welcome.cancelled[0]?.indexes.includes(0),
        'a holder is told what must not run',
      );
    });

    it('answers the same tasks for the same key', async () => {
      const far = await link();
      const ids = await submit(2, 'once');
      assert.deepEqual(await submit(2, 'once'), ids);
      await assert.rejects(submit(3, 'once'), /idempotency key/);
      await finish(far, ids);
      assert.equal(far.taken.filter((task) => ids[0]?.startsWith(task.chunk.slice(0, 32))).length, 2);
    });

    it('refuses a wrong secret and an unknown key', async () => {
      const wrong = dialAsManager({ ...rig.facts, secret: 'wrong' });
      const refused = await wrong.heard((message) => message.kind === 'link.refused');
      assert.ok(refused.kind === 'link.refused' && refused.code === 'bad_secret');
      await wrong.close();
    });
  });
}
