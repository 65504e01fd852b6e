// The machine: data flow, waiting, errors and Catch, cancel, limits; and its invariants on random flows and events.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { step, type FlowEvent } from '../../../src/flows/machine.ts';
import { MOST_VISITS, STATE_BYTES, TRANSITIONS_PER_STEP } from '../../../src/flows/run.ts';
import type { Effect, WorldEvent } from '../../../src/flows/states/contract.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import {
  answer,
  flowOf,
  newRun,
  play,
  RUN_ID,
  succeeding,
  T0,
  textOf,
  type Script,
} from './support/world.ts';

const URL = 'https://example.org/ap';

function one(state: JsonObject, more: JsonObject = {}): JsonObject {
  return { StartAt: 'S', States: { S: state, ...more } };
}

function outputOf(definition: unknown, input: JsonObject = {}, script?: Script): unknown {
  const { run } = play(flowOf(definition), script === undefined ? { input } : { input, script });
  assert.equal(run.status, 'SUCCEEDED', JSON.stringify(run.details));
  return run.details['output'];
}

function failureOf(definition: unknown, input: JsonObject = {}, script?: Script): JsonObject {
  const { run } = play(flowOf(definition), script === undefined ? { input } : { input, script });
  assert.equal(run.status, 'FAILED');
  assert.equal(run.details['code'], 'FlowFailed');
  return run.details;
}

const action = (more: JsonObject = {}): JsonObject => ({
  Type: 'Action',
  ActionUrl: URL,
  Parameters: { echo: 1 },
  ResultPath: '$.r',
  End: true,
  ...more,
});

