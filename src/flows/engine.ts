// The flow engine: flows that can be stored and started, runs that go on whatever dies. This file answers calls;
// the work on runs is runner.ts, what a step does machine.ts.
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import {
  deleteFlow,
  findFlow,
  findVersions,
  insertFlow,
  listFlows,
  updateFlow,
  type FlowFilter,
  type FlowRow,
  type FLOW_ORDER,
} from '../db/flows.ts';
import type { Page, PageQuery } from '../db/pages.ts';
import {
  deleteEndedRun,
  findActiveRuns,
  findRun,
  findRunStatus,
  listRuns,
  readRunLog,
  requestCancel,
  updateRun,
  wakeRun,
  type RunFilter,
  type RunLogRow,
  type RunRow,
  type RUN_ORDER,
} from '../db/runs.ts';
import { Fault } from '../errors.ts';
import { isFinal } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { JsonObject } from '../providers/contract.ts';
import { flowNotFound, mayFlow, needFlow, needRun, flowRoles, runNotFound, type Caller } from './access.ts';
import type { Starter } from './callers.ts';
import {
  flowDescription,
  flowDocument,
  runDocument,
  type FlowDocument,
  type RunDocument,
} from './documents.ts';
import {
  checkDefinition,
  readFlowChanges,
  readNewFlow,
  readRunChanges,
  readRunRequest,
} from './flow-fields.ts';
import { checkInput } from './input.ts';
import type { ActionClient } from './ports.ts';
import { publicDefinition } from './privacy.ts';
import { makeRunner } from './runner.ts';
import { makeStarts, type CheckedStart, type StartOutcome, type StartRequest } from './starts.ts';
import { makeVersions } from './versions.ts';
import { countTraversals } from './traversals.ts';
import { makeWatchers } from './watchers.ts';

export type Raw = Readonly<Record<string, unknown>>;

/** What is told of a run each time a step of it was stored. */
export interface RunChange {
  readonly run_id: string;
  readonly status: RunRow['status'];
  /** The state it is in; null before the first. */
  readonly state: string | null;
}

export interface FlowEngineOptions {
  readonly db: Db;
  readonly actions: ActionClient;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
  /** The address of this service, for the documents; asked at each. */
  readonly baseUrl: () => string;
  /** This engine's id among those that share the database: a UUID, new at each start unless given. */
  readonly engine_id?: string;
  /** Turns in flight; 64. */
  readonly concurrency?: number;
  /** How long a silent engine keeps its runs from others, in milliseconds; 5000. */
  readonly lease_ms?: number;
  /** Are ended actions released at their providers? Yes. */
  readonly release_actions?: boolean;
}

export interface LogPage {
  readonly entries: readonly RunLogRow[];
  /** Sequence number after which the next page begins; absent on the last. */
  readonly next?: number;
}

export interface FlowCheck {
  /** Scopes the flow needs, by RunAs. */
  readonly scopes: Readonly<Record<string, readonly string[]>>;
  readonly analysis: { readonly number_of_possibilities: number };
  /** What is allowed but can hardly be meant; ours, not the contract's. */
  readonly warnings: readonly string[];
}

