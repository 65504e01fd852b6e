// Starts runs, one or hundreds at a time: who may, is the input right, has it been asked for before; then all new
// runs are stored in one statement and handed to the runner.
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { findFlows, type FlowRow } from '../db/flows.ts';
import { findRequested, insertRuns, type NewRun, type RunRow } from '../db/runs.ts';
import { Fault } from '../errors.ts';
import type { JsonObject } from '../providers/contract.ts';
import { flowNotFound, needFlow } from './access.ts';
import { storedCaller, type Starter } from './callers.ts';
import type { RunRequest } from './flow-fields.ts';
import { checkInput } from './input.ts';
import { newPlace, startingDetails } from './run.ts';
import type { Runner } from './runner.ts';

export interface StartRequest {
  readonly caller: Starter;
  readonly flow_id: string;
  /** {body, label?, tags?, run_managers?, run_monitors?, request_id?}. */
  readonly request: object;
}

/** A checked request. `strict`: the same request_id with another body is refused. */
export interface CheckedStart {
  readonly caller: Starter;
  readonly flow_id: string;
  readonly request: RunRequest;
  readonly strict: boolean;
}

/** `created` is false when the request was known and its run is answered. */
export type StartOutcome =
  { readonly run_id: string; readonly run: RunRow; readonly created: boolean } | { readonly error: unknown };

export interface Starts {
  /** One outcome per request, in order. Throws only when nothing was stored. */
  start(requests: readonly CheckedStart[]): Promise<StartOutcome[]>;
}

interface Made {
  readonly row: NewRun;
  readonly flow: FlowRow;
}

function keyOf(run: {
  readonly flow_id: string;
  readonly owner: string;
  readonly request_id: string | null;
}): string {
  return `${run.flow_id} ${run.owner} ${run.request_id}`;
}

function asRow({ row, flow }: Made): RunRow {
  return {
    ...row,
    status: 'ACTIVE',
    completion_time: null,
    flow_title: flow.title,
    flow_updated_at: flow.updated_at,
    flow_owner: flow.owner,
    flow_administrators: flow.administrators,
    flow_run_managers: flow.run_managers,
    flow_run_monitors: flow.run_monitors,
  };
}

export function makeStarts(deps: {
  readonly db: Db;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly runner: Runner;
}): Starts {
  const { db, clock, chance, runner } = deps;

  const make = (one: CheckedStart, flow: FlowRow | undefined, lease: string | null): Made => {
    if (flow === undefined) throw flowNotFound(one.flow_id);
    needFlow(flow, one.caller, 'run');
    const { body, ...fields } = one.request;
    checkInput(body, flow.input_schema as JsonObject);
    const row: NewRun = {
      ...fields,
      id: chance.uuid(),
      flow_id: flow.id,
      version_id: flow.version_id,
      owner: one.caller.identity,
      caller: storedCaller(one.caller),
      input: body,
      details: startingDetails(body),
      place: newPlace(body) as unknown as Record<string, unknown>,
      start_time: new Date(clock.now()),
      lease,
    };
    return { row, flow };
  };

  /** New runs as they are to be stored, or why not. A request that is given twice is made once. */
  const makeAll = async (requests: readonly CheckedStart[]): Promise<(Made | { error: unknown })[]> => {
    const ids = [...new Set(requests.map((one) => one.flow_id))];
    const flows = new Map((await findFlows(db, ids)).map((flow) => [flow.id, flow]));
    const lease = runner.leaseFor(requests.length);
    return requests.map((one) => {
      try {
        return make(one, flows.get(one.flow_id), lease);
      } catch (error) {
        return { error };
      }
    });
  };

  /** The runs that requests of the same ids have made before, by key. */
  const known = async (
    rows: readonly NewRun[],
  ): Promise<Map<string, Awaited<ReturnType<typeof findRequested>>[number]>> => {
    const asked = rows.flatMap((row) =>
      row.request_id === null ? [] : [{ ...row, request_id: row.request_id }],
    );
    if (asked.length === 0) return new Map();
    return new Map((await findRequested(db, asked)).map((run) => [keyOf(run), run]));
  };

  return {
    async start(requests) {
      if (requests.length === 0) return [];
      const made = await makeAll(requests);
      const rows = made.flatMap((one) => ('error' in one ? [] : [one.row]));
      const stored = await insertRuns(db, rows);
      const adopted = rows.filter((row) => row.lease !== null && stored.has(row.id));
      runner.adopt(adopted.map((row) => ({ ...row, status: 'ACTIVE', cancel_by: null, revision: 0 })));
      if (adopted.length < stored.size) runner.wake();
      const before = await known(rows.filter((row) => !stored.has(row.id)));
      return made.map((one, index): StartOutcome => {
        if ('error' in one) return one;
        if (stored.has(one.row.id)) return { run_id: one.row.id, run: asRow(one), created: true };
        const run = before.get(keyOf(one.row));
        if (run === undefined)
          return {
            error: new Fault('unavailable', 'The run that this request made is being removed; try again.'),
          };
        const same = JSON.stringify(run.input) === JSON.stringify(one.row.input);
        return requests[index]?.strict === true && !same
          ? {
              error: new Fault(
                'state_conflict',
                `The request_id ${one.row.request_id} was used before with another body, by run ${run.id}.`,
              ),
            }
          : { run_id: run.id, run, created: false };
      });
    },
  };
}
