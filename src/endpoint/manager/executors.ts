// Executors come, speak, fall silent and go. Pure.
import type { ExecutorToManager, StartedTask, TaskRefs } from '../../protocol/messages.ts';
import type { PeerId } from '../../transport/link.ts';
import { blockFailed } from './scaling.ts';
import { markRoomy } from './state.ts';
import type { Block, Executor, ManagerInstruction, ManagerState } from './state.ts';
import { adopt, comeBack, noteStarted, takeSlab, type ComeBack } from './tasks.ts';
import { flushResults } from './service-link.ts';

/** Heartbeats that may be missed. */
const MISSED_HEARTBEATS = 3;
const MAX_LOST_PEERS = 1_000;

type Out = ManagerInstruction[];
type Of<K extends ExecutorToManager['kind']> = Extract<ExecutorToManager, { readonly kind: K }>;

export function onExecutorMessage(
  state: ManagerState,
  peer: PeerId,
  message: ExecutorToManager,
  parts: readonly Buffer[],
  now: number,
  out: Out,
): void {
  if (message.kind === 'executor.hello') return onHello(state, peer, message, now, out);
  const executor = state.byPeer.get(peer);
  if (executor === undefined) {
    // It was given up: its tasks run elsewhere, and it must not go on with them. Others will say hello.
    if (state.lostPeers.has(peer)) {
      out.push({ kind: 'to_executor', peer, message: { kind: 'executor.stop' }, parts: [] });
    }
    return;
  }
  executor.heard_ms = now;
  switch (message.kind) {
    case 'executor.heartbeat':
      // The answer says that all results before it are put away: they must be.
      flushResults(state, out);
      out.push({ kind: 'to_executor', peer, message: { kind: 'executor.heartbeat' }, parts: [] });
      return;
    case 'tasks.results':
      return onResults(state, executor, message, parts, now, out);
    case 'tasks.returned':
      return onReturned(state, executor, message, now, out);
    case 'tasks.started':
      return onStarted(state, executor, message.tasks, out);
    case 'functions.wanted':
      return sendCode(state, executor, message.function_ids, out);
    case 'executor.bye':
      return loseExecutor(
        state,
        executor,
        { blamed: false, code: 'EXECUTOR_LOST', reason: 'it stopped' },
        now,
        out,
      );
    default:
      // A newer executor may know more words than we do.
      return;
  }
}

function onHello(
  state: ManagerState,
  peer: PeerId,
  hello: Of<'executor.hello'>,
  now: number,
  out: Out,
): void {
  const refuse = (reason: string): void => {
    out.push({ kind: 'to_executor', peer, message: { kind: 'executor.refused', reason }, parts: [] });
  };
  if (hello.version !== state.facts.version) {
    return refuse(`it is version ${hello.version}, its manager ${state.facts.version}`);
  }
  const block = state.blocks.get(hello.block_id);
  if (state.stopping !== null || block === undefined || block.cancelled)
    return refuse('its block is no longer wanted');
  const executor = state.executors.get(hello.executor_id) ?? addExecutor(state, hello, now);
  if (executor.peer !== null) state.byPeer.delete(executor.peer);
  executor.peer = peer;
  executor.heard_ms = now;
  executor.known.clear();
  state.byPeer.set(peer, executor);
  block.proven = true;
  state.expected.delete(block.block_id);
  const heartbeat_ms = state.limits.executor_heartbeat_ms;
  out.push({ kind: 'to_executor', peer, message: { kind: 'executor.welcome', heartbeat_ms }, parts: [] });
  reconcile(state, executor, hello, now, out);
  markRoomy(state, executor);
}

function addExecutor(state: ManagerState, hello: Of<'executor.hello'>, now: number): Executor {
  const executor: Executor = {
    id: hello.executor_id,
    number: state.nextNumber++,
    block_id: hello.block_id,
    slots: hello.slots,
    host: hello.host,
    peer: null,
    heard_ms: now,
    known: new Set(),
    load: new Map(),
    chunks: new Map(),
    tasks: 0,
    bytes: 0,
    long: 0,
    idle_since_ms: now,
    stopping: false,
    roomy: false,
  };
  state.executors.set(executor.id, executor);
  state.byNumber.set(executor.number, executor);
  return executor;
}

