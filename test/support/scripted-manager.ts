// The far side of a link in dispatcher tests: dials in like a manager and does what the test says. The
// dispatcher, the link, the queue and the database are the real ones.
import { encodeMessage, decodeMessage, splitBlob } from '../../src/protocol/codec.ts';
import { decodeBatch } from '../../src/protocol/batch.ts';
import type { HeldTasks, ManagerToService, ServiceToManager, TaskRefs } from '../../src/protocol/messages.ts';
import { encodeSlab, type SlabEntry } from '../../src/protocol/slab.ts';
import type { KeyPair, Line } from '../../src/transport/link.ts';
import { openLine } from '../../src/transport/zmq.ts';

export interface TakenTask {
  readonly chunk: string;
  readonly epoch: number;
  readonly index: number;
  readonly attempt: number;
  readonly payload: string;
}

export interface ScriptedManager {
  readonly line: Line;
  readonly taken: TakenTask[];
  readonly cancelled: TaskRefs[];
  readonly messages: ServiceToManager[];
  say(message: ManagerToService, parts?: readonly Uint8Array[]): void;
  /** Answers tasks with the given data; each becomes a slab of one. */
  answer(tasks: readonly TakenTask[], data: (task: TakenTask) => string, seq: number): void;
  /** Resolves with the first message, past or future, that passes. */
  heard(test: (message: ServiceToManager) => boolean): Promise<ServiceToManager>;
  close(): Promise<void>;
}

export interface ManagerFacts {
  readonly address: string;
  readonly server_key: string;
  readonly keys: KeyPair;
  readonly endpoint_id: string;
  readonly secret: string;
  readonly held?: readonly HeldTasks[];
  /** Takes deliveries and says so; off to lose them. */
  readonly accepts?: boolean;
}

export function successEntry(index: number, data: string, attempt = 1): SlabEntry {
  const none = Buffer.alloc(0);
  return {
    index,
    outcome: 'success',
    attempt,
    started_s: 1,
    duration_s: 0.001,
    data: Buffer.from(data),
    stdout: none,
    stderr: none,
  };
}

export function dialAsManager(facts: ManagerFacts): ScriptedManager {
  const taken: TakenTask[] = [];
  const cancelled: TaskRefs[] = [];
  const messages: ServiceToManager[] = [];
  const ears = new Set<() => void>();

  const say = (message: ManagerToService, parts: readonly Uint8Array[] = []): void => {
    line.send(encodeMessage(message, parts));
  };
  const onMessage = (frames: Buffer[]): void => {
    const { message, blob } = decodeMessage<ServiceToManager>(frames);
    messages.push(message);
    if (message.kind === 'tasks.submit') {
      for (const [part, batch] of splitBlob(blob, message.batches)) {
        for (const entry of decodeBatch(batch)) {
          // A delivery may come twice; a manager takes each task of an epoch once.
          if (
            taken.some(
              (task) => task.chunk === part.chunk && task.index === entry.index && task.epoch === part.epoch,
            )
          )
            continue;
          taken.push({
            chunk: part.chunk,
            epoch: part.epoch,
            index: entry.index,
            attempt: entry.attempt,
            payload: Buffer.from(entry.payload).toString(),
          });
        }
      }
      if (facts.accepts !== false) {
        say({
          kind: 'tasks.accepted',
          chunks: message.batches.map(({ chunk, epoch }) => ({ chunk, epoch })),
        });
      }
    }
    if (message.kind === 'tasks.cancel') cancelled.push(...message.tasks);
    for (const ear of ears) ear();
  };
  // A line drops what is said before it is connected, so the greeting waits for that.
  const onConnect = (): void => {
    say({
      kind: 'link.hello',
      endpoint_id: facts.endpoint_id,
      secret: facts.secret,
      version: 'test',
      hostname: 'test',
      held: facts.held ?? [],
    });
  };
  const line = openLine({
    address: facts.address,
    keys: facts.keys,
    serverKey: facts.server_key,
    events: { onMessage, onConnect },
  });

  return {
    line,
    taken,
    cancelled,
    messages,
    say,
    answer(tasks, data, seq) {
      const slabs = tasks.map((task) => encodeSlab([successEntry(task.index, data(task), task.attempt)]));
      say(
        {
          kind: 'tasks.results',
          seq,
          workers: {},
          slabs: tasks.map((task, place) => ({
            chunk: task.chunk,
            epoch: task.epoch,
            worker: 'w',
            bytes: slabs[place]?.length ?? 0,
          })),
        },
        slabs,
      );
    },
    heard(test) {
      return new Promise((resolve) => {
        const look = (): void => {
          const found = messages.find(test);
          if (found === undefined) return;
          ears.delete(look);
          resolve(found);
        };
        ears.add(look);
        look();
      });
    },
    close: () => line.close(),
  };
}
