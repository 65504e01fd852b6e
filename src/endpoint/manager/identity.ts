// What a manager must still be after a restart, so that its executors find it again: the address they dial, its
// keys, and the key pair they use. Kept in the endpoint's folder, for the owner's eyes only.
import { join } from 'node:path';
import { isKeyPair } from '../../transport/z85.ts';
import type { KeyPair } from '../../transport/link.ts';
import { readJsonFile, writePrivateFile } from '../files.ts';

export interface AgentIdentity {
  /** Where executors dial; null before the first start. */
  readonly address: string | null;
  readonly keys: KeyPair;
  readonly executor_keys: KeyPair;
}

function identityFile(dir: string): string {
  return join(dir, 'agent.json');
}

/** File with the key pair that executors use. */
export function executorKeyFile(dir: string): string {
  return join(dir, 'executor-keys.json');
}

/** The identity kept in a folder, or a new one when there is none or it cannot be read. */
export function loadIdentity(dir: string, makeKeys: () => KeyPair): AgentIdentity {
  const kept = readIdentity(dir);
  if (kept !== null) return kept;
  const fresh: AgentIdentity = { address: null, keys: makeKeys(), executor_keys: makeKeys() };
  saveIdentity(dir, fresh);
  return fresh;
}

export function saveIdentity(dir: string, identity: AgentIdentity): void {
  writePrivateFile(identityFile(dir), JSON.stringify(identity));
  writePrivateFile(executorKeyFile(dir), JSON.stringify(identity.executor_keys));
}

function readIdentity(dir: string): AgentIdentity | null {
  let value: unknown;
  try {
    value = readJsonFile(identityFile(dir));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { address, keys, executor_keys } = value as Partial<AgentIdentity>;
  if (!isKeyPair(keys) || !isKeyPair(executor_keys)) return null;
  return { address: typeof address === 'string' ? address : null, keys, executor_keys };
}
