// Engines for tests: on the suite's database, with a provider double.
import { systemChance, systemClock, type Clock } from '../../../../src/clock.ts';
import { makeFlowEngine, type FlowEngine, type FlowEngineOptions } from '../../../../src/flows/engine.ts';
import type { RunDocument } from '../../../../src/flows/documents.ts';
import type { ActionClient } from '../../../../src/flows/ports.ts';
import { identityUrn } from '../../../../src/ids.ts';
import { isFinal } from '../../../../src/lifecycle.ts';
import { silentLogger } from '../../../../src/log.ts';
import type { JsonObject } from '../../../../src/providers/contract.ts';
import type { TestDatabase } from '../../../support/database.ts';

export const ADA = person('11111111-1111-4111-8111-111111111111', 'ada@lab');
export const BOB = person('22222222-2222-4222-8222-222222222222', 'bob@lab');

export function person(identity: string, username: string) {
  return { identity, urn: identityUrn(identity), username, groups: [] as string[], expires_s: 4_000_000_000 };
}

export function makeEngine(
  database: TestDatabase,
  actions: ActionClient,
  more: Partial<FlowEngineOptions> = {},
): FlowEngine {
  return makeFlowEngine({
    db: database.db,
    actions,
    clock: systemClock,
    chance: systemChance,
    log: silentLogger,
    baseUrl: () => 'http://localhost:5000',
    ...more,
  });
}

/** A clock that a test can push forward. */
export function pushedClock(): Clock & { push(ms: number): void } {
  let ahead = 0;
  return {
    now: () => Date.now() + ahead,
    push(ms) {
      ahead += ms;
    },
  };
}

export const action = (more: JsonObject = {}): JsonObject => ({
  Type: 'Action',
  ActionUrl: 'https://example.org/ap',
  Parameters: { 'n.$': '$.n' },
  ResultPath: '$.result',
  End: true,
  ...more,
});

export function flowOf(states: JsonObject, title = 'a flow'): JsonObject {
  return { title, definition: { StartAt: Object.keys(states)[0] ?? '', States: states }, input_schema: {} };
}

/** Waits for something to become true, looking every few milliseconds. */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  timeout_ms = 15_000,
): Promise<T> {
  const end = performance.now() + timeout_ms;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > end) throw new Error(`not in ${timeout_ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function ended(engine: FlowEngine, runId: string, timeout_s = 20): Promise<RunDocument> {
  const run = await engine.getRun(ADA, runId, { wait_s: timeout_s });
  if (!isFinal(run.status)) throw new Error(`run ${runId} has not ended: ${JSON.stringify(run.details)}`);
  return run;
}
