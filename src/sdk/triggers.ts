// Triggers: rules that start runs from files, clocks and web hooks.
import { call, collect, segment } from './call.ts';
import type {
  FireReceipt,
  Json,
  JsonObject,
  TriggerDecision,
  TriggerEvent,
  TriggerKindName,
  TriggerView,
} from './documents.ts';
import type { Http } from './http.ts';

export interface NewTrigger {
  readonly name: string;
  readonly kind: TriggerKindName;
  /** The kind's own settings. */
  readonly config: JsonObject;
  readonly flow_id: string;
  /** Body of each run: a key that ends in `.$` takes what its path names in the event. The whole event as `event`
   *  when absent. */
  readonly input?: JsonObject;
  /** Label of each run, with `{data.name}` for what it names. */
  readonly label?: string;
  /** Globs that an event must match to start a run. */
  readonly filter?: {
    readonly subject?: string | readonly string[];
    readonly type?: string | readonly string[];
  };
  /** Runs that may be going on at a time; the others wait. */
  readonly max_in_flight?: number;
  /** Of a webhook: posts to its secret URL must be signed with this. */
  readonly signing_secret?: string;
}

/** With an event that is stored, with a given one, or with none. */
export interface FireRequest {
  readonly event_id?: string;
  readonly event?: { readonly type?: string; readonly subject?: string; readonly data?: Json };
  /** The same request_id again is the same event. */
  readonly request_id?: string;
}

export interface Triggers {
  /** Of a webhook the answer's `hook.path` holds the secret: it is shown this once. */
  readonly create: (request: NewTrigger) => Promise<TriggerView>;
  readonly list: () => Promise<readonly TriggerView[]>;
  readonly get: (id: string) => Promise<TriggerView>;
  readonly delete: (id: string) => Promise<void>;
  readonly pause: (id: string) => Promise<TriggerView>;
  readonly resume: (id: string) => Promise<TriggerView>;
  /** Starts a run now, by hand. */
  readonly fire: (id: string, request?: FireRequest) => Promise<FireReceipt>;
  /** Newest first, with what was decided for each; 50 unless said. */
  readonly events: (
    id: string,
    filter?: { readonly limit?: number | undefined; readonly decision?: TriggerDecision | undefined },
  ) => Promise<readonly TriggerEvent[]>;
}

const PAGE = 500;

export function makeTriggers(http: Http): Triggers {
  const path = (id: string, verb = ''): string => `/api/triggers/${segment(id)}${verb}`;
  return {
    create: (request) => call(http, 'POST', '/api/triggers', { body: request }),
    list: async () => (await call<{ triggers: TriggerView[] }>(http, 'GET', '/api/triggers')).triggers,
    get: (id) => call(http, 'GET', path(id)),
    async delete(id) {
      await http.request('DELETE', path(id));
    },
    pause: (id) => call(http, 'POST', path(id, '/pause')),
    resume: (id) => call(http, 'POST', path(id, '/resume')),
    fire: (id, request = {}) => call(http, 'POST', path(id, '/fire'), { body: request }),
    events: (id, filter = {}) =>
      collect(filter.limit ?? 50, async (marker) => {
        const query = { limit: Math.min(filter.limit ?? 50, PAGE), decision: filter.decision, marker };
        const page = await call<{ events: TriggerEvent[]; marker?: string | null }>(
          http,
          'GET',
          path(id, '/events'),
          {
            query,
          },
        );
        return { items: page.events, marker: page.marker };
      }),
  };
}
