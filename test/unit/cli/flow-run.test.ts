// `flow` and `run` against a double of the service.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ID, OTHER, withCli } from './with-cli.ts';

const definition = { StartAt: 'A', States: { A: { Type: 'Pass', End: true } } };
const run_document = (more: object = {}): object => ({
  run_id: ID,
  flow_id: OTHER,
  flow_title: 'Stills',
  label: 'frame 7',
  tags: [],
  status: 'SUCCEEDED',
  start_time: '2026-06-02T11:58:00.000000+00:00',
  completion_time: '2026-06-02T11:58:02.000000+00:00',
  details: { code: 'FlowSucceeded', description: 'The flow run has succeeded', output: { spots: 12 } },
  ...more,
});
const active = run_document({
  status: 'ACTIVE',
  completion_time: null,
  details: { code: 'ActionStarted', description: 'waits for A' },
});
const failed = run_document({
  status: 'FAILED',
  details: { code: 'FlowFailed', description: 'State A failed', details: { code: 'ActionFailed' } },
});

describe('cli: flow', () => {
  const { double, run } = withCli();
  let dir = '';
  let plain = '';
  let whole = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'pilotwave-cli-'));
    plain = join(dir, 'definition.json');
    whole = join(dir, 'flow.json');
    await writeFile(plain, JSON.stringify(definition));
    await writeFile(whole, JSON.stringify({ title: 'Stills', definition, input_schema: { type: 'object' } }));
    await writeFile(join(dir, 'schema.json'), '{"required": ["x"]}');
    await writeFile(join(dir, 'list.json'), '[]');
  });
  after(() => rm(dir, { recursive: true, force: true }));
  const flow = {
    id: ID,
    title: 'Stills',
    subtitle: '',
    description: '',
    keywords: [],
    definition,
    input_schema: {},
    flow_owner: 'urn',
    created_at: '2026-06-02T11:00:00.000000+00:00',
    updated_at: '2026-06-02T11:30:00.000000+00:00',
  };

  it('validates a definition, alone or in a document', async () => {
    double().on('POST /flows/validate', { body: { scopes: {} } });
    const ended = await run(['flow', 'validate', plain]);
    assert.equal(ended.code, 0);
    assert.match(ended.out, /is a valid flow/);
    await run(['flow', 'validate', whole]);
    await run(['flow', 'validate', whole, '--schema', join(dir, 'schema.json')]);
    assert.deepEqual(
      double().asked.map((one) => one.body),
      [
        { definition },
        { definition, input_schema: { type: 'object' } },
        { definition, input_schema: { required: ['x'] } },
      ],
    );
  });

  it('lists every problem of a bad one, and ends with 2', async () => {
    const detail = [
      { loc: ['definition', 'States', 'A'], msg: 'has no Next', type: 'value_error' },
      { loc: ['definition', 'StartAt'], msg: 'names no state', type: 'value_error' },
    ];
    double().on('POST /flows/validate', {
      status: 422,
      body: { error: { code: 'UNPROCESSABLE_ENTITY', detail, message: '2 validation errors' } },
    });
    const ended = await run(['flow', 'validate', plain]);
    assert.equal(ended.code, 2);
    assert.match(
      ended.err,
      /2 validation errors\n {2}- definition\.States\.A: has no Next\n {2}- definition\.StartAt: names no state\n/,
    );
    assert.equal((await run(['flow', 'validate', join(dir, 'list.json')])).code, 2);
  });

  it('creates one under a title of its own or the one given', async () => {
    double().on('POST /flows', { status: 201, body: flow });
    assert.match((await run(['flow', 'create', plain])).err, /needs a title/);
    assert.equal((await run(['flow', 'create', whole])).out, `${ID}\n`);
    await run(['flow', 'create', plain, '--title', 'T', '--keyword', 'a', '--keyword', 'b']);
    assert.deepEqual(
      double().asked.map((one) => one.body),
      [
        { title: 'Stills', definition, input_schema: { type: 'object' } },
        { title: 'T', definition, input_schema: {}, keywords: ['a', 'b'] },
      ],
    );
  });

  it('starts one by its title, with input from a file or standard input', async () => {
    double().on('GET /flows', { body: { flows: [flow], has_next_page: false } });
    double().on(`POST /flows/${ID}/run`, { status: 201, body: active });
    const started = await run([
      'flow',
      'start',
      'Stills',
      '--input',
      `@${join(dir, 'schema.json')}`,
      '--label',
      'l',
      '--tag',
      't',
    ]);
    assert.equal(started.out, `${ID}\n`);
    assert.match(started.err, /next: pilotwave run watch/);
    await run(['flow', 'start', ID, '--input', '@-'], { input: '{"from": "pipe"}' });
    assert.deepEqual(
      double()
        .at('POST /flows/:/run')
        .map((one) => one.body),
      [{ body: { required: ['x'] }, label: 'l', tags: ['t'] }, { body: { from: 'pipe' } }],
    );
  });

  it('--wait ends as the run ends', async () => {
    double().on(`POST /flows/${ID}/run`, { status: 201, body: active });
    double().on('GET /runs/:', (_, times) => ({ body: times === 0 ? active : run_document() }));
    const good = await run(['flow', 'start', ID, '--wait']);
    assert.equal(good.code, 0);
    assert.deepEqual(JSON.parse(good.out), { spots: 12 });
    assert.match(good.err, /ACTIVE: waits for A/);
    double().on('GET /runs/:', { body: failed });
    const bad = await run(['flow', 'start', ID, '--wait']);
    assert.equal(bad.code, 1);
    assert.match(bad.err, / failed: State A failed\n[^]*ActionFailed[^]*pilotwave run logs/);
    double().on('GET /runs/:', { body: active });
    assert.equal((await run(['flow', 'start', ID, '--wait', '--timeout', '100ms'])).code, 5);
  });

  it('shows one, and its definition as JSON', async () => {
    double().on('GET /flows/:', { body: flow });
    const shown = await run(['flow', 'show', ID]);
    assert.match(shown.out, /^title +Stills$/m);
    assert.match(shown.out, /^changed .*\(30 min ago\)$/m);
    assert.deepEqual(JSON.parse((await run(['flow', 'show', ID, '--definition'])).out), definition);
  });
});

