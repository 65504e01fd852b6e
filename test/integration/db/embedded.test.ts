import assert from 'node:assert/strict';
import { withDatabase } from '../../support/database.ts';
describe('the embedded PostgreSQL', () => {
  const database = withDatabase();
  it('answers, rolls back and notifies', async () => {
    const { db } = database();
    await assert.rejects(
      db.tx(async (sql) => {
        await sql.query('CREATE TABLE gone (x int)');
        throw new Error('no');
      }),
    );
    const rows = await db.query<{ n: number }>(
      "SELECT count(*) AS n FROM pg_tables WHERE tablename = 'gone'",
    );
    assert.equal(rows[0]?.n, 0);
    const heard = new Promise<string>(
      (resolve) => void db.listen('word', resolve).then(() => db.notify('word', 'hello')),
    );
    assert.equal(await heard, 'hello');
  });
});
