// The stills example as the demo registers it: the Python source, the flow and the schema of its input, read from
// examples/.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PACKAGE_ROOT } from '../paths.ts';
import type { JsonObject } from '../providers/contract.ts';

/** Spots from which on a frame counts as a hit. */
export const HIT_SPOTS = 10;

export interface StillsExample {
  /** Source of both functions. Each is registered with all of it, since the second calls the first. */
  readonly source: string;
  readonly analyse_name: 'analyse_frame';
  readonly preview_name: 'mark_preview';
  readonly definition: JsonObject;
  readonly input_schema: JsonObject;
}

/** What a run of the flow is started with. */
export interface StillsInput {
  /** The frame, as the endpoint sees it. */
  readonly path: string;
  readonly endpoint_id: string;
  readonly analyse_function: string;
  readonly preview_function: string;
  readonly preview_dir: string;
  /** Spots from which on it is a hit. */
  readonly threshold: number;
}

/** Reads the example; `providers_url` (no slash at its end) is where its flow finds the compute provider. */
export async function readStills(providers_url: string): Promise<StillsExample> {
  const text = (name: string): Promise<string> => readFile(join(PACKAGE_ROOT, 'examples', name), 'utf8');
  const [source, flow, schema] = await Promise.all([
    text('stills.py'),
    text('stills-flow.json'),
    text('stills-input-schema.json'),
  ]);
  return {
    source,
    analyse_name: 'analyse_frame',
    preview_name: 'mark_preview',
    definition: JSON.parse(flow.replaceAll('{providers_url}', providers_url)) as JsonObject,
    input_schema: JSON.parse(schema) as JsonObject,
  };
}
