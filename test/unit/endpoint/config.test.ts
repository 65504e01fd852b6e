import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  endpointDir,
  endpointNames,
  loadEndpointConfig,
  managerOptions,
  saveEndpointConfig,
  type EndpointConfig,
} from '../../../src/endpoint/config.ts';
import { Fault } from '../../../src/errors.ts';
import { makeKeys } from '../../../src/transport/zmq.ts';

function aConfig(more: Partial<EndpointConfig> = {}): EndpointConfig {
  return {
    endpoint_id: '7d1a3c52-5d0e-4a3b-9a55-0c7f0b7d3f10',
    name: 'lab',
    service_url: 'http://127.0.0.1:5000',
    link: { address: 'tcp://127.0.0.1:5001', server_key: makeKeys().publicKey },
    keys: makeKeys(),
    secret: 'secret',
    workers: 0,
    python: 'python3',
    scheduler: 'local',
    min_blocks: 1,
    max_blocks: 1,
    worker_init: '',
    ...more,
  };
}

describe('endpoint configuration', () => {
  let home: string;
  let dir: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'pilotwave-config-'));
    dir = endpointDir(home, 'lab');
  });

  afterEach(() => {
    rmSync(home, { recursive: true, force: true });
  });

  const file = (): string => join(dir, 'config.json');

  function fault(run: () => unknown): Fault {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof Fault, String(error));
      return error;
    }
    return assert.fail('it was accepted');
  }

  it('is read as it was written, by its owner only', () => {
    const config = aConfig();
    saveEndpointConfig(dir, config);
    assert.deepEqual(loadEndpointConfig(dir), config);
    assert.equal(statSync(file()).mode & 0o777, 0o600);
    assert.deepEqual(endpointNames(home), ['lab']);
  });

  it('fills in what is left out', () => {
    const { endpoint_id, name, service_url, link, keys, secret } = aConfig();
    mkdirSync(dir, { recursive: true });
    writeFileSync(file(), JSON.stringify({ endpoint_id, name, service_url, link, keys, secret }));
    const config = loadEndpointConfig(dir);
    assert.deepEqual(
      [config.workers, config.python, config.scheduler, config.max_blocks],
      [0, 'python3', 'local', 1],
    );
  });

  it('names the file, the place and the fault of a bad one', () => {
    saveEndpointConfig(dir, aConfig());
    writeFileSync(file(), JSON.stringify({ ...aConfig(), workers: 'many' }));
    const wrong = fault(() => loadEndpointConfig(dir));
    assert.equal(wrong.code, 'invalid_request');
    assert.ok(
      wrong.message.includes(file()) && wrong.message.includes('workers must be integer'),
      wrong.message,
    );
    writeFileSync(file(), JSON.stringify({ ...aConfig(), wokers: 3 }));
    assert.match(fault(() => loadEndpointConfig(dir)).message, /wokers/);
    writeFileSync(file(), '{"endpoint_id": ');
    assert.match(fault(() => loadEndpointConfig(dir)).message, /cannot be read/);
  });

  it('says what to do when there is none', () => {
    const none = fault(() => loadEndpointConfig(dir));
    assert.equal(none.code, 'endpoint_not_found');
    assert.match(none.extras.remedy ?? '', /endpoint configure/);
    assert.deepEqual(endpointNames(join(home, 'nowhere')), []);
  });

  it('writes no bad one', () => {
    assert.throws(() => saveEndpointConfig(dir, aConfig({ endpoint_id: 'x' })), Fault);
    assert.equal(fault(() => loadEndpointConfig(dir)).code, 'endpoint_not_found');
  });

  it('refuses names that lead elsewhere', () => {
    for (const name of ['', '..', '../up', 'a/b', '.hidden', 'x'.repeat(64)]) {
      assert.throws(() => endpointDir(home, name), Fault, name);
    }
  });

  it('leaves the number of workers to the machine when it is 0', () => {
    assert.ok(!('workers_per_node' in managerOptions(dir, aConfig())));
    assert.equal(managerOptions(dir, aConfig({ workers: 3 })).workers_per_node, 3);
  });
});
