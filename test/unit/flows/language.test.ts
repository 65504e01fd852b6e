// The language: what is accepted, what is refused, and that a refusal names the state and the field.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { FaultItem } from '../../../src/errors.ts';
import { parseFlow, problemsMessage } from '../../../src/flows/language.ts';
import { publicDefinition } from '../../../src/flows/privacy.ts';
import { STATE_TYPES } from '../../../src/flows/states/index.ts';
import type { JsonObject } from '../../../src/providers/contract.ts';

const pass = (more: JsonObject = {}): JsonObject => ({ Type: 'Pass', End: true, ...more });
const flow = (state: unknown, more: JsonObject = {}): unknown => ({
  StartAt: 'S',
  States: { S: state, ...more },
});

function problems(definition: unknown): readonly FaultItem[] {
  const parsed = parseFlow(definition);
  return parsed.ok ? [] : parsed.items;
}

function accepts(definition: unknown): void {
  assert.deepEqual(problems(definition), []);
}

/** The definition is refused at `where` (below `definition`) with a message like `says`. */
function refuses(definition: unknown, where: string, says: RegExp): void {
  const items = problems(definition);
  const found = items.find((item) => item.loc.slice(1).join('.') === where && says.test(item.msg));
  assert.ok(found, `wanted ${where}: ${says}, got ${JSON.stringify(items)}`);
  assert.equal(found.loc[0], 'definition');
}