describe('flow machine: data', () => {
  it('builds Parameters from constants, references, expressions and private members', () => {
    const definition = one({
      Type: 'Pass',
      Parameters: {
        constant: [1, { deep: 'x' }],
        'ref.$': '$.a.list[-1]',
        'whole.$': '$',
        'expr.=': 'a.n + 1',
        'run.$': '$._context.run_id',
        items: [{ 'p.=': "'v' + str(a.n)", q: 0 }],
        secret: 's3cret',
        __Private_Parameters: ['secret'],
      },
      ResultPath: '$.out',
      End: true,
    });
    const { run, entries } = play(flowOf(definition), { input: { a: { n: 2, list: [7, 8] } } });
    const wanted = {
      constant: [1, { deep: 'x' }],
      ref: 8,
      whole: { a: { n: 2, list: [7, 8] } },
      expr: 3,
      run: RUN_ID,
      items: [{ p: 'v2', q: 0 }],
    };
    assert.deepEqual((run.details['output'] as JsonObject)['out'], wanted);
    assert.deepEqual((run.place.data['out'] as JsonObject)['secret'], 's3cret');
    assert.doesNotMatch(JSON.stringify([run.details, entries]), /s3cret/);
  });

  it('keeps _private members out of sight but usable', () => {
    const definition = one(
      { Type: 'Pass', Parameters: { token: 't0p' }, ResultPath: '$._private_state', Next: 'T' },
      {
        T: { Type: 'Pass', Parameters: { 'n.=': 'len(_private_state.token)' }, ResultPath: '$.n', End: true },
      },
    );
    const { run, entries } = play(flowOf(definition), { input: { _private_in: 'x', a: 1 } });
    assert.deepEqual(run.details['output'], { a: 1, n: { n: 3 } });
    assert.doesNotMatch(JSON.stringify([run.details, entries]), /t0p|_private_in/);
  });

  it('writes results where ResultPath says', () => {
    const at = (ResultPath: string | undefined, input: JsonObject): unknown =>
      outputOf(
        one({
          Type: 'Pass',
          Parameters: { v: 1 },
          End: true,
          ...(ResultPath === undefined ? {} : { ResultPath }),
        }),
        input,
      );
    assert.deepEqual(at(undefined, { a: 1 }), { v: 1 });
    assert.deepEqual(at('$', { a: 1 }), { v: 1 });
    assert.deepEqual(at('$.', { a: 1 }), { v: 1 });
    assert.deepEqual(at('$.x.y', { a: 1 }), { a: 1, x: { y: { v: 1 } } });
    assert.deepEqual(at("$['odd.name']", {}), { 'odd.name': { v: 1 } });
    assert.deepEqual(at('$.l[1]', { l: [0, 1, 2] }), { l: [0, { v: 1 }, 2] });
    assert.deepEqual(at('$.__proto__.x', {}), JSON.parse('{"__proto__":{"x":{"v":1}}}'));
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
    const bad = failureOf(one({ Type: 'Pass', Parameters: {}, ResultPath: '$.a.b', End: true }), { a: 3 });
    assert.match(textOf(bad['cause']), /cannot write to \$\.a\.b: there is a number on the way/);
    assert.equal(bad['error'], 'States.ResultPathMatchFailure');
    assert.equal(
      failureOf(one({ Type: 'Pass', InputPath: '$.a', End: true }), { a: [1] })['error'],
      'States.ResultPathMatchFailure',
    );
  });

  it('passes InputPath, the whole state, or Result', () => {
    assert.deepEqual(outputOf(one({ Type: 'Pass', End: true }), { a: 1 }), { a: 1 });
    assert.deepEqual(
      outputOf(one({ Type: 'Pass', InputPath: '$.a', ResultPath: '$.b', End: true }), { a: [1] }),
      { a: [1], b: [1] },
    );
    assert.deepEqual(outputOf(one({ Type: 'Pass', Result: { c: 1 }, End: true }), { a: 1 }), { c: 1 });
  });

  it('says which parameter could not be built', () => {
    const bad = failureOf(one({ Type: 'Pass', Parameters: { o: { 'x.$': '$.a.b' } }, End: true }), {
      a: { c: 1 },
    });
    assert.equal(bad['error'], 'States.ParameterPathFailure');
    assert.equal(bad['state_name'], 'S');
    assert.match(textOf(bad['cause']), /Parameter "o\.x": nothing at \$\.a\.b: \$\.a has the members c/);
    const expr = failureOf(one({ Type: 'Pass', Parameters: { 'x.=': "'a' + 1" }, End: true }));
    assert.equal(expr['error'], 'States.IntrinsicFailure');
    assert.match(
      textOf(expr['description']),
      /^State S failed with States\.IntrinsicFailure: .*"\+" does not work on a string and an integer/,
    );
  });

  it('holds the run state to its limit', () => {
    const half = 'x'.repeat(STATE_BYTES * 0.6);
    const definition = one({ Type: 'Pass', Parameters: { 'twice.=': '[big, big]' }, End: true });
    assert.match(textOf(failureOf(definition, { big: half })['cause']), /would have 241 KB; at most 200 KB/);
    const caught = one(action({ Catch: [{ ErrorEquals: ['States.DataLimitExceeded'], Next: 'T' }] }), {
      T: { Type: 'Pass', Parameters: { 'e.$': '$.Error' }, End: true },
    });
    assert.deepEqual(
      outputOf(
        caught,
        {},
        succeeding(() => ({ big: 'y'.repeat(STATE_BYTES) })),
      ),
      { e: 'States.DataLimitExceeded' },
    );
  });
});

