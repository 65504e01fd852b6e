// Every state type of the registry keeps the rules of states/contract.ts. Registering a type is opting in.
import assert from 'node:assert/strict';
import { parseFlow } from '../../../src/flows/language.ts';
import { step } from '../../../src/flows/machine.ts';
import { STATE_TYPES, type StateTypeName } from '../../../src/flows/states/index.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { answer, flowOf, newRun, play, succeeding, T0 } from '../../unit/flows/support/world.ts';

/** The smallest valid state of each type; a new type needs a line here to pass. */
const SMALLEST: Readonly<Record<StateTypeName, JsonObject>> = {
  Action: { Type: 'Action', ActionUrl: 'https://x.org/ap', Next: 'Last' },
  Pass: { Type: 'Pass', Next: 'Last' },
  Choice: { Type: 'Choice', Choices: [{ Variable: '$.n', IsPresent: true, Next: 'Last' }] },
  Wait: { Type: 'Wait', Seconds: 3, Next: 'Last' },
  ExpressionEval: { Type: 'ExpressionEval', Parameters: {}, ResultPath: '$.e', Next: 'Last' },
  Fail: { Type: 'Fail', Error: 'E', Cause: 'C' },
};

const LAST: JsonObject = { Type: 'Pass', Parameters: { at: 'last' }, ResultPath: '$.last', End: true };
const INPUT: JsonObject = { n: 1 };

function definition(state: JsonObject): JsonObject {
  return {
    StartAt: 'S',
    States: { S: state, ...(JSON.stringify(state).includes('"Last"') ? { Last: LAST } : {}) },
  };
}

for (const [name, type] of Object.entries(STATE_TYPES)) {
  const smallest = SMALLEST[name as StateTypeName];

  describe(`state type ${name}`, () => {
    it('has a smallest example that parses and runs to an end', () => {
      const { run } = play(flowOf(definition(smallest)), { input: INPUT, script: succeeding(() => ({})) });
      assert.equal(run.status, name === 'Fail' ? 'FAILED' : 'SUCCEEDED', JSON.stringify(run.details));
      assert.ok(run.completed_at !== null && run.completed_at >= T0);
    });

    it('refuses fields that are not its own', () => {
      const parsed = parseFlow(definition({ ...smallest, Unheard: 1 }));
      assert.ok(
        !parsed.ok && parsed.items.some((item) => item.loc.join('.') === 'definition.States.S.Unheard'),
      );
      for (const field of ['Retry', 'OutputPath', 'ResultSelector', 'TimeoutSeconds']) {
        if (type.fields.includes(field)) continue;
        assert.equal(parseFlow(definition({ ...smallest, [field]: null })).ok, false, field);
      }
    });

    it('has a Comment, and Next or End exactly when it goes on', () => {
      assert.ok(parseFlow(definition({ ...smallest, Comment: 'why' })).ok);
      assert.equal(type.fields.includes('Next') && type.fields.includes('End'), type.goesOn);
      if (!type.goesOn) return;
      const { Next: _next, ...rest } = smallest;
      assert.ok(parseFlow({ StartAt: 'S', States: { S: { ...rest, End: true } } }).ok);
      assert.ok(!parseFlow({ StartAt: 'S', States: { S: rest } }).ok);
    });

    it('logs its start and its end, with name and type', () => {
      const { entries } = play(flowOf(definition(smallest)), {
        input: INPUT,
        script: succeeding(() => ({})),
      });
      const [, started, ended] = entries;
      assert.equal(started?.code, `${name}Started`);
      assert.equal(started.details['state_name'], 'S');
      assert.equal(started.details['state_type'], name);
      assert.ok(ended?.code === `${name}Completed` || ended?.code === 'FlowFailed', ended?.code);
    });

    it('changes neither the run nor its data in place, and answers the same again', () => {
      const flow = flowOf(definition(smallest));
      const run = newRun(INPUT);
      const before = JSON.stringify(run);
      const first = step(flow, run, { kind: 'started' }, T0);
      assert.equal(JSON.stringify(run), before);
      assert.deepEqual(step(flow, run, { kind: 'started' }, T0), first);
    });

    it('when it waits: can be cancelled, restored and woken too early', () => {
      const flow = flowOf(definition(smallest));
      const started = step(flow, newRun(INPUT), { kind: 'started' }, T0);
      if (started.run.place.waiting === null) return;
      const restored = JSON.parse(JSON.stringify(started.run)) as typeof started.run;
      const woken = step(flow, restored, { kind: 'woken' }, T0);
      assert.equal(woken.run.status, 'ACTIVE');
      assert.ok(woken.wake_at !== null);
      let { run, effects } = step(flow, restored, { kind: 'cancel_requested', by: 'u' }, T0);
      for (let round = 0; round < 5 && run.status === 'ACTIVE'; round += 1) {
        const event = effects.map((effect) => answer(effect, 'ACTIVE'))[0] ?? { kind: 'woken' as const };
        ({ run, effects } = step(flow, run, event, T0));
      }
      assert.equal(run.details['code'], 'FlowCanceled');
    });
  });
}
