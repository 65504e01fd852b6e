// The example flow on the real machine: what a hit, a miss and a broken frame do, and what input it takes.
import assert from 'node:assert/strict';
import jsonschema from 'jsonschema';
import { readStills } from '../../../src/demo/stills.ts';
import type { StillsInput } from '../../../src/demo/stills.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';
import { jobsOf } from '../../../src/providers/compute.ts';
import { answer, flowOf, play, type Script, type StartEffect } from '../flows/support/world.ts';

const INPUT: StillsInput = {
  path: '/drop/still_0001.cbf',
  endpoint_id: '11111111-1111-4111-8111-111111111111',
  analyse_function: '22222222-2222-4222-8222-222222222222',
  preview_function: '33333333-3333-4333-8333-333333333333',
  preview_dir: '/previews',
  threshold: 10,
};
const PROVIDERS = 'http://127.0.0.1:5000/providers';

const example = await readStills(PROVIDERS);

/** A compute provider whose functions find that many spots. */
function finding(spots: number, seen: StartEffect[] = []): Script {
  return (effect) => {
    if (effect.kind !== 'start_action') return null;
    seen.push(effect);
    const [job] = jobsOf(effect.body);
    const output: JsonObject =
      job?.function_id === INPUT.analyse_function
        ? { file: INPUT.path, spots, strongest: [[1, 2, 3]] }
        : { preview: '/previews/still_0001.cbf.png' };
    return answer(effect, 'SUCCEEDED', { result: [output], results: [{ task_id: 't', output }] });
  };
}

function outcome(spots: number, seen?: StartEffect[]): JsonObject {
  const { run } = play(flowOf(example.definition), { input: { ...INPUT }, script: finding(spots, seen) });
  assert.equal(run.status, 'SUCCEEDED', JSON.stringify(run.details));
  return (run.details['output'] as JsonObject)['summary'] as JsonObject;
}

describe('stills flow', () => {
  it('calls the compute provider of the service that it is made for', () => {
    const text = JSON.stringify(example.definition);
    assert.ok(text.includes(`"${PROVIDERS}/compute"`));
    assert.doesNotMatch(text, /\{providers_url\}/);
  });

  it('marks a preview for a hit and sums it up', () => {
    const seen: StartEffect[] = [];
    assert.deepEqual(outcome(10, seen), {
      file: INPUT.path,
      spots: 10,
      hit: true,
      preview: '/previews/still_0001.cbf.png',
    });
    const jobs = seen.map(({ body }) => jobsOf(body)[0]);
    assert.deepEqual(
      jobs.map((job) => [job?.endpoint_id, job?.function_id, job?.kwargs]),
      [
        [INPUT.endpoint_id, INPUT.analyse_function, { path: INPUT.path }],
        [
          INPUT.endpoint_id,
          INPUT.preview_function,
          {
            path: INPUT.path,
            analysis: { file: INPUT.path, spots: 10, strongest: [[1, 2, 3]] },
            preview_dir: INPUT.preview_dir,
          },
        ],
      ],
    );
  });

  it('makes no preview for a miss', () => {
    const seen: StartEffect[] = [];
    assert.deepEqual(outcome(9, seen), { file: INPUT.path, spots: 9, hit: false });
    assert.equal(seen.length, 1);
  });

  it('ends as failed for a broken frame, with the reason that the function gave', () => {
    const why = 'The task failed: ValueError: still_0001.cbf: truncated: 10 of 20 bytes of image data';
    const { run } = play(flowOf(example.definition), {
      input: { ...INPUT },
      script: (effect) =>
        effect.kind === 'start_action'
          ? answer(effect, 'FAILED', { code: 'TaskFailed', description: why })
          : null,
    });
    assert.equal(run.status, 'FAILED');
    assert.ok(JSON.stringify(run.details).includes(why));
  });

  it('takes the input that the demo gives, and none that lacks a part', () => {
    const problems = (input: unknown): number =>
      jsonschema.validate(input, example.input_schema).errors.length;
    assert.equal(problems(INPUT), 0);
    for (const key of Object.keys(INPUT)) {
      assert.ok(problems({ ...INPUT, [key]: undefined }) > 0, `without ${key}`);
      assert.ok(problems({ ...INPUT, [key]: '' }) > 0, `with an empty ${key}`);
    }
    assert.ok(problems({ ...INPUT, threshold: 0 }) > 0);
  });
});
