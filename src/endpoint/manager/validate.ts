// What must be true of a manager's state after every step; tests call it, and a debug build may. Pure.
import { CHUNK_INDEXES, FIRST_EXECUTOR, NOWHERE, QUEUED, SPOOLED } from './state.ts';
import type { FunctionHere, Held, ManagerState } from './state.ts';

/** Throws an Error that names the first invariant broken. */
export function validate(state: ManagerState): void {
  const must = (truth: boolean, what: string): void => {
    if (!truth) throw new Error(`manager state is wrong: ${what}`);
  };
  let open = 0;
  let queued = 0;
  const withExecutor = new Map<number, number>();
  const spooledRefs = new Map<string, number>();
  for (const held of state.chunks.values()) {
    let openHere = 0;
    let spooledHere = 0;
    for (let index = 0; index < CHUNK_INDEXES; index++) {
      const place = held.place[index] ?? NOWHERE;
      const name = `task ${index} of chunk ${held.chunk}`;
      if (place === SPOOLED) spooledHere++;
      else if (place !== NOWHERE) openHere++;
      if (place === QUEUED) {
        queued++;
        must(held.fn !== null && held.entries[index] !== undefined, `${name} is queued without its payload`);
      }
      if (place >= FIRST_EXECUTOR) {
        must(state.byNumber.has(place), `${name} is with executor number ${place}, which is gone`);
        withExecutor.set(place, (withExecutor.get(place) ?? 0) + 1);
      }
    }
    must(held.open === openHere, `chunk ${held.chunk} counts ${held.open} open tasks of ${openHere}`);
    must(
      held.spooled === spooledHere,
      `chunk ${held.chunk} counts ${held.spooled} results of ${spooledHere}`,
    );
    must(openHere + spooledHere > 0, `chunk ${held.chunk} is kept for nothing`);
    open += openHere;
    spooledRefs.set(held.chunk, spooledHere);
  }
  must(state.open === open, `${state.open} open tasks are counted of ${open}`);
  must(state.queued === queued, `${state.queued} queued tasks are counted of ${queued}`);
  checkFunctions(state, must);
  checkExecutors(state, withExecutor, must);
  checkResults(state, spooledRefs, must);
}

type Must = (truth: boolean, what: string) => void;

function checkFunctions(state: ManagerState, must: Must): void {
  let queued = 0;
  for (const fn of state.functions.values()) {
    queued += fn.queued;
    must(
      fn.queued >= 0 && fn.open >= fn.queued,
      `function ${fn.id} counts ${fn.queued} queued of ${fn.open} open`,
    );
    must(fn.queued === 0 || state.ring.includes(fn), `function ${fn.id} waits outside the ring`);
    const reachable = reachableTasks(fn);
    must(reachable === fn.queued, `function ${fn.id} counts ${fn.queued} queued, its queue has ${reachable}`);
  }
  must(queued === state.queued, 'functions and manager count queued tasks differently');
}

/** Tasks that a function's queue leads to; a task may be in it twice. */
function reachableTasks(fn: FunctionHere): number {
  const seen = new Map<Held, Uint8Array>();
  let count = 0;
  for (const { held, indexes } of fn.queue) {
    const marks = seen.get(held) ?? new Uint8Array(CHUNK_INDEXES);
    seen.set(held, marks);
    for (const index of indexes) {
      if (held.place[index] !== QUEUED || marks[index] === 1) continue;
      marks[index] = 1;
      count++;
    }
  }
  return count;
}

function checkExecutors(state: ManagerState, withExecutor: ReadonlyMap<number, number>, must: Must): void {
  for (const executor of state.executors.values()) {
    const tasks = withExecutor.get(executor.number) ?? 0;
    must(executor.tasks === tasks, `executor ${executor.id} counts ${executor.tasks} tasks of ${tasks}`);
    const byFunction = [...executor.load.values()].reduce((sum, count) => sum + count, 0);
    const byChunk = [...executor.chunks.values()].reduce((sum, count) => sum + count, 0);
    must(
      byFunction === tasks - executor.long,
      `executor ${executor.id} counts ${byFunction} tasks by function and ${executor.long} long ones of ${tasks}`,
    );
    must(byChunk === tasks, `executor ${executor.id} counts ${byChunk} tasks by chunk of ${tasks}`);
    must(
      executor.long >= 0 && executor.long <= tasks,
      `executor ${executor.id} counts ${executor.long} long tasks`,
    );
    must(executor.bytes >= 0, `executor ${executor.id} has ${executor.bytes} bytes`);
    must(
      executor.peer === null || state.byPeer.get(executor.peer) === executor,
      `executor ${executor.id} is not its peer`,
    );
  }
}

function checkResults(state: ManagerState, spooled: ReadonlyMap<string, number>, must: Must): void {
  const owed = new Map<string, number>();
  const add = (chunk: string, count: number): void => void owed.set(chunk, (owed.get(chunk) ?? 0) + count);
  for (const refs of state.sent.values()) for (const { chunk, indexes } of refs) add(chunk, indexes.length);
  for (const { part, indexes } of state.finished) add(part.chunk, indexes.length);
  for (const [chunk, count] of spooled) {
    must(
      (owed.get(chunk) ?? 0) >= count,
      `chunk ${chunk} has ${count} results, only ${owed.get(chunk) ?? 0} are kept`,
    );
  }
}
