// A command line in front of a double of the service, with a token: what most tests of commands need.
import { withDouble, type Double } from '../sdk/double.ts';
import { cli, type Edges, type Ended } from './cli.ts';

export const ID = '11111111-2222-4333-8444-555555555555';
export const OTHER = '99999999-2222-4333-8444-555555555555';

export interface CliOnDouble {
  readonly double: () => Double;
  readonly run: (line: readonly string[], edges?: Edges) => Promise<Ended>;
}

/** Registers mocha hooks; the double is fresh for each test. */
export function withCli(): CliOnDouble {
  const double = withDouble();
  return {
    double,
    run: (line, edges = {}) =>
      cli(line, { ...edges, env: { PILOTWAVE_URL: double().url, PILOTWAVE_TOKEN: 'token', ...edges.env } }),
  };
}
