// Every provider of this service keeps the ActionProvider contract.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PROVIDERS } from '../../src/providers/index.ts';
import { publishedFound } from '../support/action-schemas.ts';
import { withDatabase } from '../support/database.ts';
import { exercise, type Samples } from './providers.ts';

const task = { function_id: randomUUID(), args: [1] };

const SAMPLES: Readonly<Record<string, Samples>> = {
  hello_world: {
    quick: { echo_string: 'Hello there!' },
    long: { sleep_time: 86_400 },
    invalid: [
      [{ echo_string: 7 }, /^Field '\$\.echo_string' \(category: 'type'\): /],
      [{ sleep_time: -1 }, /^Field '\$\.sleep_time' \(category: 'minimum'\): /],
      [{ echo: 'x' }, /^Field '\$\.echo' \(category: 'additionalProperties'\): /],
    ],
  },
  compute: {
    quick: { endpoint_id: randomUUID(), tasks: [task, { ...task, kwargs: { x: 2 } }] },
    long: { endpoint: randomUUID(), function: randomUUID(), payload: { x: 1 } },
    invalid: [
      [{ endpoint_id: randomUUID() }, /^Field '\$\.tasks' \(category: 'required'\): /],
      [{ endpoint_id: randomUUID(), tasks: [] }, /^Field '\$\.tasks' \(category: 'minItems'\): /],
      [{ tasks: [task] }, /^Field '\$\.tasks\[0\]\.endpoint_id' \(category: 'required'\): /],
      [
        { endpoint_id: randomUUID(), tasks: [task, {}] },
        /^Field '\$\.tasks\[1\]\.function_id' \(category: 'required'\): /,
      ],
      [{ endpoint_id: 'here', tasks: [task] }, /^Field '\$\.endpoint_id' \(category: 'format'\): /],
    ],
  },
};

describe('every provider', () => {
  it('has samples for the conformance suite', () => {
    assert.deepEqual(PROVIDERS.map((provider) => provider.name).sort(), Object.keys(SAMPLES).sort());
  });
  it('is checked against the published document too, where that lies beside the checkout', function () {
    const shared = process.env.PILOTWAVE_SHARED ?? join('..', 'shared');
    if (!existsSync(join(shared, 'corpus/flows/globus__action-provider-tools'))) this.skip();
    // Without a YAML reader in Python only our own copy of the schemas is used.
    if (!publishedFound) this.skip();
  });
});

describe('ActionProvider contract', () => {
  const database = withDatabase();
  for (const provider of PROVIDERS) {
    const samples = SAMPLES[provider.name];
    if (samples !== undefined) exercise(provider.name, provider, samples, database);
  }
});