/** Makes what we believe of an executor and what it says agree: what it lacks runs again, what we lack is adopted. */
function reconcile(
  state: ManagerState,
  executor: Executor,
  hello: Of<'executor.hello'>,
  now: number,
  out: Out,
): void {
  const said = new Map<string, Set<number>>();
  const drop: TaskRefs[] = [];
  for (const { chunk, epoch, indexes } of hello.held) {
    const known = said.get(chunk) ?? new Set<number>();
    const unwanted = indexes.filter((index) => !adopt(state, executor, chunk, epoch, index));
    if (unwanted.length > 0) drop.push({ chunk, indexes: unwanted });
    for (const index of indexes) known.add(index);
    said.set(chunk, known);
  }
  const why: ComeBack = { blamed: false, code: 'EXECUTOR_LOST', reason: 'they were lost on the way' };
  returnAll(state, executor, (chunk, index) => said.get(chunk)?.has(index) !== true, why, now, out);
  const { peer } = executor;
  if (drop.length > 0 && peer !== null) {
    out.push({ kind: 'to_executor', peer, message: { kind: 'tasks.cancel', tasks: drop }, parts: [] });
  }
}

function onResults(
  state: ManagerState,
  executor: Executor,
  message: Of<'tasks.results'>,
  parts: readonly Buffer[],
  now: number,
  out: Out,
): void {
  message.slabs.forEach((part, place) => {
    const slab = parts[place];
    if (slab !== undefined) takeSlab(state, part, slab, message.workers[part.worker] ?? null, out);
  });
  markRoomy(state, executor);
  if (executor.tasks === 0) executor.idle_since_ms ??= now;
  // Work was done: whatever blocks died of before is over.
  if (state.breaker.failures > 0) state.breaker = { failures: 0, not_before_ms: 0, reason: null };
}

function onReturned(
  state: ManagerState,
  executor: Executor,
  message: Of<'tasks.returned'>,
  now: number,
  out: Out,
): void {
  let lost = 0;
  for (const { chunk, indexes, blamed, reason } of message.tasks) {
    const held = state.chunks.get(chunk);
    if (held === undefined) continue;
    const mine = indexes.filter((index) => held.place[index] === executor.number);
    lost += comeBack(state, held, mine, { blamed, code: 'KILLED_WORKERS', reason }, now);
  }
  markRoomy(state, executor);
  if (executor.tasks === 0) executor.idle_since_ms ??= now;
  if (lost > 0) relink(lost, out);
}

function relink(lost: number, out: Out): void {
  out.push({ kind: 'relink', why: `${lost} tasks are left whose payloads only the service has` });
}

function onStarted(state: ManagerState, executor: Executor, tasks: readonly StartedTask[], out: Out): void {
  const news: StartedTask[] = [];
  for (const task of tasks) {
    const held = state.chunks.get(task.chunk);
    if (held === undefined || held.place[task.index] !== executor.number) continue;
    noteStarted(executor, held, task);
    news.push(task);
  }
  if (news.length > 0 && state.link.phase === 'up') {
    out.push({ kind: 'to_service', message: { kind: 'tasks.started', tasks: news }, parts: [] });
  }
}

function sendCode(state: ManagerState, executor: Executor, ids: readonly string[], out: Out): void {
  const known = ids.flatMap((id) => {
    const code = state.functions.get(id)?.code;
    return code == null ? [] : [{ id, code }];
  });
  if (known.length === 0 || executor.peer === null) return;
  const functions = known.map(({ id, code }) => ({ function_id: id, bytes: code.length }));
  const parts = known.map(({ code }) => code);
  out.push({ kind: 'to_executor', peer: executor.peer, message: { kind: 'functions', functions }, parts });
}