describe('flow machine: actions', () => {
  it('stores the final status with the state name, and logs in order', () => {
    const definition = one(action({ Parameters: { 'echo.$': '$.word', k: 1 } }));
    const { run, entries, effects } = play(flowOf(definition), {
      input: { word: 'hi' },
      script: succeeding(() => ({ out: 42 })),
    });
    assert.deepEqual(run.details, {
      code: 'FlowSucceeded',
      description: 'The Flow run reached a successful completion state',
      output: {
        word: 'hi',
        r: { action_id: 'a1', status: 'SUCCEEDED', details: { out: 42 }, state_name: 'S' },
      },
    });
    const [start, release] = effects;
    assert.deepEqual(start, {
      kind: 'start_action',
      request_id: `${RUN_ID}:1:S`,
      url: URL,
      run_as: 'User',
      body: { echo: 'hi', k: 1 },
    });
    assert.deepEqual(release, { kind: 'release_action', url: URL, run_as: 'User', action_id: 'a1' });
    assert.deepEqual(
      entries.map(({ seq, code }) => `${seq} ${code}`),
      ['1 FlowStarted', '2 ActionStarted', '3 ActionCompleted', '4 FlowSucceeded'],
    );
    assert.deepEqual(entries[1]?.details, {
      state_name: 'S',
      state_type: 'Action',
      input: { echo: 'hi', k: 1 },
    });
    assert.deepEqual(entries[2]?.details['output'], run.details['output']);
  });

  it('polls with doubling waits and takes the end when it comes', () => {
    const polls: number[] = [];
    const script: Script = (effect, now) => {
      if (effect.kind === 'poll_action') polls.push((now - T0) / 1_000);
      return effect.kind === 'release_action'
        ? null
        : answer(effect, now - T0 < 120_000 ? 'ACTIVE' : 'SUCCEEDED');
    };
    const { run } = play(flowOf(one(action())), { script });
    assert.equal(run.status, 'SUCCEEDED');
    assert.deepEqual(polls, [1, 3, 7, 15, 31, 63, 127]);
  });

  it('never polls less often than every ten minutes', () => {
    let last = T0;
    const script: Script = (effect, now) => {
      assert.ok(now - last <= 600_000);
      last = now;
      return effect.kind === 'release_action'
        ? null
        : answer(effect, now - T0 < 86_400_000 ? 'ACTIVE' : 'SUCCEEDED');
    };
    assert.equal(play(flowOf(one(action({ WaitTime: 172_800 }))), { script }).run.status, 'SUCCEEDED');
  });

  it('raises ActionFailedException with the reason findable, unless told not to', () => {
    const failing: Script = (effect) =>
      effect.kind === 'start_action'
        ? answer(effect, 'FAILED', {
            code: 'TaskFailed',
            description: 'task failed',
            exception: 'Traceback …\nValueError: bad frame 7',
          })
        : null;
    const details = failureOf(one(action()), {}, failing);
    assert.match(textOf(details['cause']), /task failed\n[^]*ValueError: bad frame 7/);
    assert.match(JSON.stringify(details['action_statuses']), /bad frame 7/);
    const quiet = outputOf(one(action({ ExceptionOnActionFailure: false })), {}, failing) as JsonObject;
    assert.equal((quiet['r'] as JsonObject)['status'], 'FAILED');
  });

  it('lets the first Catch clause that matches take the error', () => {
    const failing: Script = (effect) =>
      effect.kind === 'start_action' ? answer(effect, 'FAILED', { code: 'NotFound' }) : null;
    const withCatch = (Catch: JsonObject[]): unknown =>
      outputOf(
        one(action({ Catch }), {
          A: { Type: 'Pass', End: true },
          B: { Type: 'Pass', ResultPath: '$.b', End: true },
        }),
        { keep: 1 },
        failing,
      );
    const replaced = withCatch([
      { ErrorEquals: ['ActionTimeout'], Next: 'B' },
      { ErrorEquals: ['ActionFailedException'], Next: 'A' },
    ]) as JsonObject;
    assert.equal(replaced['Error'], 'ActionFailedException');
    assert.deepEqual(replaced['details'], { code: 'NotFound' });
    assert.equal(replaced['keep'], undefined);
    for (const all of ['States.ALL', 'States.All', 'states.all']) {
      const kept = withCatch([{ ErrorEquals: [all], Next: 'A', ResultPath: '$.error' }]) as JsonObject;
      assert.equal(kept['keep'], 1);
      assert.equal((kept['error'] as JsonObject)['Error'], 'ActionFailedException');
    }
  });

  it('raises ActionUnableToRun when the provider refuses, with its error body', () => {
    const script: Script = (effect) =>
      effect.kind === 'start_action'
        ? {
            kind: 'action_refused',
            request_id: effect.request_id,
            message: 'bad input',
            body: { code: 'RequestValidationError', description: 'bad input' },
          }
        : null;
    const details = failureOf(one(action()), {}, script);
    assert.equal(details['error'], 'ActionUnableToRun');
    assert.equal(details['code'], 'FlowFailed');
    assert.deepEqual(details['details'], { code: 'RequestValidationError', description: 'bad input' });
  });

  it('tries an unreachable provider again, then gives up', () => {
    let tries = 0;
    const script: Script = (effect) => {
      tries += 1;
      return effect.kind === 'start_action'
        ? { kind: 'action_unreachable', request_id: effect.request_id, message: 'ECONNREFUSED' }
        : null;
    };
    const details = failureOf(one(action()), {}, script);
    assert.equal(details['error'], 'ActionUnableToRun');
    assert.match(textOf(details['cause']), /could not be reached in 8 tries: ECONNREFUSED/);
    assert.equal(tries, 8);
  });

  it('survives a provider that is away while the action runs', () => {
    const script: Script = (effect, now) => {
      if (effect.kind === 'release_action') return null;
      if (effect.kind === 'start_action') return answer(effect, 'ACTIVE');
      return now - T0 < 100_000
        ? { kind: 'action_unreachable', request_id: effect.request_id, message: 'away' }
        : answer(effect, 'SUCCEEDED');
    };
    assert.equal(play(flowOf(one(action())), { script }).run.status, 'SUCCEEDED');
  });

  it('cancels the action after WaitTime (300 s when not given) and raises ActionTimeout', () => {
    for (const [WaitTime, seconds] of [
      [undefined, 300],
      [30, 30],
    ] as const) {
      let cancelledAt = 0;
      const script: Script = (effect, now) => {
        if (effect.kind === 'cancel_action') cancelledAt = now;
        return effect.kind === 'release_action'
          ? null
          : answer(effect, effect.kind === 'cancel_action' ? 'FAILED' : 'ACTIVE', { p: 1 });
      };
      const details = failureOf(one(action(WaitTime === undefined ? {} : { WaitTime })), {}, script);
      assert.equal(details['error'], 'ActionTimeout');
      assert.equal(cancelledAt, T0 + seconds * 1_000);
      assert.deepEqual((details['action_statuses'] as JsonObject[])[0]?.['details'], { p: 1 });
    }
  });

  it('keeps the result of an action that ended just before its cancel', () => {
    const script: Script = (effect) =>
      effect.kind === 'release_action'
        ? null
        : answer(effect, effect.kind === 'cancel_action' ? 'SUCCEEDED' : 'ACTIVE', { done: true });
    const output = outputOf(one(action({ WaitTime: 5 })), {}, script) as JsonObject;
    assert.deepEqual((output['r'] as JsonObject)['details'], { done: true });
  });

  it('shows INACTIVE with what the provider asks for on top, and goes on after it', () => {
    const scope = 'urn:x[*y]';
    let seen: JsonObject | undefined;
    const script: Script = (effect, now) => {
      if (effect.kind === 'release_action') return null;
      return now - T0 < 10_000
        ? answer(effect, 'INACTIVE', {
            code: 'ConsentRequired',
            description: 'consent!',
            required_scope: scope,
          })
        : answer(effect, 'SUCCEEDED');
    };
    const { run, entries } = play(flowOf(one(action())), {
      script,
      onStep: (stepped) => {
        if (stepped.run.status === 'INACTIVE') seen = stepped.run.details;
      },
    });
    assert.equal(run.status, 'SUCCEEDED');
    assert.equal(seen?.['code'], 'ConsentRequired');
    assert.equal(seen?.['required_scope'], scope);
    assert.equal(seen?.['state_name'], 'S');
    assert.equal((seen?.['action_statuses'] as JsonObject[])[0]?.['state_name'], 'S');
    assert.ok(entries.some((entry) => entry.code === 'FlowInactive'));
  });

  it('takes a document too large to keep down to its words', () => {
    const script: Script = (effect) =>
      effect.kind === 'start_action'
        ? answer(effect, 'FAILED', { code: 'X', description: 'short', dump: 'z'.repeat(STATE_BYTES) })
        : null;
    const details = failureOf(one(action()), {}, script);
    assert.ok(JSON.stringify(details).length < 4_000);
    assert.match(textOf(details['cause']), /short/);
    let deep: JsonObject = {};
    for (let level = 0; level < 100_000; level += 1) deep = { deep };
    const bottomless: Script = (effect) =>
      effect.kind === 'start_action' ? answer(effect, 'SUCCEEDED', deep) : null;
    assert.equal(play(flowOf(one(action())), { script: bottomless }).run.status, 'SUCCEEDED');
  });

  it('ignores an answer to an earlier request', () => {
    const flow = flowOf(one(action()));
    const { run } = step(flow, newRun(), { kind: 'started' }, T0);
    const stale: WorldEvent = {
      kind: 'action_answered',
      request_id: 'other',
      document: { action_id: 'z', status: 'SUCCEEDED', details: {} },
    };
    const after = step(flow, run, stale, T0 + 1);
    assert.equal(after.changed, false);
    assert.deepEqual(after.run, run);
  });
});

