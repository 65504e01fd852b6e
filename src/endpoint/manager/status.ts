// What a manager says of itself, and why tasks wait, in words for the user. Pure.
import type { EndpointStatus } from '../../protocol/messages.ts';
import type { ManagerState } from './state.ts';

export function endpointStatus(state: ManagerState, now: number): EndpointStatus {
  let total_workers = 0;
  let idle_workers = 0;
  for (const executor of state.executors.values()) {
    total_workers += executor.slots;
    idle_workers += Math.max(0, executor.slots - executor.tasks);
  }
  return {
    executors: state.executors.size,
    total_workers,
    idle_workers,
    pending_tasks: state.queued,
    outstanding_tasks: state.open,
    waiting_reason: waitingReason(state, total_workers, now),
  };
}

function waitingReason(state: ManagerState, workers: number, now: number): string | null {
  if (state.disk_trouble !== null) return `results cannot be stored at the endpoint: ${state.disk_trouble}`;
  const { breaker } = state;
  if (workers === 0 && breaker.reason !== null) {
    const wait_s = Math.max(0, Math.ceil((breaker.not_before_ms - now) / 1000));
    const next = wait_s > 0 ? `; next try in ${wait_s} s` : '; it is tried again';
    return `there are no workers: ${breaker.reason}${next}`;
  }
  if (state.queued === 0) return null;
  if (workers === 0) return 'workers are being started';
  if (state.ring.length > 0 && state.ring.every((fn) => fn.code === null)) {
    return 'the code of the function has not arrived from the service yet';
  }
  return `all ${workers} workers are busy`;
}
