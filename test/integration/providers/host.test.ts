// The action host on a real database: what happens when processes die between two steps, when many come at once,
// and when two services share the tables.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { Fault } from '../../../src/errors.ts';
import type {
  ActionProvider,
  ActionState,
  JsonObject,
  ProviderPorts,
} from '../../../src/providers/contract.ts';
import type { ActionHost } from '../../../src/providers/host.ts';
import type { ActionDocument } from '../../../src/providers/kit/document.ts';
import { compute } from '../../../src/providers/compute.ts';
import { helloWorld } from '../../../src/providers/hello-world.ts';
import { hostOn, handClock, person, taskDesk, type HandClock } from '../../support/action-host.ts';
import { checkActionStatus } from '../../support/action-schemas.ts';
import { withDatabase } from '../../support/database.ts';
import { until } from '../../support/until.ts';

const alice = person();

function ask(body: JsonObject, more: JsonObject = {}): JsonObject & { request_id: string } {
  return { request_id: randomUUID(), body, ...more };
}

const ACTIVE: ActionState = { status: 'ACTIVE', display_status: 'Working', details: {} };
const DONE: ActionState = { status: 'SUCCEEDED', display_status: 'Done', details: { ok: true } };

/** A provider made of the parts a test cares about. */
function provider(name: string, parts: Partial<ActionProvider>): ActionProvider {
  return {
    name,
    title: name,
    description: name,
    keywords: [],
    synchronous: false,
    input_schema: { type: 'object' },
    run: () => Promise.resolve({ state: ACTIVE, memo: { begun: true } }),
    status: () => Promise.resolve(ACTIVE),
    ...parts,
  };
}

