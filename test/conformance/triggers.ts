// What every trigger kind must keep to, whatever it watches. A kind is exercised by being registered.
import assert from 'node:assert/strict';
import { Validator } from 'jsonschema';
import { silentLogger } from '../../src/log.ts';
import type { Json, JsonObject } from '../../src/providers/contract.ts';
import type { CloudEvent, SourceContext, TriggerKind } from '../../src/triggers/ports.ts';
import { until } from '../support/until.ts';

export interface KindFixture {
  /** A good configuration whose source, started at `now`, has exactly `events` events to tell. */
  readonly make: () => Promise<{
    readonly config: JsonObject;
    readonly now: number;
    readonly created_at: number;
    readonly events: number;
  }>;
  /** Configurations that must be refused. */
  readonly bad: readonly JsonObject[];
}

/** What outlives a source: its stored events and its cursor. */
interface Memory {
  readonly events: Map<string, CloudEvent>;
  cursor: JsonObject | null;
}

interface RunOptions {
  readonly kind: TriggerKind;
  readonly config: JsonObject;
  readonly now: number;
  readonly created_at: number;
  readonly memory: Memory;
  /** How many calls of emit fail before one is let through. */
  failures: number;
}

interface RunningSource {
  readonly stop: () => Promise<void>;
  readonly health: () => JsonObject | null;
  readonly emitted: () => number;
}

function startSource(options: RunOptions): RunningSource {
  const abort = new AbortController();
  const began = performance.now();
  let health: JsonObject | null = null;
  let emitted = 0;
  const context: SourceContext = {
    trigger_id: 'the-trigger',
    created_at: options.created_at,
    log: silentLogger,
    now: () => options.now + (performance.now() - began),
    elapsed: () => performance.now(),
    watch_roots: null,
    stored: async (ids) => new Set(ids.filter((id) => options.memory.events.has(id))),
    async emit(events, cursor) {
      if (events.length > 0 && options.failures-- > 0) throw new Error('the database is away');
      emitted += events.length;
      for (const event of events)
        if (!options.memory.events.has(event.id)) options.memory.events.set(event.id, event);
      if (cursor !== undefined) options.memory.cursor = cursor;
    },
    loadCursor: async () => options.memory.cursor,
    report: (facts) => {
      health = facts;
    },
    signal: abort.signal,
  };
  // Like the host: a source that throws is started again.
  const loop = async (): Promise<void> => {
    while (!abort.signal.aborted) await options.kind.run?.(options.config, context).catch(() => undefined);
  };
  const done = loop();
  return {
    async stop() {
      abort.abort();
      await done;
    },
    health: () => health,
    emitted: () => emitted,
  };
}

function accepts(kind: TriggerKind, config: JsonObject): boolean {
  if (!new Validator().validate(config, kind.config).valid) return false;
  try {
    kind.check?.(config);
    return true;
  } catch {
    return false;
  }
}

function checkEnvelope(event: CloudEvent): void {
  assert.equal(event.specversion, '1.0');
  assert.ok(event.id.length > 0 && event.id.length <= 256);
  assert.equal(event.source, '/triggers/the-trigger');
  assert.match(event.type, /^org\.lab\.[a-z.]+\.v\d+$/);
  assert.ok(!Number.isNaN(Date.parse(String(event.time))));
  const text = JSON.stringify(event);
  assert.ok(text.length <= 64 * 1024);
  assert.deepEqual(JSON.parse(text), event);
}

function exerciseConfig(kind: TriggerKind, fixture: KindFixture): void {
  it('describes its configuration and refuses what it does not know', async () => {
    const { config } = await fixture.make();
    assert.equal(kind.config.additionalProperties, false);
    const properties = kind.config.properties as { [name: string]: { description?: Json } };
    for (const [name, schema] of Object.entries(properties))
      assert.ok(typeof schema.description === 'string', `${name} is not described`);
    assert.ok(accepts(kind, config));
    assert.ok(!accepts(kind, { ...config, no_such_setting: 1 }));
    for (const bad of fixture.bad) assert.ok(!accepts(kind, bad), JSON.stringify(bad));
  });
}

/** Registers the tests of one kind. */
export function exercise(kind: TriggerKind, fixture: KindFixture): void {
  describe(`trigger kind ${kind.kind}`, () => {
    exerciseConfig(kind, fixture);
    if (kind.run === undefined) return;

    const run = async (memory: Memory, failures = 0): Promise<Memory> => {
      const facts = await fixture.make();
      const source = startSource({ kind, memory, failures, ...facts });
      await until('all events', () => memory.events.size >= facts.events && source.emitted() >= facts.events);
      await source.stop();
      assert.equal(memory.events.size, facts.events);
      assert.equal(source.emitted(), facts.events);
      return memory;
    };

    it('tells each fact once, in an envelope that is complete', async () => {
      const { events } = await run({ events: new Map(), cursor: null });
      for (const event of events.values()) checkEnvelope(event);
    });

    it('loses nothing when events cannot be stored at first', async () => {
      await run({ events: new Map(), cursor: null }, 3);
    });

    it('says what it is doing, and tells nothing again after a restart', async () => {
      const facts = await fixture.make();
      const memory: Memory = { events: new Map(), cursor: null };
      const first = startSource({ kind, memory, failures: 0, ...facts });
      await until('all events', () => memory.events.size === facts.events);
      await first.stop();
      const second = startSource({ kind, memory, failures: 0, ...facts });
      await until('a report', () => second.health()?.state === 'watching');
      await second.stop();
      assert.equal(second.emitted(), 0);
    });

    it('gives the same fact the same id when all memory is lost', async () => {
      const facts = await fixture.make();
      const ids: string[][] = [];
      for (let i = 0; i < 2; i++) {
        const memory: Memory = { events: new Map(), cursor: null };
        const source = startSource({ kind, memory, failures: 0, ...facts });
        await until('all events', () => memory.events.size === facts.events);
        await source.stop();
        ids.push([...memory.events.keys()].sort());
      }
      assert.deepEqual(ids[0], ids[1]);
    });

    it('ends soon when it is told to, also while it cannot store', async () => {
      const facts = await fixture.make();
      const memory: Memory = { events: new Map(), cursor: null };
      const source = startSource({ kind, memory, failures: Number.MAX_SAFE_INTEGER, ...facts });
      const start = performance.now();
      await source.stop();
      assert.ok(performance.now() - start < 2_000);
    });
  });
}
