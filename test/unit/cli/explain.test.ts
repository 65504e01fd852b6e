import assert from 'node:assert/strict';
import { explain, exitOfStatus } from '../../../src/cli/explain.ts';
import { CliError, EXIT } from '../../../src/cli/exit.ts';
import { FAULTS, Fault, type FaultCode } from '../../../src/errors.ts';
import {
  ApiError,
  RequestTimeoutError,
  UnexpectedAnswerError,
  UnreachableError,
} from '../../../src/sdk/errors.ts';

const refused = (http: number): ApiError =>
  new ApiError({ http, code: 'c', message: 'm', whose: 'caller', items: [], request: 'GET /x' });

describe('cli: exit codes', () => {
  it('are those of the contract, for every fault there is', () => {
    const expected = new Map<number, number>([
      [400, 2],
      [413, 2],
      [422, 2],
      [401, 3],
      [403, 4],
      [404, 4],
      [409, 1],
      [423, 1],
      [429, 69],
      [500, 69],
      [503, 69],
      [507, 69],
      [504, 5],
    ]);
    for (const [code, { http }] of Object.entries(FAULTS)) {
      assert.equal(exitOfStatus(http), expected.get(http), `${code} is ${http}`);
      assert.equal(explain(new Fault(code as FaultCode, 'm')).exit, explain(refused(http)).exit);
    }
  });

  it('tell silence, waiting and strangers apart', () => {
    assert.equal(explain(new UnreachableError('http://127.0.0.1:5000', new Error('refused'))).exit, 69);
    assert.equal(explain(new RequestTimeoutError('GET /x', 1000)).exit, 5);
    assert.equal(explain(new UnexpectedAnswerError('GET /x', 'it is not JSON')).exit, 69);
    assert.equal(explain(new CliError(EXIT.bad_config, 'm')).exit, 78);
    assert.equal(explain(Object.assign(new Error('EACCES: no'), { code: 'EACCES', path: '/x' })).exit, 77);
    assert.equal(explain(Object.assign(new Error('EROFS: no'), { code: 'EROFS', path: '/x' })).exit, 77);
    assert.equal(explain(new TypeError('x is undefined')).exit, 70);
    assert.equal(explain('thrown text').exit, 70);
  });
});

describe('cli: what is told of an error', () => {
  it('a local service that is not there: how to start it', () => {
    for (const url of ['http://127.0.0.1:5000', 'http://localhost:5000', 'http://[::1]:5000']) {
      assert.equal(
        explain(new UnreachableError(url, new Error('refused'))).remedy,
        'start it with: pilotwave up',
      );
    }
    assert.match(
      explain(new UnreachableError('https://lab.example', new Error('x'))).remedy ?? '',
      /--url.*pilotwave up/,
    );
  });

  it("the service's own words, whose fault it is, and each single problem", () => {
    const told = explain(
      new ApiError({
        http: 422,
        code: 'flow_invalid',
        message: 'The flow has 2 problems.',
        whose: 'caller',
        remedy: 'Put them right.',
        items: [
          { loc: ['definition', 'States', 'A'], msg: 'has no Next', type: 'x' },
          { loc: [], msg: 'is empty', type: 'x' },
        ],
        request: 'POST /flows',
      }),
    );
    assert.deepEqual(told, {
      exit: 2,
      what: 'The flow has 2 problems.',
      where: 'POST /flows answered 422',
      whose: 'your request',
      remedy: 'Put them right.',
      code: 'flow_invalid',
      items: ['definition.States.A: has no Next', 'is empty'],
    });
  });

  it('says a single problem once', () => {
    const items = [{ loc: ['config', 'dir'], msg: 'is required', type: 'x' }];
    assert.deepEqual(explain(new Fault('invalid_request', 'config.dir is required', { items })).items, []);
    assert.deepEqual(explain(new Fault('invalid_request', 'It is not valid.', { items })).items, [
      'config.dir: is required',
    ]);
  });
});
