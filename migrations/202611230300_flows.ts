// Flows, the versions of their definitions, runs, and what happened in them.
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  // Documents are json, not jsonb: they may hold \u0000, and authors get their keys back in their own order.
  await knex.raw(`
    CREATE TABLE flows (
      id uuid PRIMARY KEY,
      version_id bigint NOT NULL,
      owner uuid NOT NULL,
      creator uuid NOT NULL,
      title text NOT NULL,
      subtitle text NOT NULL,
      description text NOT NULL,
      keywords jsonb NOT NULL,
      -- Lists of principal names.
      viewers jsonb NOT NULL,
      starters jsonb NOT NULL,
      administrators jsonb NOT NULL,
      run_managers jsonb NOT NULL,
      run_monitors jsonb NOT NULL,
      subscription_id uuid,
      authentication_policy_id uuid,
      created_at timestamptz NOT NULL DEFAULT now(),
      updated_at timestamptz NOT NULL DEFAULT now(),
      deleted_at timestamptz
    );
    CREATE INDEX flows_owner ON flows (owner, updated_at DESC) WHERE deleted_at IS NULL;

    -- What a run executes stays as it was when the run started: changing a flow makes a new version.
    CREATE TABLE flow_versions (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      flow_id uuid NOT NULL,
      definition json NOT NULL,
      input_schema json NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );

    -- Flow engines that share this database. Runs leased to one that is silent are free.
    CREATE TABLE flow_engines (
      id uuid PRIMARY KEY,
      alive_until timestamptz NOT NULL
    );

    CREATE TABLE runs (
      id uuid PRIMARY KEY,
      flow_id uuid NOT NULL REFERENCES flows,
      version_id bigint NOT NULL REFERENCES flow_versions,
      owner uuid NOT NULL,
      -- Who the run acts as: identity, urn, username, groups, end of the token it was started with.
      caller json NOT NULL,
      request_id text,
      label text NOT NULL,
      tags jsonb NOT NULL,
      run_managers jsonb NOT NULL,
      run_monitors jsonb NOT NULL,
      input json NOT NULL,
      status text NOT NULL CHECK (status IN ('ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED')),
      details json NOT NULL,
      -- Where the machine is (src/flows/run.ts Place), and from it: the state's name, the action waited for.
      place json NOT NULL,
      at_state text,
      action_id text,
      -- When an engine must look at it; null once it has ended.
      wake_at timestamptz,
      -- Who asked to cancel it, until its machine has taken that in.
      cancel_by text,
      -- The engine that works on it now, and the number of the last step: a step counts only over its predecessor.
      lease uuid,
      revision integer NOT NULL DEFAULT 0,
      start_time timestamptz NOT NULL,
      completion_time timestamptz,
      CHECK ((wake_at IS NULL) = (status IN ('SUCCEEDED', 'FAILED'))),
      CHECK ((completion_time IS NULL) = (wake_at IS NOT NULL))
    ) WITH (fillfactor = 70);
    CREATE UNIQUE INDEX runs_request ON runs (flow_id, owner, request_id) WHERE request_id IS NOT NULL;
    CREATE INDEX runs_due ON runs (wake_at) WHERE wake_at IS NOT NULL;
    CREATE INDEX runs_action ON runs (action_id) WHERE action_id IS NOT NULL;
    CREATE INDEX runs_lease ON runs (lease) WHERE lease IS NOT NULL;
    CREATE INDEX runs_owner ON runs (owner, start_time DESC, id);
    CREATE INDEX runs_flow ON runs (flow_id, start_time DESC, id);
    CREATE INDEX runs_managers ON runs USING gin (run_managers) WHERE run_managers <> '[]';
    CREATE INDEX runs_monitors ON runs USING gin (run_monitors) WHERE run_monitors <> '[]';

    CREATE TABLE run_log (
      run_id uuid NOT NULL REFERENCES runs ON DELETE CASCADE,
      seq integer NOT NULL,
      time timestamptz NOT NULL,
      code text NOT NULL,
      description text NOT NULL,
      details json NOT NULL,
      PRIMARY KEY (run_id, seq)
    );
  `);
}
