// Endpoints: what is registered, what is online, and the registration of a new one.
import { call, segment } from './call.ts';
import type { EndpointDocument, EndpointLink, EndpointView, NewEndpoint } from './documents.ts';
import type { Http } from './http.ts';

export interface Endpoints {
  readonly list: () => Promise<readonly EndpointView[]>;
  readonly get: (id: string) => Promise<EndpointDocument>;
  readonly status: (
    id: string,
  ) => Promise<{ readonly status: string; readonly details?: Readonly<Record<string, unknown>> }>;
  /** A new endpoint and the code with which its agent registers once. */
  readonly create: (request: {
    readonly name: string;
    readonly display_name?: string;
  }) => Promise<NewEndpoint>;
  /** A new code for an endpoint of the caller's; its agent so far is turned away once the code is used. */
  readonly newCode: (id: string) => Promise<NewEndpoint>;
  /** What the agent says with its code; needs no token. `curve_public_key` is Z85 text. */
  readonly register: (request: {
    readonly code: string;
    readonly curve_public_key: string;
    readonly hostname: string;
  }) => Promise<EndpointLink>;
  readonly delete: (id: string) => Promise<void>;
}

export function makeEndpoints(http: Http): Endpoints {
  return {
    list: async () => (await call<{ endpoints: EndpointView[] }>(http, 'GET', '/api/endpoints')).endpoints,
    get: (id) => call(http, 'GET', `/v2/endpoints/${segment(id)}`),
    status: (id) => call(http, 'GET', `/v2/endpoints/${segment(id)}/status`),
    create: (request) => call(http, 'POST', '/api/endpoints', { body: request }),
    newCode: (id) => call(http, 'POST', `/api/endpoints/${segment(id)}/registration_code`),
    register: (request) => call(http, 'POST', '/api/endpoints/register', { body: request, token: null }),
    async delete(id) {
      await http.request('DELETE', `/v2/endpoints/${segment(id)}`);
    },
  };
}
