// The compute provider: what it makes of a body, and what it makes of its tasks.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { identityUrn } from '../../../src/ids.ts';
import { Fault } from '../../../src/errors.ts';
import { isFinal } from '../../../src/lifecycle.ts';
import { compute, jobsOf, stateOf } from '../../../src/providers/compute.ts';
import type { ActionRecord, JsonObject, TaskView } from '../../../src/providers/contract.ts';
import { displayOf } from '../../../src/providers/kit/states.ts';
import { taskDesk } from '../../support/action-host.ts';

const E = randomUUID();
const F = randomUUID();
const identity = randomUUID();
const caller = { identity, urn: identityUrn(identity) };
const tg = randomUUID();

function view(more: Partial<TaskView> = {}): TaskView {
  return {
    task_id: randomUUID(),
    done: false,
    status: 'waiting-for-ep',
    reason: 'waiting: no worker',
    ...more,
  };
}
const good = (output?: TaskView['output']): TaskView =>
  view({ done: true, status: 'success', reason: '', ...(output === undefined ? {} : { output }) });
const bad = (exception: string): TaskView => view({ done: true, status: 'failed', reason: '', exception });

const TRACEBACK = `Traceback (most recent call last):
  File "frames.py", line 3, in hits
ZeroDivisionError: division by zero
`;

describe('compute: bodies', () => {
  const one = { endpoint_id: E, function_id: F, args: [], kwargs: {} };
  const forms: [string, JsonObject, object[]][] = [
    [
      'version 3',
      { endpoint_id: E, tasks: [{ function_id: F, args: [1, 'a'], kwargs: { k: null } }] },
      [{ ...one, args: [1, 'a'], kwargs: { k: null } }],
    ],
    [
      'version 3, upper-case ids',
      { endpoint_id: E.toUpperCase(), tasks: [{ function_id: F.toUpperCase() }] },
      [one],
    ],
    [
      'version 2, single',
      { endpoint: E, function: F, args: ['x'], kwargs: { a: 1 } },
      [{ ...one, args: ['x'], kwargs: { a: 1 } }],
    ],
    ['version 2, payload', { endpoint: E, function: F, payload: { a: 1 } }, [{ ...one, kwargs: { a: 1 } }]],
    [
      'version 2, payload of another kind',
      { endpoint: E, function: F, payload: [1, 2] },
      [{ ...one, args: [1, 2] }],
    ],
    ['version 2, one argument as text', { endpoint: E, function: F, args: 'x' }, [{ ...one, args: ['x'] }]],
    [
      'public flows',
      { tasks: [{ endpoint: E, func: F, payload: { x: 1 } }] },
      [{ ...one, kwargs: { x: 1 } }],
    ],
    [
      'defaults at the top',
      { endpoint: E, function: F, tasks: [{ args: [1] }, { args: [2] }] },
      [
        { ...one, args: [1] },
        { ...one, args: [2] },
      ],
    ],
  ];
  for (const [name, body, jobs] of forms) {
    it(`reads ${name}`, () => assert.deepEqual(jobsOf(body), jobs));
  }
  it('names the field that is wrong', () => {
    const wrong: [JsonObject, string][] = [
      [{}, '$.tasks'],
      [{ endpoint_id: E }, '$.tasks'],
      [{ endpoint_id: E, tasks: [{ function_id: F }, { function_id: 'f' }] }, '$.tasks[1].function_id'],
      [{ endpoint_id: E, tasks: [{}] }, '$.tasks[0].function_id'],
      [{ tasks: [{ function_id: F }] }, '$.tasks[0].endpoint_id'],
      [{ endpoint: 'here', function: F }, '$.endpoint'],
    ];
    for (const [body, field] of wrong) {
      assert.throws(
        () => jobsOf(body),
        (error: unknown) =>
          error instanceof Fault && error.http === 422 && error.message.includes(`'${field}'`),
      );
    }
  });
});

