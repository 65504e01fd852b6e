// THE life cycles. Each is a set of words and which may follow which; nothing else in the code invents a state.
//
//   action  ACTIVE ⇄ INACTIVE → SUCCEEDED | FAILED → (released: gone)
//   run     the same four, and ENDED is read but never written
//   task    waiting-for-ep → waiting-for-nodes → waiting-for-launch → running → success | failed
//           (words of globus-compute-common; a cancelled task is `failed` with an exception that says so)

export type ActionStatusName = 'ACTIVE' | 'INACTIVE' | 'SUCCEEDED' | 'FAILED';

/** Has an action (or run) reached its end? Ended ones never change again. */
export function isFinal(status: ActionStatusName): boolean {
  return status === 'SUCCEEDED' || status === 'FAILED';
}

export type TaskStatusName =
  | 'received'
  | 'waiting-for-ep'
  | 'waiting-for-nodes'
  | 'waiting-for-launch'
  | 'running'
  | 'success'
  | 'failed';

/** How a task ended; the numbers are on the wire and in the result slabs (src/protocol/slab.ts). */
export const OUTCOMES = ['success', 'user_failure', 'system_failure', 'cancelled'] as const;
export type Outcome = (typeof OUTCOMES)[number];
