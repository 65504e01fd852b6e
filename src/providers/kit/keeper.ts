// Keeps actions true to their work: looks at it, ends it, frees it. Every step is stored by a guarded write, so
// that two services, or a cancel and a success, never both win.
import type { Clock } from '../../clock.ts';
import { addNote, deleteEnded, type ActionRow } from '../../db/actions.ts';
import type { Db } from '../../db/connect.ts';
import { Fault } from '../../errors.ts';
import { isFinal } from '../../lifecycle.ts';
import type { Logger } from '../../log.ts';
import type { ActionState } from '../contract.ts';
import type { Calls } from './calls.ts';
import type { Change } from './change.ts';
import { recordOf } from './document.ts';
import { once, type Start } from './start.ts';
import { displayOf, failedState } from './states.ts';

export interface KeeperDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly calls: Calls;
  readonly change: Change;
  readonly start: Start;
}

/** Asks the provider how the work of an action is; an end is stored, progress only shown. */
export type Look = (row: ActionRow) => Promise<ActionRow>;

/** Frees an ended action; false when somebody else did. */
export async function release(deps: Pick<KeeperDeps, 'db' | 'calls'>, row: ActionRow): Promise<boolean> {
  await deps.calls.ask(row, 'release', (provider, ports) => provider.release?.(recordOf(row), ports));
  return deleteEnded(deps.db, row.action_id);
}

function status({ calls }: KeeperDeps, row: ActionRow): Promise<ActionState> {
  return calls.ask(row, 'status', (provider, ports) => provider.status(recordOf(row), ports));
}

async function lookOnce(deps: KeeperDeps, row: ActionRow): Promise<ActionRow> {
  const state = await status(deps, row);
  if (isFinal(state.status) || state.status !== row.status) return deps.change(row, state);
  return { ...row, display_status: displayOf(state), details: state.details };
}

/** Looks for callers, who share a look that is under way. */
export function makeLook(deps: KeeperDeps): Look {
  const looking = new Map<string, Promise<ActionRow>>();
  return (row) => {
    if (row.ended_at !== null) return Promise.resolve(row);
    if (row.memo === null) return deps.start(row, 'again');
    return once(looking, row.action_id, () => lookOnce(deps, row));
  };
}

/** Looks because of a hint. A start or look under way may have missed what the hint is about, so this one is new. */
export async function lookAnew(deps: KeeperDeps, row: ActionRow): Promise<void> {
  const running = row.memo === null ? await deps.start(row, 'again') : row;
  if (running.ended_at === null && running.memo !== null) await lookOnce(deps, running);
}

function note({ db, clock }: KeeperDeps, row: ActionRow, code: string, description: string): Promise<void> {
  return addNote(db, row.action_id, { noted_at: new Date(clock.now()), code, description });
}

/** The action with its start answered, also where that answer was lost. */
async function started({ start }: KeeperDeps, row: ActionRow): Promise<ActionRow> {
  const now = row.memo === null ? await start(row, 'again') : row;
  if (now.memo !== null || now.ended_at !== null) return now;
  throw new Fault('unavailable', 'The action has not started yet; it is being tried.', {
    remedy: 'Try again in a few seconds.',
    retry_after_s: 2,
  });
}

/** Ends the work of an action. Throws Fault unsupported when its provider cannot. */
export async function cancel(deps: KeeperDeps, row: ActionRow, by: string): Promise<ActionRow> {
  if (deps.calls.providerOf(row).cancel === undefined) {
    throw new Fault('unsupported', `Actions of ${row.provider} cannot be cancelled once they run.`);
  }
  const running = await started(deps, row);
  if (running.ended_at !== null) return running;
  await note(deps, row, 'CancelRequested', `Cancel requested by ${by}`);
  const state = await deps.calls.ask(row, 'cancel', async (provider, ports) =>
    provider.cancel?.(recordOf(running), ports, by),
  );
  return state === undefined ? running : deps.change(running, state);
}

/** Goes on with an INACTIVE action; any other is only looked at. */
export async function resume(deps: KeeperDeps, look: Look, row: ActionRow, by: string): Promise<ActionRow> {
  const running = await started(deps, row);
  if (running.status !== 'INACTIVE' || deps.calls.providerOf(row).resume === undefined) return look(running);
  await note(deps, row, 'Resumed', `Resumed by ${by}`);
  const resumed = await deps.calls.ask(row, 'resume', async (provider, ports) =>
    provider.resume?.(recordOf(running), ports),
  );
  return resumed === undefined ? running : deps.change(running, resumed.state, { memo: resumed.memo });
}

/** How long ending the work of an action past its deadline is tried before the action fails without it. */
const DEADLINE_GRACE_MS = 60_000;

/** Past its deadline: ends the work, then the action. */
async function expire(deps: KeeperDeps, row: ActionRow, deadline: Date): Promise<void> {
  try {
    await deps.calls.ask(row, 'cancel', (provider, ports) =>
      provider.cancel?.(recordOf(row), ports, 'its deadline'),
    );
  } catch (error) {
    deps.log.warn(
      { err: error, action_id: row.action_id },
      'the work of an action past its deadline goes on',
    );
    if (deps.clock.now() - deadline.getTime() < DEADLINE_GRACE_MS) return;
  }
  const text = `It had not ended by its deadline, ${deadline.toISOString()}; what was left of its work was cancelled.`;
  await deps.change(row, failedState('DeadlineExceeded', text, 'Deadline exceeded'));
}

/** What a due action needs: its start made again, a look that is stored, or its end when the deadline is over. */
export async function tend(deps: KeeperDeps, row: ActionRow): Promise<void> {
  const over = row.deadline !== null && row.deadline.getTime() <= deps.clock.now() ? row.deadline : null;
  // Nobody knows how far a lost start came: it is made again also when all that remains is to end it.
  const running = row.memo === null ? await deps.start(row, 'again') : row;
  if (running.ended_at !== null || running.memo === null || (running !== row && over === null)) return;
  const state = await status(deps, running);
  if (over !== null && !isFinal(state.status)) await expire(deps, running, over);
  else await deps.change(running, state);
}