describe('compute: start', () => {
  it('submits one batch per endpoint under keys of the action, and keeps the order of the tasks', async () => {
    const desk = taskDesk(Date.now);
    const other = randomUUID();
    const body = {
      tasks: [
        { endpoint: E, function: F, args: [0] },
        { endpoint: other, function: F, args: [1] },
        { endpoint: E, function: F, args: [2] },
      ],
      resource_specification: { num_nodes: 2 },
    };
    const request = { action_id: `tg_${tg}`, caller, body };
    const { state, memo } = await compute.run(request, desk.ports);
    assert.equal(state.status, 'ACTIVE');
    assert.deepEqual(
      desk.submissions.map(({ endpoint_id, tasks }) => [endpoint_id, tasks.map((task) => task.args[0])]),
      [
        [E, [0, 2]],
        [other, [1]],
      ],
    );
    for (const { options, task_group_id } of desk.submissions) {
      assert.deepEqual(options, {
        result_serializers: ['JSONData'],
        resource_specification: { num_nodes: 2 },
      });
      assert.equal(task_group_id, tg);
    }
    const again = await compute.run(request, desk.ports);
    assert.deepEqual(again.memo, memo, 'the same action submits nothing twice');
    assert.equal(desk.submissions.length, 2);

    const ids = memo.tasks as string[];
    ids.forEach((id, index) => desk.succeed(id, index * 10));
    const record: ActionRecord = {
      action_id: request.action_id,
      creator: caller.urn,
      body,
      status: 'ACTIVE',
      memo,
      started_at: 0,
    };
    const done = await compute.status(record, desk.ports);
    assert.deepEqual(done.details.result, [0, 10, 20]);
  });
  it('joins the task group it is given', async () => {
    const desk = taskDesk(Date.now);
    const group = randomUUID();
    const body = { endpoint_id: E, tasks: [{ function_id: F }], task_group_id: group };
    await compute.run({ action_id: `tg_${tg}`, caller, body }, desk.ports);
    assert.equal(desk.submissions[0]?.task_group_id, group);
    assert.throws(() => compute.check?.({ ...body, task_group_id: 'mine' }), /task_group_id/);
  });
  it('says that a configuration for the endpoint was not used', async () => {
    const desk = taskDesk(Date.now);
    const record = (config: JsonObject): ActionRecord => ({
      action_id: 'a',
      creator: caller.urn,
      body: { user_endpoint_config: config },
      status: 'ACTIVE',
      memo: {},
      started_at: 5,
    });
    assert.equal((await compute.log?.(record({ nodes: 2 }), desk.ports))?.[0]?.code, 'ConfigurationUnused');
    assert.deepEqual(await compute.log?.(record({}), desk.ports), []);
  });
});

