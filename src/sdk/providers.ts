// Action providers: those of this service by name, any other by URL.
import { call, segment, waitFor, type WaitOptions } from './call.ts';
import { runEnded, type ActionDocument, type JsonObject, type ProviderDescription } from './documents.ts';
import type { Http, RequestOptions } from './http.ts';

export interface NewAction {
  readonly request_id: string;
  readonly body: JsonObject;
  readonly label?: string;
  /** ISO 8601 duration after its end, e.g. `P30D`. */
  readonly release_after?: string;
  readonly deadline?: string;
}

/** For providers elsewhere: their own token. Ours goes only to our own origin. */
export interface ProviderOptions {
  readonly token?: string | undefined;
}

/** `provider` is a name (`compute`) or a whole URL. */
export interface Providers {
  readonly list: () => Promise<readonly ProviderDescription[]>;
  readonly describe: (provider: string, options?: ProviderOptions) => Promise<ProviderDescription>;
  readonly run: (provider: string, request: NewAction, options?: ProviderOptions) => Promise<ActionDocument>;
  readonly status: (provider: string, actionId: string, options?: ProviderOptions) => Promise<ActionDocument>;
  /** Looks until it has ended or the time is over; answers the last status. */
  readonly wait: (
    provider: string,
    actionId: string,
    options?: WaitOptions<ActionDocument> & ProviderOptions,
  ) => Promise<ActionDocument>;
  readonly cancel: (provider: string, actionId: string, options?: ProviderOptions) => Promise<ActionDocument>;
  readonly release: (
    provider: string,
    actionId: string,
    options?: ProviderOptions,
  ) => Promise<ActionDocument>;
}

/** The contract has no long wait: looks come less often the longer it takes. */
const SLOWEST_LOOK_MS = 5000;

/** Where a provider is: a path of this service for a name, the URL without a last slash otherwise. */
function baseOf(provider: string): string {
  return /^https?:\/\//.test(provider) ? provider.replace(/\/+$/, '') : `/providers/${segment(provider)}`;
}

export function makeProviders(http: Http): Providers {
  const action = (
    method: 'GET' | 'POST',
    provider: string,
    actionId: string,
    verb: string,
    options: RequestOptions = {},
  ): Promise<ActionDocument> =>
    call(http, method, `${baseOf(provider)}/${segment(actionId)}/${verb}`, options);

  return {
    list: async () => (await call<{ providers: ProviderDescription[] }>(http, 'GET', '/providers')).providers,
    describe: (provider, options = {}) => call(http, 'GET', `${baseOf(provider)}/`, options),
    run: (provider, request, options = {}) =>
      call(http, 'POST', `${baseOf(provider)}/run`, { ...options, body: request }),
    status: (provider, actionId, options = {}) => action('GET', provider, actionId, 'status', options),
    wait: (provider, actionId, options = {}) =>
      waitFor(options, {
        ended: runEnded,
        look: (_wait_s, request) =>
          action('GET', provider, actionId, 'status', { ...request, token: options.token }),
        slowest_look_ms: SLOWEST_LOOK_MS,
      }),
    cancel: (provider, actionId, options = {}) => action('POST', provider, actionId, 'cancel', options),
    release: (provider, actionId, options = {}) => action('POST', provider, actionId, 'release', options),
  };
}
