// The registry of trigger kinds: one line each. The name is what a trigger's `kind` says.
import type { TriggerKind } from '../ports.ts';
import { cron } from './cron.ts';
import { file } from './file.ts';
import { webhook } from './webhook.ts';

export const KINDS: ReadonlyMap<string, TriggerKind> = new Map(
  [file, cron, webhook].map((kind) => [kind.kind, kind]),
);
