// The conversation with the service, as its manager sees it: hello, what is owed to it, and whether it is there.
// Pure.
import type {
  FunctionPart,
  HeldTasks,
  ServiceToManager,
  StartedTask,
  TaskRefs,
  WorkerFacts,
} from '../../protocol/messages.ts';
import { CHUNK_INDEXES, functionHere, NOWHERE, reopenRoomy } from './state.ts';
import type { Executor, Finished, FunctionHere, ManagerInstruction, ManagerState } from './state.ts';
import { endpointStatus } from './status.ts';
import { acknowledge, cancelTasks, takeBatch } from './tasks.ts';

const MESSAGE_SLABS = 64;
const MESSAGE_BYTES = 8 * 1024 * 1024;
const HELLO_AGAIN_MS = 10_000;
const REFUSED_AGAIN_MS = 30_000;
const ASK_AGAIN_MS = 10_000;
const MISSED_HEARTBEATS = 3;
/** A changed status is told before the next heartbeat, but not more often than this. */
const STATUS_MS = 500;
const CODE_CACHE_BYTES = 64 * 1024 * 1024;
const CACHED_FUNCTIONS = 4096;
/** What no later attempt can change. */
const FINAL_REFUSALS = new Set(['unknown_endpoint', 'endpoint_deleted']);

type Out = ManagerInstruction[];

export function onServiceMessage(
  state: ManagerState,
  message: ServiceToManager,
  parts: readonly Buffer[],
  now: number,
  out: Out,
): void {
  state.link.heard_ms = now;
  switch (message.kind) {
    case 'link.welcome':
      return onWelcome(state, message.heartbeat_ms, message.cancelled, now, out);
    case 'link.refused':
      return onRefused(state, message.code, message.reason, now, out);
    case 'link.heartbeat':
      return;
    case 'functions':
      return takeCode(state, message.functions, parts);
    case 'tasks.submit':
      return takeBatches(state, message, parts, now, out);
    case 'tasks.cancel':
      return cancel(state, message.tasks, out);
    case 'results.ack':
      if (acknowledge(state, message.seq)) out.push({ kind: 'unspool', seq: message.seq });
      return;
    default:
      // A newer service may know more words than we do.
      return;
  }
}

function onWelcome(
  state: ManagerState,
  heartbeat_ms: number,
  cancelled: readonly TaskRefs[],
  now: number,
  out: Out,
): void {
  const { link } = state;
  link.phase = 'up';
  link.heartbeat_ms = Math.max(100, heartbeat_ms);
  cancel(state, cancelled, out);
  if (state.sent.size > 0) out.push({ kind: 'resend', seqs: [...state.sent.keys()].sort((a, b) => a - b) });
  const started: StartedTask[] = [];
  for (const held of state.chunks.values()) if (held.started !== null) started.push(...held.started.values());
  if (started.length > 0)
    out.push({ kind: 'to_service', message: { kind: 'tasks.started', tasks: started }, parts: [] });
  for (const fn of state.functions.values()) fn.wanted_ms = null;
  askForCode(state, now, out);
  tellStatus(state, now, out);
}

function onRefused(state: ManagerState, code: string, reason: string, now: number, out: Out): void {
  state.link.phase = 'refused';
  state.link.hello_ms = now;
  out.push({ kind: 'log', level: 'error', text: `the service refuses this endpoint (${code}): ${reason}` });
  if (FINAL_REFUSALS.has(code)) {
    out.push({ kind: 'exit', code: 78, reason: `the service refuses this endpoint (${code}): ${reason}` });
  }
}

function takeBatches(
  state: ManagerState,
  message: Extract<ServiceToManager, { readonly kind: 'tasks.submit' }>,
  parts: readonly Buffer[],
  now: number,
  out: Out,
): void {
  const chunks = message.batches.flatMap((part, place) => {
    const batch = parts[place];
    const taken = batch !== undefined && takeBatch(state, part, batch, out);
    return taken ? [{ chunk: part.chunk, epoch: part.epoch }] : [];
  });
  if (chunks.length > 0)
    out.push({ kind: 'to_service', message: { kind: 'tasks.accepted', chunks }, parts: [] });
  askForCode(state, now, out);
}

/** Asks for the code of functions that have tasks here and were not asked for lately. */
function askForCode(state: ManagerState, now: number, out: Out): void {
  const unknown: FunctionHere[] = [];
  for (const fn of state.ring) {
    if (fn.code !== null || (fn.wanted_ms !== null && now - fn.wanted_ms < ASK_AGAIN_MS)) continue;
    fn.wanted_ms = now;
    unknown.push(fn);
  }
  if (unknown.length === 0 || state.link.phase !== 'up') return;
  const function_ids = unknown.map((fn) => fn.id);
  out.push({ kind: 'to_service', message: { kind: 'functions.wanted', function_ids }, parts: [] });
}

