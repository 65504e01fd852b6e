// Triggers, and every event they ever saw with what was decided about it.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE triggers (
      id uuid PRIMARY KEY,
      owner uuid NOT NULL,
      name text NOT NULL,
      kind text NOT NULL,
      config jsonb NOT NULL,
      flow_id uuid NOT NULL,
      input jsonb NOT NULL,
      label text NOT NULL,
      filter jsonb,
      max_in_flight integer,
      state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused')),
      -- Of a webhook: the SHA-256 of the secret in its URL, and its sealed signing secret.
      hook_hash bytea,
      signing_secret bytea,
      -- Where the source stopped: small facts only; what it has seen is in trigger_events.
      cursor jsonb,
      -- What the source says of itself, as its host last wrote it down.
      health jsonb,
      health_at timestamptz,
      -- The host that runs the source and decides; a silent one loses it to another.
      lease_holder uuid,
      fired bigint NOT NULL DEFAULT 0,
      filtered bigint NOT NULL DEFAULT 0,
      paused bigint NOT NULL DEFAULT 0,
      failed bigint NOT NULL DEFAULT 0,
      last_fired_at timestamptz,
      created_at timestamptz NOT NULL DEFAULT now(),
      deleted_at timestamptz
    );
    CREATE INDEX triggers_owner ON triggers (owner, created_at) WHERE deleted_at IS NULL;
    CREATE INDEX triggers_lease ON triggers (lease_holder);

    -- Running hosts. One that is past its time is dead, and what it held may be taken.
    CREATE TABLE trigger_hosts (
      id uuid PRIMARY KEY,
      alive_until timestamptz NOT NULL
    );

    -- One row per event, stored before anything is decided. The same source and id again is the same event.
    -- The decision columns are written once: decision IS NULL guards every update.
    CREATE TABLE trigger_events (
      trigger_id uuid NOT NULL REFERENCES triggers ON DELETE CASCADE,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      event_id text NOT NULL,
      source text NOT NULL,
      event json NOT NULL,
      -- Length of the event as text, so that readers can bound what they load.
      bytes integer NOT NULL,
      by_hand boolean NOT NULL DEFAULT false,
      -- It came while the trigger was paused, so it starts nothing.
      while_paused boolean NOT NULL DEFAULT false,
      stored_at timestamptz NOT NULL DEFAULT clock_timestamp(),
      decision text CHECK (decision IN ('fired', 'filtered', 'paused', 'failed')),
      decided_at timestamptz,
      reason text,
      run_id uuid,
      -- Of a fired event whose trigger limits its runs in flight: true until the run is known to have ended.
      run_open boolean,
      attempts integer NOT NULL DEFAULT 0,
      retry_at timestamptz,
      PRIMARY KEY (trigger_id, seq),
      UNIQUE (trigger_id, event_id, source)
    );
    CREATE INDEX trigger_events_waiting ON trigger_events (trigger_id, seq) WHERE decision IS NULL;
    CREATE INDEX trigger_events_special ON trigger_events (trigger_id, seq)
      WHERE decision IS NULL AND (by_hand OR while_paused);
    CREATE INDEX trigger_events_running ON trigger_events (trigger_id, seq) WHERE run_open;
  `);
}
