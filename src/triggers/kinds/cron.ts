// Cron: an event at each instant of a schedule. The cursor is the latest instant dealt with, so instants that
// passed while nobody ran are found at the next start and treated by the catch-up policy.
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault } from '../../errors.ts';
import type { JsonObject } from '../../providers/contract.ts';
import type { CloudEvent, SourceContext, TriggerKind } from '../ports.ts';
import { dueInstants, nextInstant, type CatchUp, type Due, type Schedule } from '../schedule.ts';

/** The longest sleep: the clock is looked at again, it may have been set. */
const MAX_SLEEP_MS = 15_000;
/** A cursor so far ahead of the clock means that the clock went back. */
const BACKWARDS_MS = 60_000;

const config: JsonObject = {
  type: 'object',
  additionalProperties: false,
  required: ['schedule'],
  properties: {
    schedule: {
      type: 'string',
      minLength: 9,
      maxLength: 256,
      description: 'Minute, hour, day of month, month, day of week, e.g. 30 6 * * 1-5.',
    },
    timezone: { type: 'string', minLength: 1, maxLength: 64, description: 'IANA name. Default UTC.' },
    catch_up: {
      enum: ['all', 'last', 'none'],
      description: 'Instants missed while down or paused: fire all, the last (default), or none.',
    },
  },
};

interface CronConfig extends Schedule {
  readonly catch_up: CatchUp;
}

function readConfig(raw: JsonObject): CronConfig {
  const given = raw as { schedule: string; timezone?: string; catch_up?: CatchUp };
  return {
    schedule: given.schedule,
    timezone: given.timezone ?? 'UTC',
    catch_up: given.catch_up ?? 'last',
  };
}

function eventOf(config: CronConfig, context: SourceContext, instant: number, dropped: number): CloudEvent {
  const scheduled = new Date(instant).toISOString();
  return {
    specversion: '1.0',
    id: `${context.trigger_id}@${scheduled}`,
    source: `/triggers/${context.trigger_id}`,
    type: 'org.lab.timer.fired.v1',
    subject: scheduled,
    time: scheduled,
    datacontenttype: 'application/json',
    data: {
      scheduled,
      schedule: config.schedule,
      timezone: config.timezone,
      late_s: Math.max(0, Math.round((context.now() - instant) / 1_000)),
      dropped,
    },
  };
}

async function start(context: SourceContext): Promise<number> {
  const last = (await context.loadCursor())?.last;
  return typeof last === 'string' ? Date.parse(last) : context.created_at;
}

async function fire(config: CronConfig, context: SourceContext, due: Due, until: number): Promise<void> {
  const events = due.instants.map((instant, index) =>
    eventOf(config, context, instant, index === 0 ? due.dropped : 0),
  );
  if (due.dropped > 0)
    context.log.info({ dropped: due.dropped, more: due.more }, 'cron instants passed and do not fire');
  await context.emit(events, { last: new Date(until).toISOString() });
}

async function run(raw: JsonObject, context: SourceContext): Promise<void> {
  const config = readConfig(raw);
  let after = await start(context);
  while (!context.signal.aborted) {
    const now = context.now();
    // Instants that come again after the clock was set back have the ids they had before: they fire once.
    if (after > now + BACKWARDS_MS) after = now;
    const due = dueInstants(config, after, now, config.catch_up);
    if (due.instants.length > 0 || due.dropped > 0) {
      await fire(config, context, due, now);
      after = now;
    }
    const next = nextInstant(config, context.now());
    context.report({
      state: 'watching',
      next_fire_at: next === null ? null : new Date(next).toISOString(),
      timezone: config.timezone,
    });
    const wait_ms = next === null ? MAX_SLEEP_MS : Math.min(MAX_SLEEP_MS, next - context.now());
    await sleep(Math.max(1, wait_ms), undefined, { signal: context.signal }).catch(() => undefined);
  }
}

export const cron: TriggerKind = {
  kind: 'cron',
  config,
  check(raw) {
    const config = readConfig(raw);
    // From a fixed day, so that the answer does not depend on when it is asked.
    if (nextInstant(config, Date.UTC(2026, 0, 1)) === null) {
      throw new Fault(
        'invalid_request',
        `The schedule ${JSON.stringify(config.schedule)} never comes: no such day.`,
      );
    }
  },
  run,
};