describe('flow machine: cancel', () => {
  const cancel = (now: number): { now: number; event: FlowEvent } => ({
    now,
    event: { kind: 'cancel_requested', by: 'urn:ada' },
  });

  it('ends a waiting run at once', () => {
    const flow = flowOf(one({ Type: 'Wait', Seconds: 1_000, End: true }));
    const { run, entries, now } = play(flow, { at: [cancel(T0 + 5_000)] });
    assert.equal(now, T0 + 5_000);
    assert.deepEqual(run.details, {
      time: '2026-01-31T08:00:05.000000+00:00',
      code: 'FlowCanceled',
      description: 'The Flow Instance was canceled by the user',
      details: {},
    });
    assert.equal(run.status, 'FAILED');
    assert.equal(entries.at(-1)?.code, 'FlowCanceled');
  });

  it('cancels the running action first', () => {
    const asked: string[] = [];
    const script: Script = (effect) => {
      asked.push(effect.kind);
      return effect.kind === 'cancel_action' || effect.kind === 'start_action'
        ? answer(effect, 'ACTIVE')
        : null;
    };
    const { run } = play(flowOf(one(action({ Catch: [{ ErrorEquals: ['States.ALL'], Next: 'S' }] }))), {
      script,
      at: [cancel(T0 + 500)],
    });
    assert.equal(run.details['code'], 'FlowCanceled');
    assert.deepEqual(asked, ['start_action', 'cancel_action']);
  });

  it('starts an action that may have been started, to be able to cancel it', () => {
    const asked: string[] = [];
    const script: Script = (effect) => {
      asked.push(effect.kind);
      // The first request brings no answer: the process died in between.
      return asked.length === 1 ? null : answer(effect, 'ACTIVE');
    };
    const { run } = play(flowOf(one(action())), { script, at: [cancel(T0 + 500)] });
    assert.equal(run.details['code'], 'FlowCanceled');
    assert.deepEqual(asked, ['start_action', 'start_action', 'cancel_action']);
  });

  it('ends even when the provider never takes the cancel, and says so', () => {
    const script: Script = (effect) =>
      effect.kind === 'start_action'
        ? answer(effect, 'ACTIVE')
        : {
            kind: 'action_unreachable',
            request_id: 'request_id' in effect ? effect.request_id : '',
            message: 'gone',
          };
    const { run } = play(flowOf(one(action())), { script, at: [cancel(T0 + 500)] });
    assert.match(JSON.stringify(run.details), /did not answer the cancel: gone/);
  });

  it('is too late for a run that has ended', () => {
    const flow = flowOf(one({ Type: 'Pass', End: true }));
    const { run } = play(flow);
    const after = step(flow, run, { kind: 'cancel_requested', by: 'x' }, T0);
    assert.deepEqual(after.run, run);
    assert.equal(after.wake_at, null);
  });
});

