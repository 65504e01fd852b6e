// The client of a Pilotwave service: one object, one group of calls for each noun.
//
//   const client = makeClient({ url: 'http://127.0.0.1:5000', token });
//   const { task_ids } = await client.tasks.submit({ endpoint_id, function_id, calls: [{ kwargs: { name: 'Ada' } }] });
//   const task = await client.tasks.wait(task_ids[0]!, { timeout_s: 60 });
//
// Runs in Node and in browsers. Every call throws the errors of errors.ts; only reads are ever sent twice.
import { call } from './call.ts';
import type { Health, Whoami } from './documents.ts';
import { makeEndpoints, type Endpoints } from './endpoints.ts';
import { makeFlows, type Flows } from './flows.ts';
import { makeFunctions, type Functions } from './functions.ts';
import { makeHttp, type HttpOptions } from './http.ts';
import { makeProviders, type Providers } from './providers.ts';
import { makeRuns, type Runs } from './runs.ts';
import { makeTasks, type Tasks } from './tasks.ts';
import { makeTokens, type Tokens } from './tokens.ts';
import { makeTriggers, type Triggers } from './triggers.ts';

export type ClientOptions = HttpOptions;

export interface Client {
  readonly url: string;
  /** Open: needs no token. */
  readonly health: () => Promise<Health>;
  readonly whoami: () => Promise<Whoami>;
  readonly functions: Functions;
  readonly tasks: Tasks;
  readonly endpoints: Endpoints;
  readonly flows: Flows;
  readonly runs: Runs;
  readonly triggers: Triggers;
  readonly providers: Providers;
  readonly tokens: Tokens;
}

export function makeClient(options: ClientOptions): Client {
  const http = makeHttp(options);
  return {
    url: http.url,
    async health() {
      const { body, headers } = await http.request('GET', '/api/health', { token: null });
      const server_time = Date.parse(headers.get('date') ?? '');
      const { status, version } = (body ?? {}) as Partial<Health>;
      return {
        status: status ?? 'unknown',
        version: version ?? 'unknown',
        server_time: Number.isNaN(server_time) ? null : server_time,
      };
    },
    whoami: () => call(http, 'GET', '/api/whoami'),
    functions: makeFunctions(http),
    tasks: makeTasks(http),
    endpoints: makeEndpoints(http),
    flows: makeFlows(http),
    runs: makeRuns(http),
    triggers: makeTriggers(http),
    providers: makeProviders(http),
    tokens: makeTokens(http),
  };
}
