// Identities, tokens, functions, endpoints, and the chunks and result slabs that hold every task.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    CREATE TABLE users (
      id uuid PRIMARY KEY,
      username text NOT NULL UNIQUE,
      groups text[] NOT NULL DEFAULT '{}',
      created_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE signing_keys (
      kid text PRIMARY KEY,
      private_jwk jsonb NOT NULL,
      public_jwk jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE tokens (
      id uuid PRIMARY KEY,
      user_id uuid NOT NULL REFERENCES users,
      name text NOT NULL,
      scopes text[] NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      expires_at timestamptz NOT NULL,
      revoked_at timestamptz
    );

    -- Running services: who shares this database. A silent one is dead and its queue is swept.
    CREATE TABLE services (
      id uuid PRIMARY KEY,
      host text NOT NULL,
      pid integer NOT NULL,
      link_address text NOT NULL,
      started_at timestamptz NOT NULL DEFAULT now(),
      seen_at timestamptz NOT NULL DEFAULT now()
    );

    -- The CURVE key pair that endpoints know their service by: one for all services of a database.
    CREATE TABLE link_keys (
      public_key text PRIMARY KEY,
      secret_key text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );

    CREATE TABLE functions (
      id uuid PRIMARY KEY,
      owner uuid NOT NULL,
      name text NOT NULL,
      code text NOT NULL,
      description text,
      meta jsonb NOT NULL DEFAULT '{}',
      public boolean NOT NULL DEFAULT false,
      group_id uuid,
      created_at timestamptz NOT NULL DEFAULT now(),
      deleted_at timestamptz
    );
    CREATE INDEX functions_owner ON functions (owner, created_at DESC) WHERE deleted_at IS NULL;

    CREATE TABLE endpoints (
      id uuid PRIMARY KEY,
      owner uuid NOT NULL,
      name text NOT NULL,
      display_name text,
      public boolean NOT NULL DEFAULT false,
      allowed_functions uuid[],
      metadata jsonb NOT NULL DEFAULT '{}',
      -- One-time registration code (its SHA-256) and when it ends; null once used.
      code_hash bytea,
      code_expires_at timestamptz,
      -- What the agent proved itself with: its CURVE public key (z85) and the SHA-256 of its link secret.
      curve_key text UNIQUE,
      secret_hash bytea,
      -- Which service holds the link, under which number, and since when it is up or down.
      link_service uuid,
      link_epoch integer NOT NULL DEFAULT 0,
      linked_at timestamptz,
      unlinked_at timestamptz,
      last_seen_at timestamptz,
      status jsonb,
      created_at timestamptz NOT NULL DEFAULT now(),
      deleted_at timestamptz
    );
    CREATE INDEX endpoints_owner ON endpoints (owner) WHERE deleted_at IS NULL;

    CREATE TABLE task_groups (
      id uuid PRIMARY KEY,
      owner uuid NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );

    -- Up to 100 tasks of one function for one endpoint. A task's id carries its chunk and index; bit i of a
    -- bitmap is task i, counted from the left.
    CREATE TABLE chunks (
      id uuid PRIMARY KEY,
      owner uuid NOT NULL,
      endpoint_id uuid NOT NULL,
      function_id uuid NOT NULL,
      task_group_id uuid NOT NULL,
      tasks smallint NOT NULL,
      -- queued: nobody has it. sent: its endpoint's manager took it. done: every task has a result.
      state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'done')),
      -- Number of the delivery; a re-delivery counts it up.
      epoch integer NOT NULL DEFAULT 1,
      done bit(128) NOT NULL DEFAULT 0::bit(128),
      failed bit(128) NOT NULL DEFAULT 0::bit(128),
      cancelled bit(128) NOT NULL DEFAULT 0::bit(128),
      started bit(128) NOT NULL DEFAULT 0::bit(128),
      options jsonb NOT NULL DEFAULT '{}',
      payloads bytea NOT NULL,
      -- Milliseconds, as clients see it: pages of a listing are cut by it.
      created_at timestamptz(3) NOT NULL DEFAULT now(),
      enqueued_at timestamptz NOT NULL DEFAULT now(),
      sent_at timestamptz,
      done_at timestamptz
    );
    ALTER TABLE chunks ALTER COLUMN payloads SET STORAGE EXTERNAL;
    CREATE INDEX chunks_open ON chunks (endpoint_id, created_at, id) WHERE state <> 'done';
    CREATE INDEX chunks_group ON chunks (task_group_id);
    CREATE INDEX chunks_owner ON chunks (owner, created_at DESC);

    -- Results as they came: one slab holds some tasks of one chunk. accepted marks the tasks whose visible
    -- result is in this slab; a late second result of a task is never accepted.
    CREATE TABLE results (
      chunk_id uuid NOT NULL,
      seq bigint GENERATED ALWAYS AS IDENTITY,
      accepted bit(128) NOT NULL,
      slab bytea NOT NULL,
      worker jsonb,
      received_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (chunk_id, seq)
    );
    ALTER TABLE results ALTER COLUMN slab SET STORAGE EXTERNAL;
  `);
}