describe('flow machine: bounds', () => {
  const loop = flowOf({
    StartAt: 'A',
    States: {
      A: { Type: 'Pass', Next: 'B' },
      B: { Type: 'Choice', Choices: [{ Variable: '$.x', IsPresent: true, Next: 'A' }], Default: 'A' },
    },
  });

  it('stops for breath within a step, and ends a loop without end', () => {
    const first = step(loop, newRun(), { kind: 'started' }, T0);
    assert.equal(first.run.place.visit, TRANSITIONS_PER_STEP);
    assert.equal(first.wake_at, T0);
    const { run, steps } = play(loop);
    assert.equal(run.status, 'FAILED');
    assert.match(textOf(run.details['cause']), /a loop without end/);
    assert.equal(run.place.visit, MOST_VISITS + 1);
    assert.ok(steps <= MOST_VISITS / TRANSITIONS_PER_STEP + 2);
  });

  it('keeps the log of a run within its size', () => {
    const { run, entries } = play(loop, { input: { big: 'x'.repeat(20_000) } });
    assert.ok(run.place.log_bytes <= 8 * 1024 * 1024);
    assert.ok(
      entries.some(
        (entry) => entry.details['omitted'] !== undefined && entry.details['state_name'] !== undefined,
      ),
    );
    assert.deepEqual(
      entries.map((entry) => entry.seq),
      entries.map((_, index) => index + 1),
    );
  });
});

