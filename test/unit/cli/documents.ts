// Documents as the service answers them, for tests of commands.
import { ID, OTHER } from './with-cli.ts';

export const task = (more: object = {}): object => ({
  task_id: ID,
  function_id: OTHER,
  endpoint_id: OTHER,
  task_group_id: OTHER,
  status: 'success',
  reason: 'done',
  attempt: 1,
  submitted_at: '2026-06-02T11:58:00.000000+00:00',
  started_at: '2026-06-02T11:58:01.000000+00:00',
  completed_at: '2026-06-02T11:58:02.500000+00:00',
  duration_s: 1.5,
  ...more,
});
