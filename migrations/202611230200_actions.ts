// Actions of our own providers, and what is worth noting about single ones.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  // The documents are json, not jsonb: users' texts may hold \u0000, which jsonb refuses.
  await knex.raw(`
    CREATE TABLE actions (
      action_id text PRIMARY KEY,
      provider text NOT NULL,
      creator uuid NOT NULL,
      request_id text NOT NULL,
      -- SHA-256 of the whole request as canonical JSON: a repeated request must be the same.
      request_hash bytea NOT NULL,
      label text,
      monitor_by jsonb NOT NULL,
      manage_by jsonb NOT NULL,
      deadline timestamptz,
      release_after text NOT NULL,
      release_after_ms bigint NOT NULL,
      body json NOT NULL,
      -- What the provider keeps for itself; null until it has answered the start.
      memo json,
      failed_starts integer NOT NULL DEFAULT 0,
      status text NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED')),
      display_status text NOT NULL,
      details json NOT NULL,
      started_at timestamptz NOT NULL,
      ended_at timestamptz CHECK (ended_at >= started_at),
      -- When the sweep must deal with it: look at it again, or release it once it has ended.
      due_at timestamptz NOT NULL,
      CHECK ((ended_at IS NOT NULL) = (status IN ('SUCCEEDED', 'FAILED')))
    );
    CREATE UNIQUE INDEX actions_request ON actions (provider, creator, request_id);
    CREATE INDEX actions_due ON actions (due_at);
    CREATE INDEX actions_creator ON actions (provider, creator, started_at DESC);
    CREATE INDEX actions_monitor_by ON actions USING gin (monitor_by) WHERE monitor_by <> '[]';
    CREATE INDEX actions_manage_by ON actions USING gin (manage_by) WHERE manage_by <> '[]';

    CREATE TABLE action_notes (
      action_id text NOT NULL REFERENCES actions ON DELETE CASCADE,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      noted_at timestamptz NOT NULL,
      code text NOT NULL,
      description text NOT NULL,
      PRIMARY KEY (action_id, seq)
    );
  `);
}