/** Random flows of a few states over all types, wired at random. */
function anyFlow(): fc.Arbitrary<JsonObject> {
  const names = ['A', 'B', 'C', 'D'];
  const name = fc.constantFrom(...names);
  const goesOn = fc.oneof(
    name.map((Next) => ({ Next })),
    fc.constant({ End: true }),
  );
  const state: fc.Arbitrary<JsonObject> = fc.oneof(
    fc.tuple(fc.constantFrom('$', '$.x', '$.y.z'), goesOn).map(([ResultPath, on]): JsonObject => ({
      Type: 'Pass',
      Parameters: { v: 1, 'w.=': "getattr('x', 0)" },
      ResultPath,
      ...on,
    })),
    fc
      .tuple(fc.integer({ min: 0, max: 50 }), goesOn)
      .map(([Seconds, on]): JsonObject => ({ Type: 'Wait', Seconds, ...on })),
    fc.tuple(name, name).map(([a, b]): JsonObject => ({
      Type: 'Choice',
      Choices: [{ Variable: '$.x', IsPresent: true, Next: a }],
      Default: b,
    })),
    fc.constant<JsonObject>({ Type: 'Fail', Error: 'E', Cause: 'C' }),
    fc
      .tuple(goesOn, fc.option(name), fc.boolean(), fc.integer({ min: 1, max: 40 }))
      .map(([on, caught, raises, WaitTime]): JsonObject => ({
        Type: 'Action',
        ActionUrl: URL,
        Parameters: {},
        ResultPath: '$.x',
        WaitTime,
        ExceptionOnActionFailure: raises,
        ...on,
        ...(caught === null
          ? {}
          : { Catch: [{ ErrorEquals: ['States.ALL'], Next: caught, ResultPath: '$.e' }] }),
      })),
  );
  return fc.tuple(...names.map(() => state)).map((states) => ({
    StartAt: 'A',
    States: Object.fromEntries(names.map((key, index) => [key, states[index] as JsonObject])),
  }));
}