/** Every call throws Fault: *_not_found for what the caller may not see, forbidden for what they may not do. */
export interface FlowEngine {
  /** Throws Fault invalid_request with every problem of definition and schema. */
  validateFlow(raw: Raw): FlowCheck;
  createFlow(caller: Caller, raw: Raw): Promise<FlowDocument>;
  updateFlow(caller: Caller, id: string, raw: Raw): Promise<FlowDocument>;
  deleteFlow(caller: Caller, id: string): Promise<FlowDocument>;
  getFlow(caller: Caller, id: string): Promise<FlowDocument>;
  /** A flow that everybody may see, as somebody without a token sees it; null when there is none. */
  getPublicFlow(id: string): Promise<FlowDocument | null>;
  listFlows(
    caller: Caller,
    filter: Omit<FlowFilter, 'identity' | 'names'>,
    names: readonly string[],
    page: PageQuery<keyof typeof FLOW_ORDER>,
  ): Promise<Page<FlowDocument>>;
  /** `raw`: {body, label?, tags?, run_managers?, run_monitors?, request_id?}. The same request_id answers the same run. */
  startRun(caller: Starter, flowId: string, raw: object): Promise<RunDocument>;
  /** Many at once, in two statements: one outcome per request, in order. */
  startRuns(requests: readonly StartRequest[]): Promise<readonly StartOutcome[]>;
  /** Throws what startRun would throw, and starts nothing. */
  checkRun(caller: Starter, flowId: string, raw: object): Promise<void>;
  /** `wait_s`: answers when the run has ended or after so many seconds. */
  getRun(
    caller: Caller,
    id: string,
    options?: { readonly wait_s?: number; readonly describe?: boolean },
  ): Promise<RunDocument & { flow_description?: unknown }>;
  runDefinition(
    caller: Caller,
    id: string,
  ): Promise<{ flow_id: string; definition: JsonObject; input_schema: JsonObject }>;
  listRuns(
    caller: Caller,
    filter: Omit<RunFilter, 'identity' | 'names'>,
    names: readonly string[],
    page: PageQuery<keyof typeof RUN_ORDER>,
  ): Promise<Page<RunDocument>>;
  runLog(
    caller: Caller,
    id: string,
    page: { readonly after: number | null; readonly limit: number; readonly reverse: boolean },
  ): Promise<LogPage>;
  updateRun(caller: Caller, id: string, raw: Raw): Promise<RunDocument>;
  /** Asks for the run's end; the answer shows it as it is now. Nothing happens to a run that has ended. */
  cancelRun(caller: Caller, id: string): Promise<RunDocument>;
  /** Forgets an ended run; throws Fault state_conflict for one that has not ended. */
  releaseRun(caller: Caller, id: string): Promise<RunDocument>;
  /** Has the action of an INACTIVE run looked at now. */
  resumeRun(caller: Caller, id: string): Promise<RunDocument>;
  /** Which of these runs have not ended. */
  activeRuns(runIds: readonly string[]): Promise<readonly string[]>;
  /** Tells of each stored step of a run that this engine works on. */
  onRunChanged(listener: (change: RunChange) => void): void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

const CONCURRENCY = 64;
const LEASE_MS = 5_000;
const LONGEST_WAIT_S = 60;

export function makeFlowEngine(options: FlowEngineOptions): FlowEngine {
  const { db, clock, chance } = options;
  const versions = makeVersions(db);
  const watchers = makeWatchers((id) => findRunStatus(db, id));
  const listeners: ((change: RunChange) => void)[] = [];
  const runner = makeRunner({
    ...options,
    versions,
    engine: options.engine_id ?? chance.uuid(),
    concurrency: options.concurrency ?? CONCURRENCY,
    lease_ms: options.lease_ms ?? LEASE_MS,
    release_actions: options.release_actions ?? true,
    onStored(run_id, { run }) {
      watchers.changed(run_id, run.status);
      for (const listener of listeners) listener({ run_id, status: run.status, state: run.place.at });
    },
  });
  const starts = makeStarts({ db, clock, chance, runner });
  const show = (flow: FlowRow, caller: Caller): FlowDocument => flowDocument(flow, caller, options.baseUrl());
  const now = (): Date => new Date(clock.now());

  const flowOr404 = async (id: string): Promise<FlowRow> => {
    const flow = await findFlow(db, id);
    if (flow === undefined) throw flowNotFound(id);
    return flow;
  };
  const runOr404 = async (id: string): Promise<RunRow> => {
    const run = await findRun(db, id);
    if (run === undefined) throw runNotFound(id);
    return run;
  };

  return {
    validateFlow(raw) {
      const { flow, warnings } = checkDefinition(raw['definition'], raw['input_schema']);
      const scopes: Record<string, string[]> = {};
      for (const { calls } of flow.states.values()) {
        if (calls === undefined) continue;
        const list = (scopes[calls.run_as] ??= []);
        if (calls.scope !== null && !list.includes(calls.scope)) list.push(calls.scope);
      }
      return { scopes, analysis: { number_of_possibilities: countTraversals(flow) }, warnings };
    },
    async createFlow(caller, raw) {
      return show(await insertFlow(db, readNewFlow(raw, chance.uuid(), caller.identity)), caller);
    },
    async updateFlow(caller, id, raw) {
      const flow = await flowOr404(id);
      needFlow(flow, caller, 'administer');
      const changes = readFlowChanges(raw);
      if (changes.owner !== undefined && changes.owner !== flow.owner && changes.owner !== caller.identity) {
        throw new Fault(
          'forbidden',
          'Ownership of a flow can only be taken, not given: flow_owner must be your own identity.',
        );
      }
      const newVersion = changes.definition !== undefined || changes.input_schema !== undefined;
      const changed = await updateFlow(db, { ...flow, ...changes }, flow, newVersion);
      if (changed === null)
        throw new Fault(
          'state_conflict',
          `Flow ${id} was changed by somebody else at the same time; look at it and try again.`,
        );
      return show(changed, caller);
    },
    async deleteFlow(caller, id) {
      const flow = await flowOr404(id);
      needFlow(flow, caller, 'administer');
      if (!(await deleteFlow(db, id))) throw flowNotFound(id);
      return show(flow, caller);
    },
    async getFlow(caller, id) {
      const flow = await flowOr404(id);
      needFlow(flow, caller, 'view');
      return show(flow, caller);
    },
    async getPublicFlow(id) {
      const flow = await findFlow(db, id);
      return flow?.viewers.includes('public') === true ? show(flow, NOBODY) : null;
    },
    async listFlows(caller, filter, names, page) {
      const { rows, last } = await listFlows(db, { ...filter, identity: caller.identity, names }, page);
      return { rows: rows.map((flow) => show(flow, caller)), ...(last === undefined ? {} : { last }) };
    },
    async startRun(caller, flowId, raw) {
      const [outcome] = await starts.start([
        { caller, flow_id: flowId, request: readRunRequest(raw), strict: true },
      ]);
      if (outcome === undefined || 'error' in outcome) throw outcome?.error;
      return runDocument(outcome.run, caller);
    },
    async startRuns(requests) {
      const outcomes: StartOutcome[] = [];
      const checked: CheckedStart[] = [];
      const places: number[] = [];
      for (const [place, { caller, flow_id, request }] of requests.entries()) {
        try {
          checked.push({ caller, flow_id, request: readRunRequest(request), strict: false });
          places.push(place);
        } catch (error) {
          outcomes[place] = { error };
        }
      }
      for (const [index, outcome] of (await starts.start(checked)).entries())
        outcomes[places[index] ?? 0] = outcome;
      return outcomes;
    },
    async checkRun(caller, flowId, raw) {
      const flow = await flowOr404(flowId);
      needFlow(flow, caller, 'run');
      checkInput(readRunRequest(raw).body, flow.input_schema as JsonObject);
    },
    async getRun(caller, id, asked = {}) {
      let run = await runOr404(id);
      needRun(run, caller, 'monitor');
      const wait_s = Math.min(asked.wait_s ?? 0, LONGEST_WAIT_S);
      if (wait_s > 0 && !isFinal(run.status)) {
        await watchers.untilEnd(id, wait_s * 1_000);
        run = await runOr404(id);
      }
      const document = runDocument(run, caller);
      if (asked.describe !== true) return document;
      const flow = await findFlow(db, run.flow_id);
      return { ...document, ...(flow === undefined ? {} : { flow_description: flowDescription(flow) }) };
    },
    async runDefinition(caller, id) {
      const run = await runOr404(id);
      needRun(run, caller, 'monitor');
      const [version] = await findVersions(db, [run.version_id]);
      if (version === undefined) throw runNotFound(id);
      const administers = mayFlow(flowRoles(listsOf(run), caller), 'administer');
      const definition = version.definition as JsonObject;
      return {
        flow_id: run.flow_id,
        definition: administers ? definition : publicDefinition(definition),
        input_schema: version.input_schema as JsonObject,
      };
    },
    async listRuns(caller, filter, names, page) {
      const { rows, last } = await listRuns(db, { ...filter, identity: caller.identity, names }, page);
      return { rows: rows.map((run) => runDocument(run, caller)), ...(last === undefined ? {} : { last }) };
    },
    async runLog(caller, id, { after, limit, reverse }) {
      needRun(await runOr404(id), caller, 'monitor');
      const rows = await readRunLog(db, id, { after, limit: limit + 1, reverse });
      const entries = rows.slice(0, limit);
      const last = entries.at(-1);
      return rows.length > limit && last !== undefined ? { entries, next: last.seq } : { entries };
    },
    async updateRun(caller, id, raw) {
      const run = await runOr404(id);
      needRun(run, caller, 'manage');
      const fields = { ...run, ...readRunChanges(raw) };
      await updateRun(db, id, fields);
      return runDocument(fields, caller);
    },
    async cancelRun(caller, id) {
      const run = await runOr404(id);
      needRun(run, caller, 'manage');
      await requestCancel(db, id, caller.urn, now());
      runner.wake();
      return runDocument(run, caller);
    },
    async releaseRun(caller, id) {
      const run = await runOr404(id);
      needRun(run, caller, 'manage');
      if (!(await deleteEndedRun(db, id))) {
        const status = (await findRunStatus(db, id)) ?? run.status;
        throw new Fault(
          'state_conflict',
          `Run ${id} has status '${status}' but must have status in {'ENDED', 'SUCCEEDED', 'FAILED'} for requested operation`,
        );
      }
      return runDocument(run, caller);
    },
    async resumeRun(caller, id) {
      const run = await runOr404(id);
      needRun(run, caller, 'resume');
      await wakeRun(db, id, now());
      runner.wake();
      return runDocument(run, caller);
    },
    activeRuns: (ids) => findActiveRuns(db, ids),
    onRunChanged(listener) {
      listeners.push(listener);
    },
    start: () => runner.start(),
    async stop() {
      watchers.stop();
      await runner.stop();
    },
  };
}

/** Somebody without a token. */
const NOBODY: Caller = { identity: '', urn: '', groups: [] };

/** The lists of a run's flow, as far as a run knows them. */
function listsOf(run: RunRow): Parameters<typeof flowRoles>[0] {
  const {
    flow_owner: owner,
    flow_administrators: administrators,
    flow_run_managers,
    flow_run_monitors,
  } = run;
  return {
    owner,
    administrators,
    viewers: [],
    starters: [],
    run_managers: flow_run_managers,
    run_monitors: flow_run_monitors,
  };
}