describe('cli: run', () => {
  const { double, run } = withCli();
  const entry = (code: string, state_name?: string): object => ({
    time: '2026-06-02T11:58:00.000000+00:00',
    code,
    description: `it is ${code}`,
    details: state_name === undefined ? {} : { state_name },
  });

  it('lists with how long each took so far', async () => {
    double().on('GET /runs', {
      body: { runs: [active, run_document({ run_id: OTHER })], has_next_page: false },
    });
    const { out } = await run(['run', 'list', '--state', 'active']);
    assert.match(out, new RegExp(`${ID}  ACTIVE     2 min ago  2 min  Stills  frame 7\n`));
    assert.match(out, new RegExp(`${OTHER}  SUCCEEDED  2 min ago  2\\.0 s  Stills  frame 7\n`));
    assert.equal(double().asked[0]?.query['filter_status'], 'ACTIVE');
  });

  it('watches to the end: the log on standard error, the output on standard output', async () => {
    double().on('GET /runs/:', (_, times) => ({ body: times === 0 ? active : run_document() }));
    double().on('GET /runs/:/log', (_, times) => ({
      body: {
        entries: [entry('FlowStarted'), entry('ActionStarted', 'A'), entry('FlowSucceeded')].slice(
          0,
          times + 2,
        ),
        has_next_page: false,
      },
    }));
    const ended = await run(['run', 'watch', ID]);
    assert.equal(ended.code, 0);
    assert.deepEqual(JSON.parse(ended.out), { spots: 12 });
    const codes = ended.err.match(/(?<=^2026-06-0\d \d\d:\d\d:00 \S+ {2})\w+/gm);
    assert.deepEqual(codes, ['FlowStarted', 'ActionStarted', 'FlowSucceeded']);
  });

  it('watching one that fails ends with 1, one that goes on with 5', async () => {
    double().on('GET /runs/:/log', { body: { entries: [], has_next_page: false } });
    double().on('GET /runs/:', { body: failed });
    assert.equal((await run(['run', 'watch', ID])).code, 1);
    double().on('GET /runs/:', { body: active });
    assert.equal((await run(['run', 'watch', ID, '--timeout', '100ms'])).code, 5);
  });

  it('shows logs as a table, with details when asked', async () => {
    double().on('GET /runs/:/log', {
      body: { entries: [entry('ActionStarted', 'A')], has_next_page: false },
    });
    assert.match(
      (await run(['run', 'logs', ID])).out,
      /2 min ago {2}ActionStarted {2}A +it is ActionStarted\n/,
    );
    assert.match((await run(['run', 'logs', ID, '--details'])).out, /\{"state_name":"A"\}/);
  });

  it('goes by a label that only one has', async () => {
    double().on('GET /runs', { body: { runs: [run_document()], has_next_page: false } });
    double().on('POST /runs/:/cancel', { status: 202, body: failed });
    assert.equal((await run(['run', 'cancel', 'frame 7'])).out, `${ID}: FAILED: State A failed\n`);
  });
});
