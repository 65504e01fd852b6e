// Brings the database to this version's shape. Migrations go forward only and import nothing from src; each is
// one line in the list below, in order.
import knexModule from 'knex';
import type { Knex } from 'knex';
import * as core from '../../migrations/202611230100_core.ts';
import * as actions from '../../migrations/202611230200_actions.ts';
import * as flows from '../../migrations/202611230300_flows.ts';
import * as triggers from '../../migrations/202611230400_triggers.ts';

interface Migration {
  readonly up: (knex: Knex) => Promise<void>;
}

const MIGRATIONS: readonly (readonly [string, Migration])[] = [
  ['202611230100_core', core],
  ['202611230200_actions', actions],
  ['202611230300_flows', flows],
  ['202611230400_triggers', triggers],
];

/** Applies what is missing. Several services may start at once: knex takes a lock in the database. */
export async function migrate(url: string): Promise<void> {
  const knex = knexModule({ client: 'pg', connection: url, pool: { min: 0, max: 2 } });
  try {
    await knex.migrate.latest({
      migrationSource: {
        getMigrations: () => Promise.resolve([...MIGRATIONS]),
        getMigrationName: (migration: readonly [string, Migration]) => migration[0],
        getMigration: (migration: readonly [string, Migration]) =>
          Promise.resolve({ up: migration[1].up, down: () => Promise.resolve() }),
      },
    });
  } finally {
    await knex.destroy();
  }
}
