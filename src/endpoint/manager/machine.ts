// The manager's decisions: step(state, event, now) changes the state in place and answers what the shell must
// do. Same state, event and time give the same answer; nothing here waits, reads a clock or does I/O.
import { assertNever } from '../../errors.ts';
import { dispatch } from './dispatch.ts';
import { cancelBlock, checkSilence, onBlockEnded, onExecutorMessage, onUnreachable } from './executors.ts';
import { decideScaling, type BlockView } from './scaling.ts';
import { flushResults, maybeHello, onServiceMessage, tickLink } from './service-link.ts';
import type { ManagerEvent, ManagerInstruction, ManagerState } from './state.ts';

/** A tick later than this means that the machine slept: the silence was nobody's. */
const SLEPT_MS = 5_000;

type Out = ManagerInstruction[];

/** One event in, instructions out. */
export function step(state: ManagerState, event: ManagerEvent, now: number): ManagerInstruction[] {
  const out: Out = [];
  apply(state, event, now, out);
  dispatch(state, out);
  return out;
}

function apply(state: ManagerState, event: ManagerEvent, now: number, out: Out): void {
  switch (event.kind) {
    case 'service.connected':
      state.link.phase = 'connected';
      state.link.heard_ms = now;
      return maybeHello(state, now, out);
    case 'service.disconnected':
      state.link.phase = 'down';
      return;
    case 'service.message':
      return onServiceMessage(state, event.message, event.parts, now, out);
    case 'executor.message':
      onExecutorMessage(state, event.peer, event.message, event.parts, now, out);
      if (state.link.phase === 'connected') maybeHello(state, now, out);
      return;
    case 'executor.unreachable':
      return onUnreachable(state, event.peer);
    case 'block.submitted': {
      const block = state.blocks.get(event.block_id);
      if (block !== undefined) block.submitted = true;
      return;
    }
    case 'block.ended':
      onBlockEnded(state, event.block_id, event.reason, now, out);
      return scale(state, now, out);
    case 'flush':
      return flushResults(state, out);
    case 'disk':
      state.disk_trouble = event.trouble;
      return;
    case 'tick':
      return tick(state, now, out);
    case 'stop':
      return stop(state, event.why, out);
    default:
      return assertNever(event);
  }
}

function tick(state: ManagerState, now: number, out: Out): void {
  const gap_ms = now - state.ticked_ms;
  state.ticked_ms = now;
  if (gap_ms > SLEPT_MS) {
    for (const executor of state.executors.values()) executor.heard_ms += gap_ms;
    state.link.heard_ms += gap_ms;
  }
  if (state.stopping !== null) return;
  checkSilence(state, now, out);
  scale(state, now, out);
  tickLink(state, now, out);
}

/** Submits and cancels blocks as the scaling policy says. */
function scale(state: ManagerState, now: number, out: Out): void {
  if (state.stopping !== null) return;
  const live = [...state.blocks.values()].filter((block) => !block.cancelled);
  const views = live.map((block) => viewBlock(state, block.block_id));
  const decision = decideScaling(views, state.open, state.limits.scaling, state.breaker.not_before_ms, now);
  if (decision.why !== '') out.push({ kind: 'log', level: 'info', text: decision.why });
  for (let count = 0; count < decision.submit; count++) {
    const block_id = `b${state.nextBlock++}-${state.seed.toString(36)}`;
    state.blocks.set(block_id, {
      block_id,
      since_ms: now,
      proven: false,
      submitted: false,
      cancelled: false,
    });
    out.push({ kind: 'submit_block', block_id });
  }
  for (const block_id of decision.cancel) {
    const block = state.blocks.get(block_id);
    if (block === undefined) continue;
    for (const executor of state.executors.values())
      if (executor.block_id === block_id) executor.stopping = true;
    cancelBlock(block, out);
  }
}

function viewBlock(state: ManagerState, block_id: string): BlockView {
  let tasks = 0;
  let idle_since_ms: number | null = null;
  let busy = false;
  for (const executor of state.executors.values()) {
    if (executor.block_id !== block_id) continue;
    tasks += executor.tasks;
    if (executor.idle_since_ms === null) busy = true;
    else idle_since_ms = Math.max(idle_since_ms ?? 0, executor.idle_since_ms);
  }
  return { block_id, tasks, idle_since_ms: busy ? null : idle_since_ms };
}

/** Takes nothing more; what is spooled stays on disk for the next life. */
function stop(state: ManagerState, why: string, out: Out): void {
  if (state.stopping !== null) return;
  state.stopping = why;
  flushResults(state, out);
  for (const peer of state.byPeer.keys()) {
    out.push({ kind: 'to_executor', peer, message: { kind: 'executor.stop' }, parts: [] });
  }
}