function takeCode(state: ManagerState, functions: readonly FunctionPart[], parts: readonly Buffer[]): void {
  functions.forEach((part, place) => {
    const code = parts[place];
    if (code === undefined) return;
    const fn = functionHere(state, part.function_id);
    state.code_bytes += code.length - (fn.code?.length ?? 0);
    // A copy of its own: the part is a view of a message that may hold much else.
    fn.code = Buffer.from(code);
    fn.wanted_ms = null;
    state.functions.delete(fn.id);
    state.functions.set(fn.id, fn);
  });
  reopenRoomy(state);
  for (const fn of state.functions.values()) {
    if (state.code_bytes <= CODE_CACHE_BYTES && state.functions.size <= CACHED_FUNCTIONS) break;
    if (fn.open > 0 || fn.ringed) continue;
    state.code_bytes -= fn.code?.length ?? 0;
    state.functions.delete(fn.id);
  }
}

function cancel(state: ManagerState, tasks: readonly TaskRefs[], out: Out): void {
  const orders = new Map<Executor, TaskRefs[]>();
  for (const refs of tasks) {
    for (const [executor, indexes] of cancelTasks(state, refs)) {
      orders.set(executor, [...(orders.get(executor) ?? []), { chunk: refs.chunk, indexes }]);
    }
  }
  for (const [executor, refs] of orders) {
    // Without a connection it learns of it when it says hello.
    if (executor.peer === null) continue;
    out.push({
      kind: 'to_executor',
      peer: executor.peer,
      message: { kind: 'tasks.cancel', tasks: refs },
      parts: [],
    });
  }
}

/** Everything this manager still answers for. */
export function heldTasks(state: ManagerState): HeldTasks[] {
  const held: HeldTasks[] = [];
  for (const { chunk, epoch, place } of state.chunks.values()) {
    const indexes: number[] = [];
    for (let index = 0; index < CHUNK_INDEXES; index++) if (place[index] !== NOWHERE) indexes.push(index);
    if (indexes.length > 0) held.push({ chunk, epoch, indexes });
  }
  return held;
}

/** Says hello when it is time: connected, and the executors of an earlier life have said what they hold. */
export function maybeHello(state: ManagerState, now: number, out: Out): void {
  const { link } = state;
  if (state.stopping !== null) return;
  const due =
    link.phase === 'connected' ||
    (link.phase === 'greeted' && now - link.hello_ms >= HELLO_AGAIN_MS) ||
    (link.phase === 'refused' && now - link.hello_ms >= REFUSED_AGAIN_MS);
  if (!due || (state.expected.size > 0 && now < state.gather_until_ms)) return;
  link.phase = 'greeted';
  link.hello_ms = now;
  out.push({
    kind: 'to_service',
    message: { kind: 'link.hello', ...state.facts, held: heldTasks(state) },
    parts: [],
  });
}

/** Heartbeats, silence and questions that were not answered. */
export function tickLink(state: ManagerState, now: number, out: Out): void {
  const { link } = state;
  maybeHello(state, now, out);
  if (link.phase !== 'up') return;
  if (now - link.heard_ms > MISSED_HEARTBEATS * link.heartbeat_ms) {
    const silence_s = Math.round((now - link.heard_ms) / 1000);
    link.phase = 'down';
    out.push({ kind: 'relink', why: `the service has been silent for ${silence_s} s` });
    return;
  }
  askForCode(state, now, out);
  const waited_ms = now - link.beat_ms;
  if (waited_ms >= link.heartbeat_ms || (waited_ms >= STATUS_MS && statusKey(state, now) !== link.told)) {
    tellStatus(state, now, out);
  }
}

/** The part of the status worth telling at once. */
function statusKey(state: ManagerState, now: number): string {
  const { executors, total_workers, waiting_reason } = endpointStatus(state, now);
  return `${executors} ${total_workers} ${waiting_reason ?? ''}`;
}

function tellStatus(state: ManagerState, now: number, out: Out): void {
  state.link.beat_ms = now;
  state.link.told = statusKey(state, now);
  out.push({
    kind: 'to_service',
    message: { kind: 'link.heartbeat', status: endpointStatus(state, now) },
    parts: [],
  });
}

/** Makes messages of the results gathered, each under a number of its own. */
export function flushResults(state: ManagerState, out: Out): void {
  let batch: Finished[] = [];
  let bytes = 0;
  for (const finished of state.finished) {
    if (batch.length >= MESSAGE_SLABS || (batch.length > 0 && bytes + finished.part.bytes > MESSAGE_BYTES)) {
      emit(state, batch, out);
      batch = [];
      bytes = 0;
    }
    batch.push(finished);
    bytes += finished.part.bytes;
  }
  if (batch.length > 0) emit(state, batch, out);
  state.finished = [];
  state.finished_bytes = 0;
}

function emit(state: ManagerState, batch: readonly Finished[], out: Out): void {
  const seq = state.nextSeq++;
  const workers: Record<string, WorkerFacts> = {};
  for (const { part, facts } of batch) if (facts !== null) workers[part.worker] = facts;
  state.sent.set(
    seq,
    batch.map(({ part, indexes }) => ({ chunk: part.chunk, epoch: part.epoch, indexes })),
  );
  out.push({
    kind: 'results',
    seq,
    workers,
    slabs: batch.map(({ part }) => part),
    parts: batch.map(({ slab }) => slab),
  });
}
