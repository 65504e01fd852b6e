// The schedulers there are; the key is the configuration's value.
import type { BatchScheduler } from './contract.ts';
import { local } from './local.ts';

export const schedulers = { local } satisfies Record<string, BatchScheduler>;

export type SchedulerName = keyof typeof schedulers;

export function isSchedulerName(name: string): name is SchedulerName {
  return Object.hasOwn(schedulers, name);
}