describe('compute: states', () => {
  it('counts what runs and says why the rest waits', () => {
    const waits = [view(), view(), view({ reason: 'waiting: other' })];
    assert.deepEqual(stateOf(waits), {
      status: 'ACTIVE',
      display_status: 'Waiting 3 of 3',
      details: { tasks: 3, done: 0, failed: 0, running: 0, reason: 'waiting: no worker' },
    });
    const mixed = stateOf([view({ status: 'running' }), good(1), view()]);
    assert.equal(mixed.display_status, 'Running 1 of 3');
    assert.deepEqual([mixed.details.done, mixed.details.running], [1, 1]);
  });
  it('waits for every task before it fails', () => {
    assert.equal(stateOf([bad('x'), view()]).status, 'ACTIVE');
  });
  it('lists the values in order; one that is no JSON is null and says so', () => {
    const views = [good([1]), good(null), good()];
    const { details, status } = stateOf(views);
    assert.equal(status, 'SUCCEEDED');
    assert.deepEqual(details.result, [[1], null, null]);
    const results = details.results as JsonObject[];
    assert.deepEqual(results[0], { task_id: views[0]?.task_id, output: [1] });
    assert.equal('note' in results[1]!, false);
    assert.match(results[2]?.note as string, /not JSON/);
  });
  it('fails with the last line of the first traceback', () => {
    const alone = stateOf([bad(TRACEBACK)]);
    assert.equal(alone.status, 'FAILED');
    assert.equal(alone.details.code, 'TaskFailed');
    assert.equal(alone.details.description, 'The task failed: ZeroDivisionError: division by zero');
    assert.equal(alone.details.exception, TRACEBACK);
    const views = [good(1), bad(TRACEBACK), bad('other')];
    const many = stateOf(views);
    assert.equal(
      many.details.description,
      '2 of 3 tasks failed; task 2: ZeroDivisionError: division by zero',
    );
    assert.deepEqual(
      (many.details.results as JsonObject[]).map((entry) => Object.keys(entry)[1]),
      ['output', 'exception', 'exception'],
    );
  });
  it('keeps the end of a long traceback', () => {
    const { details } = stateOf([bad(`${'x'.repeat(100_000)}\nValueError: the end`)]);
    assert.ok((details.exception as string).length < 20_000);
    assert.match(details.description as string, /ValueError: the end$/);
  });
  it('is final exactly when every task has ended, and shows 1 to 64 characters', () => {
    const any = fc.constantFrom(view(), view({ status: 'running' }), good(1), bad('E'));
    fc.assert(
      fc.property(fc.array(any, { minLength: 1, maxLength: 12 }), (views) => {
        const state = stateOf(views);
        assert.equal(
          isFinal(state.status),
          views.every((one) => one.done),
        );
        assert.equal(
          state.status === 'SUCCEEDED',
          views.every((one) => one.done && one.exception === undefined),
        );
        const shown = displayOf(state);
        assert.ok(shown.length >= 1 && shown.length <= 64);
      }),
    );
  });
  it('counts a task that nobody knows, or that failed without a word, as failed', async () => {
    const desk = taskDesk(Date.now);
    const body = { endpoint_id: E, tasks: [{ function_id: F }, { function_id: F }] };
    const { memo } = await compute.run({ action_id: `tg_${tg}`, caller, body }, desk.ports);
    const [first, second] = memo.tasks as string[];
    desk.tasks.delete(first!);
    desk.set(second!, { done: true, status: 'failed' });
    const record: ActionRecord = {
      action_id: `tg_${tg}`,
      creator: caller.urn,
      body,
      status: 'ACTIVE',
      memo,
      started_at: 0,
    };
    const state = await compute.status(record, desk.ports);
    assert.equal(
      state.details.description,
      '2 of 2 tasks failed; task 1: The task is no longer known; its result was not kept.',
    );
  });
  it('cancels what has not ended, and is not cancelled when everything has', async () => {
    const desk = taskDesk(Date.now);
    const body = { endpoint_id: E, tasks: [{ function_id: F }, { function_id: F }] };
    const { memo } = await compute.run({ action_id: `tg_${tg}`, caller, body }, desk.ports);
    const [first, second] = memo.tasks as [string, string];
    const record: ActionRecord = {
      action_id: `tg_${tg}`,
      creator: caller.urn,
      body,
      status: 'ACTIVE',
      memo,
      started_at: 0,
    };
    desk.succeed(first, 1);
    const state = await compute.cancel?.(record, desk.ports, caller.urn);
    assert.deepEqual(desk.cancelled, [second]);
    assert.deepEqual([state?.status, state?.details.code], ['FAILED', 'Cancelled']);
    assert.deepEqual((state?.details.results as JsonObject[])[0]?.output, 1);

    const whole = taskDesk(Date.now);
    const { memo: over } = await compute.run({ action_id: `tg_${tg}`, caller, body }, whole.ports);
    whole.finishAll();
    const late = await compute.cancel?.({ ...record, memo: over }, whole.ports, caller.urn);
    assert.deepEqual([late?.status, whole.cancelled], ['SUCCEEDED', []]);
  });
});
