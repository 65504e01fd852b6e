import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findConnection, homeOf } from '../../../src/cli/connection.ts';
import { CliError } from '../../../src/cli/exit.ts';

describe('cli: where the service is', () => {
  let home = '';
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  const store = async (document: unknown, token?: string): Promise<void> => {
    await writeFile(
      join(home, 'connection.json'),
      typeof document === 'string' ? document : JSON.stringify(document),
    );
    if (token !== undefined) await writeFile(join(home, 'token'), token);
  };
  const exitOf = async (work: Promise<unknown>): Promise<number> => {
    const error = await work.then(
      () => assert.fail('was found'),
      (error: unknown) => error,
    );
    assert.ok(error instanceof CliError);
    return error.exit;
  };

  it('options win over the environment, and that over what is stored', async () => {
    await store({ url: 'http://stored:1', token_file: 'token' }, 'stored\n');
    const env = { PILOTWAVE_URL: 'http://env:1', PILOTWAVE_TOKEN: 'env' };
    const options = { home, url: 'http://option:1', token: 'option' };
    assert.deepEqual(await findConnection(options, env), { url: 'http://option:1', token: 'option' });
    assert.deepEqual(await findConnection({ home }, env), { url: 'http://env:1', token: 'env' });
    assert.deepEqual(await findConnection({ home }, {}), { url: 'http://stored:1', token: 'stored' });
    assert.deepEqual(await findConnection({}, { PILOTWAVE_HOME: home, PILOTWAVE_URL: '' }), {
      url: 'http://stored:1',
      token: 'stored',
    });
  });

  it('a stored token goes only to the service it was stored for', async () => {
    await store({ url: 'http://stored:1', token_file: join(home, 'token') }, 'secret');
    assert.deepEqual(await findConnection({ home, url: 'http://elsewhere:1' }, {}), {
      url: 'http://elsewhere:1',
      token: null,
    });
    assert.deepEqual(await findConnection({ home, url: 'http://stored:2' }, {}), {
      url: 'http://stored:2',
      token: null,
    });
    assert.deepEqual(await findConnection({ home, url: 'http://stored:1/' }, {}), {
      url: 'http://stored:1/',
      token: 'secret',
    });
  });

  it('nothing stored: the local default, without a token', async () => {
    assert.deepEqual(await findConnection({ home }, {}), { url: 'http://127.0.0.1:5000', token: null });
  });

  it('a token file that is gone or empty is no token', async () => {
    await store({ url: 'http://stored:1', token_file: 'token' });
    assert.equal((await findConnection({ home }, {})).token, null);
    await writeFile(join(home, 'token'), '\n');
    assert.equal((await findConnection({ home }, {})).token, null);
  });

  it('broken settings end with 78, broken options with 2', async () => {
    for (const broken of ['{', '[]', '"x"', { url: 'ftp://x' }, { url: 7 }, {}]) {
      await store(broken);
      assert.equal(await exitOf(findConnection({ home }, {})), 78, JSON.stringify(broken));
    }
    assert.equal(await exitOf(findConnection({}, { PILOTWAVE_URL: 'localhost:5000' })), 78);
    assert.equal(await exitOf(findConnection({ url: 'not a url' }, {})), 2);
  });

  it('the home is an absolute path', () => {
    assert.equal(homeOf({ home: 'x' }, {}), join(process.cwd(), 'x'));
    assert.equal(homeOf({}, { PILOTWAVE_HOME: '/h' }), '/h');
    assert.match(homeOf({}, {}), /^\/.*\/\.pilotwave$/);
  });
});