type Move =
  'woken' | 'cancel' | 'ACTIVE' | 'INACTIVE' | 'SUCCEEDED' | 'FAILED' | 'refused' | 'unreachable' | 'stale';
const MOVES: readonly Move[] = [
  'woken',
  'woken',
  'ACTIVE',
  'INACTIVE',
  'SUCCEEDED',
  'SUCCEEDED',
  'FAILED',
  'refused',
  'unreachable',
  'stale',
  'cancel',
];

function eventFor(move: Move, request_id: string): FlowEvent {
  if (move === 'woken') return { kind: 'woken' };
  if (move === 'cancel') return { kind: 'cancel_requested', by: 'u' };
  if (move === 'refused') return { kind: 'action_refused', request_id, message: 'no', body: {} };
  if (move === 'unreachable') return { kind: 'action_unreachable', request_id, message: 'away' };
  if (move === 'stale')
    return {
      kind: 'action_answered',
      request_id: `${request_id}?`,
      document: { action_id: 'q', status: 'SUCCEEDED', details: {} },
    };
  return {
    kind: 'action_answered',
    request_id,
    document: { action_id: `id-${request_id}`, status: move, details: {} },
  };
}

describe('flow machine: invariants', () => {
  it('hold for random flows under random events', () => {
    fc.assert(
      fc.property(
        anyFlow(),
        fc.array(fc.tuple(fc.constantFrom(...MOVES), fc.integer({ min: 0, max: 30_000 })), { maxLength: 40 }),
        (definition, moves) => {
          const flow = flowOf(definition);
          let run = newRun({});
          let now = T0;
          let seq = 0;
          const bodies = new Map<string, Effect>();
          const check = (event: FlowEvent): void => {
            const before = JSON.stringify(run);
            const stepped = step(flow, run, event, now);
            assert.deepEqual(
              step(flow, run, event, now),
              stepped,
              'the same event at the same time gives the same run',
            );
            assert.equal(JSON.stringify(run), before, 'a step does not touch the run it is given');
            for (const entry of stepped.entries)
              assert.equal(entry.seq, (seq += 1), 'log entries follow each other');
            for (const effect of stepped.effects) {
              if (effect.kind !== 'start_action') continue;
              const known = bodies.get(effect.request_id);
              if (known !== undefined)
                assert.deepEqual(effect, known, 'a repeated request is the same word for word');
              bodies.set(effect.request_id, effect);
            }
            const ended = run.status === 'SUCCEEDED' || run.status === 'FAILED';
            if (ended)
              assert.deepEqual(
                [stepped.run, stepped.entries, stepped.effects],
                [run, [], []],
                'an ended run never changes',
              );
            const final = stepped.run.status === 'SUCCEEDED' || stepped.run.status === 'FAILED';
            assert.equal(stepped.wake_at === null, final, 'every run that has not ended will be woken');
            assert.equal(stepped.run.completed_at !== null, final);
            if (stepped.run.place.cancel_by !== null && !final)
              assert.ok(stepped.run.place.waiting?.kind === 'action', 'only an action delays a cancel');
            run = stepped.run;
          };
          check({ kind: 'started' });
          for (const [move, later] of moves) {
            now += later;
            const { waiting } = run.place;
            check(eventFor(move, waiting?.kind === 'action' ? waiting.request_id : 'none'));
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  it('a run restored from its stored form asks for what was owed', () => {
    const flow = flowOf(one(action()));
    const started = step(flow, newRun(), { kind: 'started' }, T0);
    const restored = JSON.parse(JSON.stringify(started.run)) as typeof started.run;
    assert.deepEqual(step(flow, restored, { kind: 'woken' }, T0 + 60_000).effects, started.effects);
  });
});