describe('action host', () => {
  const database = withDatabase();
  let clock: HandClock;
  let ports: ProviderPorts;
  beforeEach(() => {
    clock = handClock();
    ports = taskDesk(() => clock.now()).ports;
  });
  const host = (...providers: ActionProvider[]): ActionHost => hostOn(database().db, providers, ports, clock);
  const sweepAll = async (one: ActionHost): Promise<void> => {
    while (await one.sweep());
  };
  const codeOf = (status: number) => (error: unknown) => {
    assert.ok(error instanceof Fault, String(error));
    assert.equal(error.http, status, error.message);
    return true;
  };

  it('refuses two providers of one name', () => {
    assert.throws(() => host(helloWorld, helloWorld), /name/);
    assert.throws(() => host(provider('Bad Name', {})), /name/);
  });

  it('starts the work again when the process died before the answer, under the same id', async () => {
    const seen: string[] = [];
    let alive = false;
    const crashing = provider('crashing', {
      run: ({ action_id }) => {
        seen.push(action_id);
        // A process that dies never answers.
        return alive ? Promise.resolve({ state: DONE, memo: {} }) : new Promise(() => undefined);
      },
    });
    void host(crashing).run('crashing', alice, ask({}));
    await until('the first start', () => seen.length === 1);
    alive = true;
    const second = host(crashing);
    await sweepAll(second);
    assert.equal(seen.length, 1, 'the first start still has its time');
    clock.turn(10_000);
    await sweepAll(second);
    assert.equal(seen.length, 2);
    assert.equal(seen[0], seen[1]);
    const found = await second.status('crashing', alice, seen[0] ?? '');
    assert.equal(found.status, 'SUCCEEDED');
  });

  it('starts it again at once when the same request comes back after a crash', async () => {
    let alive = false;
    const dies = provider('dies', {
      run: () => (alive ? Promise.resolve({ state: DONE, memo: {} }) : new Promise(() => undefined)),
    });
    const request = ask({});
    void host(dies).run('dies', alice, request);
    const stored = 'SELECT 1 FROM actions WHERE request_id = $1';
    await until(
      'the row',
      async () => (await database().db.query(stored, [request.request_id])).length === 1,
    );
    alive = true;
    const { created, action } = await host(dies).run('dies', alice, request);
    assert.equal(created, false);
    assert.equal(action.status, 'SUCCEEDED');
  });

  it('keeps nothing of a request that its provider refuses', async () => {
    const desk = taskDesk(() => clock.now());
    const gone = randomUUID();
    const there = randomUUID();
    desk.unknownEndpoints.add(gone);
    ports = desk.ports;
    const one = host(compute);
    const task = { function: randomUUID() };
    const request = ask({
      tasks: [
        { ...task, endpoint: there },
        { ...task, endpoint: gone },
      ],
    });
    await assert.rejects(one.run('compute', alice, request), codeOf(404));
    assert.equal(desk.cancelled.length, 1, 'what the first endpoint took is cancelled');
    desk.unknownEndpoints.clear();
    const { created } = await one.run('compute', alice, request);
    assert.equal(created, true, 'the request id is free again');
  });

  it('keeps trying a start that fails for a reason that may pass, and then gives up', async () => {
    let tries = 0;
    const never = provider('never', {
      run: () => {
        tries++;
        return Promise.reject(new Error('connection lost'));
      },
    });
    const one = host(never);
    const { created, action } = await one.run('never', alice, ask({}));
    assert.equal(created, true);
    assert.equal(action.status, 'ACTIVE');
    assert.equal(action.display_status, 'Waiting to start');
    for (let round = 0; round < 20 && tries < 8; round++) {
      clock.turn(200_000);
      await sweepAll(one);
    }
    const over = await one.status('never', alice, action.action_id);
    assert.equal(tries, 8);
    assert.equal(over.status, 'FAILED');
    assert.equal(over.details.code, 'StartFailed');
  });

  it('fails an accepted action whose provider refuses the later start', async () => {
    let tries = 0;
    const fickle = provider('fickle', {
      run: () =>
        Promise.reject(
          tries++ === 0 ? new Error('away') : new Fault('endpoint_not_found', 'It was deleted.'),
        ),
    });
    const one = host(fickle);
    const { action } = await one.run('fickle', alice, ask({}));
    clock.turn(5_000);
    await sweepAll(one);
    const over = await one.status('fickle', alice, action.action_id);
    assert.deepEqual([over.status, over.details.description], ['FAILED', 'It was deleted.']);
  });

  it('runs one of many equal requests at two services, and starts it once', async () => {
    const started = new Set<string>();
    const once = provider('once', {
      run: ({ action_id }) => {
        started.add(action_id);
        return Promise.resolve({ state: ACTIVE, memo: {} });
      },
    });
    const [near, far] = [host(once), host(once)];
    const request = ask({ n: 1 });
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? near : far).run('once', alice, request)),
    );
    assert.equal(answers.filter((answer) => answer.created).length, 1);
    assert.equal(started.size, 1);
  });

  it('lets a cancel or a success win, never both', async () => {
    const services = [host(helloWorld), host(helloWorld)];
    for (let round = 0; round < 10; round++) {
      const { action } = await services[0]!.run('hello_world', alice, ask({ sleep_time: 1 }));
      clock.turn(1_000);
      const seen = await Promise.allSettled([
        services[0]!.cancel('hello_world', alice, action.action_id),
        services[1]!.status('hello_world', alice, action.action_id),
        services[1]!.cancel('hello_world', alice, action.action_id),
      ]);
      const last = await services[0]!.status('hello_world', alice, action.action_id);
      for (const one of seen) {
        if (one.status === 'fulfilled' && one.value.status !== 'ACTIVE') assert.deepEqual(one.value, last);
        if (one.status === 'rejected') assert.ok(codeOf(409)(one.reason));
      }
    }
  });

  it('tells listeners of this service at once and those of another by notification', async () => {
    const near: string[] = [];
    const far: string[] = [];
    const one = host(helloWorld);
    const two = host(helloWorld);
    one.onEnded((id) => near.push(id));
    two.onEnded((id) => far.push(id));
    await two.start();
    try {
      const { action } = await one.run('hello_world', alice, ask({ sleep_time: 60 }));
      await one.cancel('hello_world', alice, action.action_id);
      assert.deepEqual(near, [action.action_id]);
      await until('the news', () => far.includes(action.action_id));
    } finally {
      await two.stop();
    }
  });

  it('looks when the tasks have ended, and asks for one watch at a time', async () => {
    const desk = taskDesk(() => clock.now());
    ports = desk.ports;
    const one = host(compute, helloWorld);
    const body = { endpoint_id: randomUUID(), tasks: [{ function_id: randomUUID() }] };
    const { action } = await one.run('compute', alice, ask(body));
    assert.deepEqual(desk.watched, [action.action_id]);
    await one.status('compute', alice, action.action_id);
    assert.equal(desk.watched.length, 1, 'a look does not ask for a second watch');
    const ended: string[] = [];
    one.onEnded((id) => ended.push(id));
    await one.look(action.action_id);
    assert.equal(desk.watched.length, 2, 'a watch that spoke too early is set again');
    desk.finishAll(5);
    await one.look(action.action_id);
    assert.deepEqual(ended, [action.action_id]);
    await one.look(action.action_id);
    await one.look('nobody');
    assert.deepEqual(ended, [action.action_id]);
  });

  it('misses no hint that comes before the start is stored, or while a look is under way', async () => {
    const desk = taskDesk(() => clock.now());
    // Tasks that end before their submitter has put the action away.
    ports = { ...desk.ports, watchTasks: (id) => (desk.finishAll(7), void one.look(id)) };
    const one = host(compute);
    const ended: string[] = [];
    one.onEnded((id) => ended.push(id));
    const body = { endpoint_id: randomUUID(), tasks: [{ function_id: randomUUID() }] };
    const { action } = await one.run('compute', alice, ask(body));
    await until('the end', () => ended.includes(action.action_id));

    let state: ActionState = ACTIVE;
    const gates: (() => void)[] = [];
    const slow = provider('slow', {
      async status() {
        const seen = state;
        await new Promise<void>((open) => gates.push(open));
        return seen;
      },
    });
    const two = host(slow);
    const begun = (await two.run('slow', alice, ask({}))).action;
    const poll = two.status('slow', alice, begun.action_id);
    await until('the poll', () => gates.length === 1);
    state = DONE;
    const hint = two.look(begun.action_id);
    await until('the look of the hint', () => gates.length === 2);
    for (const open of gates) open();
    await Promise.all([poll, hint]);
    const stored = await database().db.query(
      'SELECT 1 FROM actions WHERE action_id = $1 AND ended_at IS NOT NULL',
      [begun.action_id],
    );
    assert.equal(stored.length, 1);
  });

  it('wakes by itself when work is due', async () => {
    const real: HandClock = { now: Date.now, turn: () => undefined };
    const live = hostOn(database().db, [helloWorld], { ...ports, now: Date.now }, real);
    await live.start();
    try {
      const ends = new Map<string, number>();
      live.onEnded((id) => ends.set(id, Date.now()));
      const begun = Date.now();
      const { action } = await live.run('hello_world', alice, ask({ sleep_time: 0.2 }));
      const at = await until('the end', () => ends.get(action.action_id));
      assert.ok(at - begun >= 200 && at - begun < 2_000, `${at - begun} ms`);
    } finally {
      await live.stop();
    }
  });

  it('looks again at what a dead service watched as soon as a service starts', async () => {
    const desk = taskDesk(() => clock.now());
    ports = desk.ports;
    const body = { endpoint_id: randomUUID(), tasks: [{ function_id: randomUUID() }] };
    const { action } = await host(compute).run('compute', alice, ask(body));
    desk.finishAll(1);
    const next = host(compute);
    const ended: string[] = [];
    next.onEnded((id) => ended.push(id));
    await next.start();
    try {
      await until('the end', () => ended.includes(action.action_id));
    } finally {
      await next.stop();
    }
  });

  it('keeps an action whose work cannot be ended at its deadline for a minute, then fails it', async () => {
    const stubborn = provider('stubborn', { cancel: () => Promise.reject(new Error('no')) });
    const one = host(stubborn);
    const deadline = new Date(clock.now() + 1_000).toISOString();
    const { action } = await one.run('stubborn', alice, ask({}, { deadline }));
    clock.turn(1_000);
    await sweepAll(one);
    assert.equal((await one.status('stubborn', alice, action.action_id)).status, 'ACTIVE');
    clock.turn(61_000);
    await sweepAll(one);
    const late = await one.status('stubborn', alice, action.action_id);
    assert.equal(late.details.code, 'DeadlineExceeded');
  });

  it('answers a repeated request whose deadline has gone by', async () => {
    const one = host(helloWorld);
    const request = ask({ sleep_time: 60 }, { deadline: new Date(clock.now() + 5_000).toISOString() });
    const { action } = await one.run('hello_world', alice, request);
    clock.turn(6_000);
    const again = await one.run('hello_world', alice, request);
    assert.equal(again.action.action_id, action.action_id);
  });

  it('refuses to cancel what its provider cannot', async () => {
    const one = host(provider('endless', {}));
    const { action } = await one.run('endless', alice, ask({}));
    await assert.rejects(one.cancel('endless', alice, action.action_id), codeOf(400));
  });

  it('goes on with a suspended action when it is resumed', async () => {
    const one = host(helloWorld);
    const body = { required_dependent_scope: 'urn:globus:auth:scope:x:all', echo_string: 'after' };
    const { action } = await one.run('hello_world', alice, ask(body));
    assert.equal(action.status, 'INACTIVE');
    assert.equal(action.details.code, 'ConsentRequired');
    checkActionStatus(action);
    await sweepAll(one);
    assert.equal((await one.status('hello_world', alice, action.action_id)).status, 'INACTIVE');
    const resumed = await one.resume('hello_world', alice, action.action_id);
    assert.deepEqual([resumed.status, resumed.details.hello], ['SUCCEEDED', 'after']);
    const { entries } = await one.log('hello_world', alice, action.action_id, { limit: 10, reverse: false });
    assert.deepEqual(
      entries.map((entry) => entry.code),
      ['Started', 'Resumed', 'Succeeded'],
    );
  });

  it('carries every character, and refuses what is nested too deep or comes out too large', async () => {
    const one = host(
      helloWorld,
      provider('huge', {
        run: () => Promise.resolve({ state: { ...DONE, details: { x: 'y'.repeat(34e6) } }, memo: {} }),
      }),
    );
    const echo = 'nul \u0000, lone \ud800, "quotes", \\ and {braces}, ✓';
    const { action } = await one.run('hello_world', alice, ask({ echo_string: echo }));
    const stored = await one.status('hello_world', alice, action.action_id);
    assert.equal(stored.details.hello, echo);
    const deep = JSON.parse('{"a":'.repeat(500) + '1' + '}'.repeat(500)) as JsonObject;
    await assert.rejects(one.run('huge', alice, ask(deep)), codeOf(422));
    const large = await one.run('huge', alice, ask({}));
    assert.deepEqual([large.action.status, large.action.details.code], ['FAILED', 'ResultTooLarge']);
  });

  it('isolates a bad row from the others of its batch', async () => {
    const one = host(helloWorld);
    const answers = await Promise.allSettled(
      Array.from({ length: 40 }, (_, index) =>
        // A creator that is no UUID can only come from a fault of ours; it must not take 39 others with it.
        one.run(
          'hello_world',
          index === 7 ? { ...alice, identity: 'broken' } : alice,
          ask({ echo_string: 'x' }),
        ),
      ),
    );
    assert.deepEqual(
      answers.flatMap((answer, index) => (answer.status === 'rejected' ? [index] : [])),
      [7],
    );
  });

  it('keeps status monotone and final details fixed under any order of calls at two services', async function () {
    this.timeout(120_000);
    const verbs = ['status', 'cancel', 'resume', 'release', 'look', 'sweep', 'turn'] as const;
    const step = fc.record({ verb: fc.constantFrom(...verbs), service: fc.nat(1), wait: fc.nat(3_000) });
    const property = fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 8 }),
      fc.constantFrom<JsonObject>(
        { sleep_time: 2 },
        { echo_string: 'a' },
        { required_dependent_scope: 's', sleep_time: 1 },
      ),
      async (rounds, body) => {
        const services = [host(helloWorld), host(helloWorld)];
        const request = ask(body, { release_after: 'PT4S' });
        const { action } = await services[0]!.run('hello_world', alice, request);
        let final: ActionDocument | null = action.completion_time === undefined ? null : action;
        let gone = false;
        const note = (seen: ActionDocument): void => {
          assert.equal(gone, false, 'seen after its release');
          checkActionStatus(seen);
          if (final !== null) assert.deepEqual(seen, final);
          if (seen.completion_time !== undefined) final = seen;
        };
        for (const round of rounds) {
          // What one round does together may be answered in any order; it is checked between the rounds.
          const results = await Promise.allSettled(
            round.map(async ({ verb, service, wait }) => {
              const at = services[service]!;
              if (verb === 'turn') return clock.turn(wait);
              if (verb === 'sweep') return at.sweep();
              if (verb === 'look') return at.look(action.action_id);
              await at[verb]('hello_world', alice, action.action_id);
            }),
          );
          for (const result of results) {
            if (result.status === 'rejected') assert.ok([404, 409].includes((result.reason as Fault).http));
          }
          try {
            note(await services[0]!.status('hello_world', alice, action.action_id));
          } catch (error) {
            assert.ok(codeOf(404)(error));
            gone = true;
          }
        }
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});
