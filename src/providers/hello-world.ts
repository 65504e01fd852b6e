// Hello World: the provider for trying things out, with the body and results of the hosted one. It answers at
// once, after a sleep, or waits for a consent until it is resumed.
import type { ActionProvider, ActionRecord, ActionState, JsonObject, Started } from './contract.ts';
import { cancelledState } from './kit/states.ts';

const MAX_SLEEP_S = 30 * 86_400;

function greeting(body: JsonObject): ActionState {
  const echo = body.echo_string;
  return {
    status: 'SUCCEEDED',
    display_status: 'Done',
    details: { Hello: 'World', ...(echo === undefined ? {} : { hello: echo }) },
  };
}

function sleepOf(body: JsonObject): number {
  return typeof body.sleep_time === 'number' ? body.sleep_time : 0;
}

function awaitsConsent(scope: string): ActionState {
  return {
    status: 'INACTIVE',
    display_status: 'Waiting for a consent',
    details: {
      code: 'ConsentRequired',
      description: `Consent to the scope ${scope} is needed; resume the action once it is given.`,
      required_scope: scope,
      resolution_url: null,
    },
  };
}

/** The state of an action that sleeps until `until`, milliseconds since 1970. */
function sleeping(body: JsonObject, until: number, now: number): ActionState {
  if (now >= until) return greeting(body);
  return {
    status: 'ACTIVE',
    display_status: 'Sleeping',
    details: { remaining_s: (until - now) / 1000 },
    look_after_ms: until - now,
  };
}

function begin(body: JsonObject, now: number): Started {
  const until = now + sleepOf(body) * 1000;
  return { state: sleeping(body, until, now), memo: { until } };
}

function stateOf(action: ActionRecord, now: number): ActionState {
  const { until } = action.memo;
  const scope = action.body.required_dependent_scope;
  if (typeof until !== 'number' && typeof scope === 'string') return awaitsConsent(scope);
  return sleeping(action.body, typeof until === 'number' ? until : 0, now);
}

export const helloWorld: ActionProvider = {
  name: 'hello_world',
  title: 'Hello World',
  subtitle: 'An action that says hello',
  description:
    'For trying out clients and flows. Answers {"Hello": "World", "hello": <echo_string>} at once, or after sleep_time ' +
    'seconds. With required_dependent_scope it is INACTIVE, as if a consent were missing, until it is resumed.',
  keywords: ['hello', 'example', 'test'],
  synchronous: false,
  input_schema: {
    $schema: 'http://json-schema.org/draft-07/schema#',
    type: 'object',
    additionalProperties: false,
    properties: {
      echo_string: { type: 'string', description: 'Comes back in the result.' },
      sleep_time: {
        type: 'number',
        minimum: 0,
        maximum: MAX_SLEEP_S,
        description: 'Seconds until it succeeds.',
      },
      required_dependent_scope: {
        type: 'string',
        minLength: 1,
        description: 'A scope to wait for.',
      },
    },
  },
  instant: ({ body }) =>
    body.required_dependent_scope === undefined && sleepOf(body) === 0 ? greeting(body) : null,
  run({ body }, ports) {
    const scope = body.required_dependent_scope;
    const started =
      typeof scope === 'string' ? { state: awaitsConsent(scope), memo: {} } : begin(body, ports.now());
    return Promise.resolve(started);
  },
  status: (action, ports) => Promise.resolve(stateOf(action, ports.now())),
  resume: (action, ports) => Promise.resolve(begin(action.body, ports.now())),
  cancel: (_action, _ports, by) => Promise.resolve(cancelledState(by)),
};
