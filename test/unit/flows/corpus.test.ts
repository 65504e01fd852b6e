// Every public definition of the corpus that the published schema accepts parses and runs to its end against doubles of
// its providers; the others are refused with the state and the field. The corpus is not part of the repository:
// PILOTWAVE_SHARED names the folder that has it (default ../shared).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseExpressionText } from '../../../src/flows/expressions/parser.ts';
import { parseFlow } from '../../../src/flows/language.ts';
import { parseDottedPath, write } from '../../../src/flows/paths.ts';
import { isFinal } from '../../../src/lifecycle.ts';
import type { Json, JsonObject } from '../../../src/providers/contract.ts';
import { play, succeeding, textOf, type Played } from './support/world.ts';

const CORPUS = join(resolve(process.env['PILOTWAVE_SHARED'] ?? '../shared'), 'corpus', 'flows');

/** What is wrong with those that must be refused: where, and the message. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  'end-to-end-test-yaml/definition.yaml':
    /States\.Stage2RunGlobusLsToConfirmTransferStatus\.ResultPath: A state of type Choice has no field/,
  'sync-via-intermediate-with-identifier/defintion.json':
    /Resource: A state of type Action has no field "Resource"/,
  'flows/single_transfer_flow.json':
    /no state type "ActionWait"; it belongs to the language of before 2020|no field "Resource"/,
  'single_pass_bad_start_at.invalid.json': /StartAt: there is no state named "NotThePass"/,
};

/** Those that end as failed, because that is what they are for. */
const FAILING = ['failed-consent/definition.json', 'failed-consent/definition.yaml'];

interface Found {
  readonly file: string;
  readonly definition: JsonObject;
}

/** YAML is read with the YAML library of a Python at hand, if there is one. */
function readAll(files: readonly string[]): Found[] {
  const program = `
import json, sys
try:
    import yaml
except ImportError:
    yaml = None
for name in json.load(sys.stdin):
    try:
        with open(name) as file:
            if name.endswith('.json'): value = json.load(file)
            elif yaml is not None: value = yaml.safe_load(file)
            else: continue
        print(json.dumps([name, value], default=str))
    except Exception:
        pass
`;
  const { stdout, status } = spawnSync('python3', ['-c', program], {
    input: JSON.stringify(files),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) return [];
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, JsonObject | null])
    .flatMap(([file, definition]) =>
      definition !== null && typeof definition === 'object' && 'States' in definition
        ? [{ file, definition }]
        : [],
    );
}

function expressionsIn(value: Json, into: string[] = []): string[] {
  if (Array.isArray(value)) for (const item of value as Json[]) expressionsIn(item, into);
  else if (typeof value === 'object' && value !== null) {
    for (const [key, member] of Object.entries(value)) {
      if (key.endsWith('.=')) into.push(textOf(member));
      expressionsIn(member, into);
    }
  }
  return into;
}

/** A value for a reference that the input must have. */
function invented(path: string): Json {
  if (path.includes('compute_configs.')) {
    const names = ['transfer_endpoint', 'staging_path', 'collection_path', 'compute_endpoint', 'output_path'];
    return Object.fromEntries(names.map((name) => [name, '/p']));
  }
  if (path.endsWith('Hellos') || path.includes('[')) return ['a', 'b'];
  if (/^(notification_body_variables|HelloInput|\w*Spec|IdentifierInput|Transfer\dInput)$/.test(path))
    return {};
  return path === 'step' ? 1 : '/p/q';
}

/** Runs a flow, giving it the input it turns out to need: what it misses is put there, and it runs again. */
function playToTheEnd(definition: JsonObject): Played {
  const parsed = parseFlow(definition);
  assert.ok(parsed.ok);
  let input: JsonObject = {};
  for (let attempt = 0; ; attempt += 1) {
    const details = {
      DATA: [{ name: 'n', type: 'file' }],
      length: 1,
      result: [['/r/x', 'y']],
      results: [],
      loop_done: true,
      files_gt_zero: true,
      number: 1,
    };
    const played = play(parsed.flow, { input, script: succeeding(() => details) });
    const cause = textOf(played.run.details['cause']);
    const missing = /nothing at \$\.([^:]+):/.exec(cause)?.[1] ?? /"(\w+)" is not known/.exec(cause)?.[1];
    if (missing === undefined || attempt > 60) return played;
    input = write(input, parseDottedPath(missing.replace(/\[.*$/, '')), invented(missing));
  }
}

describe('the corpus of public flows', function () {
  this.timeout(60_000);
  let found: readonly Found[] = [];

  before(function () {
    if (!existsSync(CORPUS)) return this.skip();
    const files = readdirSync(CORPUS, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /\.(json|yaml)$/.test(name),
    );
    found = readAll(files.map((name) => join(CORPUS, name)));
    if (found.length === 0) this.skip();
  });

  it('is there', () => assert.ok(found.length >= 30, `${found.length} definitions`));

  it('parses, but for what must be refused with its place and reason', () => {
    for (const { file, definition } of found) {
      const parsed = parseFlow(definition);
      const [, reason] = Object.entries(REFUSED).find(([name]) => file.endsWith(name)) ?? [];
      if (reason === undefined) assert.ok(parsed.ok, `${file}: ${JSON.stringify(parsed)}`);
      else {
        assert.ok(!parsed.ok, `${file} must be refused`);
        assert.match(
          parsed.items.map((item) => `${item.loc.join('.')}: ${item.msg}`).join('\n'),
          reason,
          file,
        );
      }
    }
  });

  it('has only expressions that parse', () => {
    const texts = new Set(found.flatMap(({ definition }) => expressionsIn(definition)));
    assert.ok(texts.size >= 10);
    for (const text of texts) parseExpressionText(text);
  });

  it('runs to its end against doubles', () => {
    for (const { file, definition } of found) {
      if (!parseFlow(definition).ok) continue;
      const { run } = playToTheEnd(definition);
      assert.ok(isFinal(run.status), `${file} ends`);
      const failing = FAILING.some((name) => file.endsWith(name));
      assert.equal(run.status, failing ? 'FAILED' : 'SUCCEEDED', `${file}: ${JSON.stringify(run.details)}`);
    }
  });
});