describe('flow language', () => {
  it('accepts what deployed flows contain although the schema refuses it', () => {
    accepts({ Comment: null, ...(flow(pass({ Comment: null })) as JsonObject) });
    accepts(flow(pass({ InputPath: '$.', ResultPath: '$' })));
    accepts(flow({ Type: 'Action', ActionUrl: 'http://actions.example.org/x', InputPath: '$.a', End: true }));
    accepts(flow({ Type: 'Action', ActionUrl: '/providers/compute', End: true }));
    accepts(
      flow({ Type: 'Action', Handler: { Type: 'ActionProvider', Url: 'https://x.org/ap' }, End: true }),
    );
  });

  it('refuses unknown fields and says which there are', () => {
    refuses({ ...(flow(pass()) as JsonObject), Version: '1' }, 'Version', /has no field "Version"/);
    refuses(
      flow(pass({ OutputPath: '$.a' })),
      'States.S.OutputPath',
      /A state of type Pass has no field "OutputPath"/,
    );
    refuses(flow(pass({ resultpath: '$.a' })), 'States.S.resultpath', /did you mean "ResultPath"/);
    refuses(
      flow({ Type: 'Choice', Choices: [{ Variable: '$.a', IsNull: true, Next: 'S' }], ResultPath: '$.x' }),
      'States.S.ResultPath',
      /Choice has no field/,
    );
  });

  it('wants Next or End, as the Flows service words it', () => {
    const message =
      /^A state of type 'Action' must be defined as either terminal \("End": true\) or transitional \("Next": "NextStateId"\)$/;
    const action = { Type: 'Action', ActionUrl: 'https://x.org' };
    refuses(flow(action), 'States.S', message);
    refuses(flow({ ...action, End: true, Next: 'S' }), 'States.S', message);
    refuses(flow({ ...action, End: false }), 'States.S', message);
    assert.match(
      problemsMessage(problems(flow(action))),
      /^1 validation error in body\. \$\.definition\.States\.S: A state of type 'Action'/,
    );
  });

  it('wants every named state to exist', () => {
    refuses({ StartAt: 'Nope', States: { S: pass() } }, 'StartAt', /no state named "Nope"/);
    refuses(flow({ Type: 'Pass', Next: 'T' }), 'States.S.Next', /no state named "T"/);
    refuses(
      flow({ Type: 'Choice', Choices: [{ Variable: '$.a', IsNull: true, Next: 'T' }], Default: 'U' }),
      'States.S.Choices.0.Next',
      /"T"/,
    );
    refuses(
      flow({ Type: 'Choice', Choices: [{ Variable: '$.a', IsNull: true, Next: 'S' }], Default: 'U' }),
      'States.S.Default',
      /"U"/,
    );
    refuses(
      flow({
        Type: 'Action',
        ActionUrl: 'https://x.org',
        End: true,
        Catch: [{ ErrorEquals: ['States.ALL'], Next: 'V' }],
      }),
      'States.S.Catch.0.Next',
      /"V"/,
    );
  });

  it('warns of states nothing leads to', () => {
    const parsed = parseFlow(flow(pass(), { Lost: pass() }));
    assert.deepEqual(parsed.ok && parsed.warnings, ['nothing leads to the state "Lost"']);
  });

  it('tells authors of other dialects what to write', () => {
    refuses(flow({ Type: 'ActionWait', End: true }), 'States.S.Type', /before 2020/);
    refuses(
      flow({ Type: 'Task', Resource: 'x', End: true }),
      'States.S.Type',
      /type Action with an ActionUrl/,
    );
    refuses(flow({ Type: 'Action', Resource: 'x', End: true }), 'States.S.Resource', /no field "Resource"/);
    refuses(flow({ Comment: 'x' }), 'States.S', /Discriminator 'Type' is missing/);
    refuses(flow({ Type: 'Parallel' }), 'States.S.Type', /not available in this version/);
    refuses(flow([]), 'States.S', /must be an object, not an array/);
  });

  it('checks each field of an Action', () => {
    const action = (more: JsonObject): unknown =>
      flow({ Type: 'Action', ActionUrl: 'https://x.org', End: true, ...more });
    refuses(action({ ActionUrl: 'ftp://x' }), 'States.S.ActionUrl', /URL of an action provider/);
    refuses(action({ ActionUrl: 3 }), 'States.S.ActionUrl', /must be a string, not a number/);
    refuses(flow({ Type: 'Action', End: true }), 'States.S', /one of ActionUrl, Handler is required/);
    refuses(action({ WaitTime: 0 }), 'States.S.WaitTime', /from 1 to 31536000/);
    refuses(action({ WaitTime: 1.5 }), 'States.S.WaitTime', /whole number/);
    refuses(
      action({ ExceptionOnActionFailure: 'yes' }),
      'States.S.ExceptionOnActionFailure',
      /true or false/,
    );
    refuses(action({ Parameters: {}, InputPath: '$.a' }), 'States.S', /only one of Parameters and InputPath/);
    refuses(action({ Catch: [] }), 'States.S.Catch', /at least one/);
    refuses(
      action({ Catch: [{ ErrorEquals: ['A', 'A'], Next: 'S' }] }),
      'States.S.Catch.0.ErrorEquals',
      /each once/,
    );
    refuses(
      action({ Handler: 'urn:globus:flows:handle:globus:X.Y' }),
      'States.S',
      /only one of ActionUrl and Handler/,
    );
    refuses(
      flow({ Type: 'Action', Handler: 'urn:x', End: true }),
      'States.S.Handler',
      /registered APIs are not available/,
    );
  });

  it('checks Parameters to their depths', () => {
    const params = (Parameters: JsonObject): unknown => flow(pass({ Parameters }));
    refuses(params({ 'a.$': 'x.y' }), 'States.S.Parameters.a.$', /must begin with \$\./);
    refuses(params({ 'a.$': true }), 'States.S.Parameters.a.$', /must be a reference/);
    refuses(params({ l: [{ 'b.=': 'x +' }] }), 'States.S.Parameters.l.0.b.=', /position 4/);
    refuses(params({ 'a.$': '$.x', a: 1 }), 'States.S.Parameters.a', /given twice/);
    refuses(
      params({ a: 1, __Private_Parameters: ['b'] }),
      'States.S.Parameters.__Private_Parameters.0',
      /names no parameter/,
    );
    refuses(params({ 'a.$': '$.x[*]' }), 'States.S.Parameters.a.$', /wildcards/);
    accepts(params({ 'a.$': '$.x', __Private_Parameters: ['a'] }));
    let deep: JsonObject = { 'x.$': '$.y' };
    for (let level = 0; level < 60; level += 1) deep = { deep };
    assert.match(JSON.stringify(problems(params(deep))), /nested deeper/);
  });

  it('checks references and result paths', () => {
    refuses(flow(pass({ InputPath: 'a' })), 'States.S.InputPath', /must begin with/);
    refuses(flow(pass({ ResultPath: '$._context.x' })), 'States.S.ResultPath', /read-only/);
    refuses(flow(pass({ ResultPath: '$.a[1:]' })), 'States.S.ResultPath', /slice cannot be written/);
    refuses(flow(pass({ ResultPath: '$[0]' })), 'States.S.ResultPath', /not an array/);
    refuses(flow(pass({ InputPath: '$.a..b' })), 'States.S.InputPath', /name is expected/);
    refuses(flow({ Type: 'ExpressionEval', Parameters: {}, End: true }), 'States.S.ResultPath', /required/);
    refuses(
      flow({ Type: 'ExpressionEval', ResultPath: '$.a', End: true }),
      'States.S.Parameters',
      /required/,
    );
  });

  it('checks Wait, Fail and Choice', () => {
    refuses(flow({ Type: 'Wait', End: true }), 'States.S', /one of Seconds, SecondsPath/);
    refuses(
      flow({ Type: 'Wait', Seconds: 1, Timestamp: '2026-01-01T00:00:00Z', End: true }),
      'States.S',
      /only one of/,
    );
    refuses(flow({ Type: 'Wait', Seconds: -1, End: true }), 'States.S.Seconds', /whole number/);
    refuses(flow({ Type: 'Wait', Timestamp: 'tomorrow', End: true }), 'States.S.Timestamp', /RFC 3339/);
    refuses(
      flow({ Type: 'Fail', Error: 'a', ErrorPath: '$.b' }),
      'States.S',
      /only one of Error and ErrorPath/,
    );
    refuses(flow({ Type: 'Fail', Next: 'S' }), 'States.S.Next', /no field/);
    const choice = (rule: JsonObject): unknown => flow({ Type: 'Choice', Choices: [rule] });
    refuses(flow({ Type: 'Choice', Choices: [] }), 'States.S.Choices', /at least one/);
    refuses(choice({ Variable: '$.a', StringEquals: 'x' }), 'States.S.Choices.0.Next', /required/);
    refuses(choice({ Variable: '$.a', Next: 'S' }), 'States.S.Choices.0', /needs one comparison/);
    refuses(
      choice({ Variable: '$.a', StringEquals: 1, Next: 'S' }),
      'States.S.Choices.0.StringEquals',
      /must be a string/,
    );
    refuses(
      choice({ Variable: '$.a', TimestampEquals: 'x', Next: 'S' }),
      'States.S.Choices.0.TimestampEquals',
      /RFC 3339/,
    );
    refuses(
      choice({ Variable: '$.a', StringEquals: 'x', IsNull: true, Next: 'S' }),
      'States.S.Choices.0',
      /only one comparison/,
    );
    refuses(
      choice({ Variable: '$.a', StringMatchesPath: '$.b', Next: 'S' }),
      'States.S.Choices.0.StringMatchesPath',
      /no field/,
    );
    refuses(
      choice({ And: [{ Variable: '$.a', IsNull: true, Next: 'S' }], Next: 'S' }),
      'States.S.Choices.0.And.0.Next',
      /outermost/,
    );
    refuses(choice({ Not: 3, Next: 'S' }), 'States.S.Choices.0.Not', /must be an object/);
    refuses(choice({ StringEquals: 'x', Next: 'S' }), 'States.S.Choices.0.Variable', /required/);
  });

  it('reports everything that is wrong at once, up to a bound', () => {
    const states = Object.fromEntries(
      Array.from({ length: 300 }, (_, index) => [`S${index}`, { Type: 'Pass', Bogus: 1 }]),
    );
    const items = problems({ StartAt: 'S0', States: states });
    assert.equal(items.length, 100);
  });

  it('refuses or accepts anything at all without breaking', () => {
    const key = fc.oneof(
      fc.constantFrom(
        'Type',
        'Next',
        'End',
        'Parameters',
        'Choices',
        'Variable',
        'And',
        'Not',
        'ResultPath',
        'Catch',
        'a.$',
        'b.=',
        '__proto__',
        'Handler',
      ),
      fc.string(),
    );
    const leaf = fc.oneof(
      fc.constantFrom<unknown>('Pass', 'Action', 'Choice', 'Wait', 'S', '$.a', '$', null, true, 1, ''),
      fc.string(),
    );
    const { node } = fc.letrec((tie) => ({
      node: fc.oneof(
        { maxDepth: 5 },
        leaf,
        fc.array(tie('node'), { maxLength: 3 }),
        fc.dictionary(key, tie('node'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.keys(STATE_TYPES)),
        fc.dictionary(key, node, { maxKeys: 6 }),
        (Type, fields) => {
          parseFlow(flow({ ...fields, Type }));
          parseFlow(flow(fields));
          parseFlow(fields);
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('hides private parameters from those who may not see them', () => {
    const definition = flow(
      pass({
        Parameters: {
          open: 1,
          'secret.$': '$.s',
          nested: { 'x.=': '1', __Private_Parameters: ['x'] },
          __Private_Parameters: ['secret'],
        },
      }),
    );
    assert.deepEqual(
      publicDefinition(definition as JsonObject),
      flow(pass({ Parameters: { open: 1, nested: {} } })),
    );
  });
});
