// One endpoint's live link, as its service sees it: what was sent and not yet taken, what was taken and has no
// result, which functions its manager knows, and how much more it may be sent.
import type { DeliverableChunk } from '../db/tasks.ts';
import { hasBit } from '../db/mask.ts';
import { decodeBatch, encodeBatch } from '../protocol/batch.ts';
import { encodeMessage } from '../protocol/codec.ts';
import type { BatchPart, EndpointStatus, ServiceToManager, TaskRefs } from '../protocol/messages.ts';
import type { PeerId } from '../transport/link.ts';

/** Tasks and payload bytes an endpoint may have without results; more wait in the queue. */
const WINDOW_TASKS = 20_000;
const WINDOW_BYTES = 64 * 1024 * 1024;

interface OpenChunk {
  readonly epoch: number;
  readonly bytes: number;
  left: number;
}

export interface Untaken {
  readonly epoch: number;
  readonly sent_ms: number;
  readonly taken: () => void;
}

export interface Session {
  readonly endpoint_id: string;
  readonly peer: PeerId;
  /** Number of this link; a newer link of the same endpoint has a higher one. */
  readonly link_epoch: number;
  readonly hostname: string;
  readonly since_ms: number;
  heard_ms: number;
  status: EndpointStatus | null;
  /** Function ids whose code this manager was sent. */
  readonly functions: Set<string>;
  /** Jobs of the queue that wait for room on this link. */
  waiting: number;
  readonly open: Map<string, OpenChunk>;
  open_tasks: number;
  open_bytes: number;
  /** Sent and not yet taken; `taken` resolves the delivery that waits for it. */
  readonly untaken: Map<string, Untaken>;
  /** Called when room appears or the link ends. */
  readonly roomWaiters: Set<() => void>;
  ended: boolean;
}

export function makeSession(
  facts: Pick<Session, 'endpoint_id' | 'peer' | 'link_epoch' | 'hostname'>,
  now_ms: number,
): Session {
  return {
    ...facts,
    since_ms: now_ms,
    heard_ms: now_ms,
    status: null,
    functions: new Set(),
    waiting: 0,
    open: new Map(),
    open_tasks: 0,
    open_bytes: 0,
    untaken: new Map(),
    roomWaiters: new Set(),
    ended: false,
  };
}

export function hasRoom(session: Session): boolean {
  return session.open_tasks < WINDOW_TASKS && session.open_bytes < WINDOW_BYTES;
}

/** Notes that a chunk is with the manager. */
export function openChunk(session: Session, id: string, chunk: OpenChunk): void {
  closeChunk(session, id);
  session.open.set(id, chunk);
  session.open_tasks += chunk.left;
  session.open_bytes += chunk.bytes;
}

/** Forgets a chunk: it is done, or was never sent. */
export function closeChunk(session: Session, id: string): void {
  const chunk = session.open.get(id);
  if (chunk === undefined) return;
  session.open.delete(id);
  session.open_tasks -= chunk.left;
  session.open_bytes -= chunk.bytes;
}

/** Results of `count` tasks of a chunk became visible. */
export function noteSettled(session: Session, id: string, count: number, done: boolean): void {
  const chunk = session.open.get(id);
  if (chunk === undefined) return;
  if (done) {
    closeChunk(session, id);
  } else {
    const fewer = Math.min(count, chunk.left);
    chunk.left -= fewer;
    session.open_tasks -= fewer;
  }
  if (hasRoom(session)) wakeRoomWaiters(session);
}

export function wakeRoomWaiters(session: Session): void {
  for (const wake of session.roomWaiters) wake();
  session.roomWaiters.clear();
}

/** Resolves when the link has room, or false when it ended or `timeout_ms` passed. */
export async function waitForRoom(session: Session, timeout_ms: number): Promise<boolean> {
  const deadline = setTimeout(() => wakeRoomWaiters(session), timeout_ms);
  const started = process.hrtime.bigint();
  session.waiting++;
  try {
    while (!session.ended && !hasRoom(session)) {
      await new Promise<void>((resolve) => session.roomWaiters.add(resolve));
      if (Number(process.hrtime.bigint() - started) / 1e6 >= timeout_ms) break;
    }
    return !session.ended && hasRoom(session);
  } finally {
    session.waiting--;
    clearTimeout(deadline);
  }
}

/** The batch to deliver of a chunk: all of it, or after a loss only the tasks without a result. */
export function batchToDeliver(chunk: DeliverableChunk): Buffer {
  if (chunk.epoch === 1 && !chunk.done.includes('1')) return chunk.payloads;
  const left = decodeBatch(chunk.payloads).filter((entry) => !hasBit(chunk.done, entry.index));
  return encodeBatch(left.map((entry) => ({ ...entry, attempt: chunk.epoch })));
}

/** Frames that hand chunks to a manager. */
export function submitFrames(chunks: readonly (readonly [DeliverableChunk, Buffer])[]): Buffer[] {
  const batches: BatchPart[] = chunks.map(([chunk, batch]) => ({
    chunk: chunk.id,
    epoch: chunk.epoch,
    function_id: chunk.function_id,
    options: chunk.options,
    bytes: batch.length,
  }));
  return encodeMessage(
    { kind: 'tasks.submit', batches },
    chunks.map(([, batch]) => batch),
  );
}

/** Frames with the code of functions. */
export function functionFrames(functions: readonly (readonly [string, Buffer])[]): Buffer[] {
  const message: ServiceToManager = {
    kind: 'functions',
    functions: functions.map(([function_id, code]) => ({ function_id, bytes: code.length })),
  };
  return encodeMessage(
    message,
    functions.map(([, code]) => code),
  );
}

/** Frames that cancel tasks. */
export function cancelFrames(tasks: readonly TaskRefs[]): Buffer[] {
  return encodeMessage({ kind: 'tasks.cancel', tasks });
}
