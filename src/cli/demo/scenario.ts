// What the demo sets up, all of it through the service's own API: two functions, a flow and a file trigger. The
// same calls a scientist's script would make.
import { join } from 'node:path';
import { HIT_SPOTS, readStills } from '../../demo/stills.ts';
import type { Client } from '../../sdk/client.ts';
import type { RunDocument, TriggerEvent } from '../../sdk/documents.ts';

/** A file that has not changed for so long is whole. */
const SETTLE_S = 0.5;
const MOST_EVENTS = 20_000;

export interface Scenario {
  readonly drop_dir: string;
  readonly preview_dir: string;
  readonly flow_id: string;
  readonly trigger_id: string;
  readonly functions: readonly string[];
}

export async function setUp(
  client: Client,
  places: { readonly drop_dir: string; readonly preview_dir: string; readonly endpoint_id: string },
): Promise<Scenario> {
  const example = await readStills(`${client.url}/providers`);
  const register = (name: string): Promise<string> =>
    client.functions.registerSource({ name, source: example.source }).then((made) => made.function_uuid);
  const analyse_function = await register(example.analyse_name);
  const preview_function = await register(example.preview_name);
  const flow = await client.flows.create({
    title: 'Stills: is there diffraction?',
    definition: example.definition,
    input_schema: example.input_schema,
  });
  const trigger = await client.triggers.create({
    name: 'frames in the drop folder',
    kind: 'file',
    config: { dir: places.drop_dir, pattern: ['**/*'], settle_s: SETTLE_S },
    flow_id: flow.id,
    input: {
      'path.$': '$.event.data.path',
      endpoint_id: places.endpoint_id,
      analyse_function,
      preview_function,
      preview_dir: places.preview_dir,
      threshold: HIT_SPOTS,
    },
    label: '{data.name}',
  });
  return {
    drop_dir: places.drop_dir,
    preview_dir: places.preview_dir,
    flow_id: flow.id,
    trigger_id: trigger.id,
    functions: [analyse_function, preview_function],
  };
}

export interface Observation {
  readonly events: readonly TriggerEvent[];
  readonly runs: ReadonlyMap<string, RunDocument>;
  readonly tasks: number;
}

/** Remembers what cannot change any more, so that a look stays cheap however many frames there were. */
export function makeObserver(client: Client, scenario: Scenario): () => Promise<Observation> {
  const ended = new Map<string, RunDocument>();
  return async () => {
    const events = await client.triggers.events(scenario.trigger_id, { limit: MOST_EVENTS });
    const listed = await client.runs.list({ flow_id: scenario.flow_id, limit: Math.max(100, events.length) });
    const runs = new Map(ended);
    for (const run of listed) {
      // A list leaves the details of a run out or in as it likes; what is shown comes from the run itself.
      const whole =
        ended.get(run.run_id) ?? (run.completion_time === null ? run : await client.runs.get(run.run_id));
      runs.set(run.run_id, whole);
      if (whole.completion_time !== null) ended.set(run.run_id, whole);
    }
    const counts = await Promise.all(
      scenario.functions.map((function_id) => client.tasks.list({ function_id, limit: MOST_EVENTS })),
    );
    return { events, runs, tasks: counts.reduce((sum, tasks) => sum + tasks.length, 0) };
  };
}

/** Folders of a demo in its home. */
export function demoPlaces(home: string): { readonly drop_dir: string; readonly preview_dir: string } {
  return { drop_dir: join(home, 'drop'), preview_dir: join(home, 'previews') };
}
