// What must be true of an executor's state after every step; tests call it. Pure.
import { AT_WORKER, CHUNK_INDEXES, NOWHERE, QUEUED, type ExecutorState } from './state.ts';

/** Throws an Error that names the first invariant broken. */
export function validate(state: ExecutorState): void {
  const must = (truth: boolean, what: string): void => {
    if (!truth) throw new Error(`executor state is wrong: ${what}`);
  };
  let queued = 0;
  for (const hand of state.hands.values()) {
    let left = 0;
    for (let index = 0; index < CHUNK_INDEXES; index++) {
      const place = hand.place[index] ?? NOWHERE;
      if (place === NOWHERE) continue;
      left++;
      if (place === QUEUED) queued++;
      if (place < AT_WORKER) continue;
      const worker = state.workers[place - AT_WORKER];
      const frame = worker?.frames.find((candidate) => {
        return candidate.hand === hand && candidate.entries.some((entry) => entry.index === index);
      });
      must(
        frame !== undefined,
        `task ${index} of ${hand.chunk} is with worker ${place - AT_WORKER}, which has no frame of it`,
      );
    }
    must(left === hand.left && left > 0, `chunk ${hand.chunk} counts ${hand.left} tasks of ${left}`);
  }
  let counted = 0;
  const frames = state.workers.reduce((sum, worker) => sum + worker.frames.length, 0);
  let framesCounted = 0;
  for (const fn of state.functions.values()) {
    counted += fn.queued;
    framesCounted += fn.frames;
    must(fn.queued === 0 || state.ring.includes(fn), `function ${fn.id} waits outside the ring`);
  }
  must(queued === counted, `${counted} queued tasks are counted of ${queued}`);
  must(frames === framesCounted, `${framesCounted} frames are counted of ${frames}`);
  for (const worker of state.workers) {
    must(
      worker.phase !== 'down' || worker.frames.length === 0,
      `worker ${worker.slot} is down and has frames`,
    );
    must(worker.frames.length <= 2, `worker ${worker.slot} has ${worker.frames.length} frames`);
  }
  const slabBytes = state.slabs.reduce((sum, finished) => sum + finished.part.bytes, 0);
  must(state.slab_bytes === slabBytes, `${state.slab_bytes} bytes of results are counted of ${slabBytes}`);
  const unconfirmed = state.unconfirmed.reduce((sum, finished) => sum + finished.part.bytes, 0);
  must(state.unconfirmed_bytes === unconfirmed, 'unconfirmed results are counted wrongly');
}