/** Its connection is gone; it may dial again, as a new peer. */
export function onUnreachable(state: ManagerState, peer: PeerId): void {
  const executor = state.byPeer.get(peer);
  if (executor === undefined) return;
  state.byPeer.delete(peer);
  executor.peer = null;
}

/** Takes tasks that match away from an executor. */
function returnAll(
  state: ManagerState,
  executor: Executor,
  matches: (chunk: string, index: number) => boolean,
  why: ComeBack,
  now: number,
  out: Out,
): void {
  let lost = 0;
  for (const chunk of [...executor.chunks.keys()]) {
    const held = state.chunks.get(chunk);
    if (held === undefined) continue;
    const indexes: number[] = [];
    held.place.forEach((place, index) => {
      if (place === executor.number && matches(chunk, index)) indexes.push(index);
    });
    lost += comeBack(state, held, indexes, why, now);
  }
  if (lost > 0) relink(lost, out);
}

/** An executor is gone for good: its tasks go elsewhere. */
export function loseExecutor(
  state: ManagerState,
  executor: Executor,
  why: ComeBack,
  now: number,
  out: Out,
): void {
  executor.stopping = true;
  returnAll(state, executor, () => true, why, now, out);
  if (executor.peer !== null) {
    state.byPeer.delete(executor.peer);
    rememberLost(state, executor.peer);
  }
  state.executors.delete(executor.id);
  state.byNumber.delete(executor.number);
  const place = state.roomy.indexOf(executor);
  if (place >= 0) state.roomy.splice(place, 1);
}

function rememberLost(state: ManagerState, peer: PeerId): void {
  state.lostPeers.add(peer);
  const oldest = state.lostPeers.values().next();
  if (state.lostPeers.size > MAX_LOST_PEERS && oldest.done !== true) state.lostPeers.delete(oldest.value);
}

/** Gives up executors that have been silent for too long, and their blocks when nobody else is in them. */
export function checkSilence(state: ManagerState, now: number, out: Out): void {
  const limit_ms = MISSED_HEARTBEATS * state.limits.executor_heartbeat_ms;
  for (const executor of [...state.executors.values()]) {
    const silent_ms = now - executor.heard_ms;
    if (silent_ms <= limit_ms) continue;
    const reason = `executor ${executor.id} on ${executor.host} has been silent for ${Math.round(silent_ms / 1000)} s`;
    out.push({ kind: 'log', level: 'error', text: reason });
    const { peer } = executor;
    if (peer !== null) out.push({ kind: 'to_executor', peer, message: { kind: 'executor.stop' }, parts: [] });
    loseExecutor(state, executor, { blamed: true, code: 'EXECUTOR_LOST', reason }, now, out);
    const block = state.blocks.get(executor.block_id);
    const others = [...state.executors.values()].some((other) => other.block_id === executor.block_id);
    if (block !== undefined && !others) cancelBlock(block, out);
  }
}

export function cancelBlock(block: Block, out: Out): void {
  if (block.cancelled) return;
  block.cancelled = true;
  out.push({ kind: 'cancel_block', block_id: block.block_id });
}

/** A block that ended this soon was of no use. */
const YOUNG_MS = 30_000;

/** A block is over: so are its executors. One that ended young makes the next one wait. */
export function onBlockEnded(
  state: ManagerState,
  blockId: string,
  reason: string,
  now: number,
  out: Out,
): void {
  const block = state.blocks.get(blockId);
  if (block === undefined) return;
  state.blocks.delete(blockId);
  state.expected.delete(blockId);
  for (const executor of [...state.executors.values()]) {
    if (executor.block_id !== blockId) continue;
    loseExecutor(state, executor, { blamed: true, code: 'EXECUTOR_LOST', reason }, now, out);
  }
  if (block.cancelled || state.stopping !== null) return;
  out.push({ kind: 'log', level: 'warn', text: `block ${blockId} ended: ${reason}` });
  if (!block.proven || now - block.since_ms < YOUNG_MS)
    state.breaker = blockFailed(state.breaker, reason, now);
}
