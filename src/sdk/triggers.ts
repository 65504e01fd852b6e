// Triggers: rules that start runs from files, clocks and web hooks.
import { call, segment } from './call.ts';
import type { JsonObject, TriggerEvent, TriggerKindName, TriggerView } from './documents.ts';
import type { Http } from './http.ts';

export interface NewTrigger {
  readonly name: string;
  readonly kind: TriggerKindName;
  /** The kind's own settings. */
  readonly config: JsonObject;
  readonly flow_id: string;
  /** Template of the run's input. */
  readonly body: JsonObject;
  readonly label?: string;
}

export interface Triggers {
  readonly create: (request: NewTrigger) => Promise<TriggerView>;
  readonly list: () => Promise<readonly TriggerView[]>;
  readonly get: (id: string) => Promise<TriggerView>;
  readonly delete: (id: string) => Promise<void>;
  readonly pause: (id: string) => Promise<TriggerView>;
  readonly resume: (id: string) => Promise<TriggerView>;
  /** Starts a run now, with an event made up from `data`. */
  readonly fire: (id: string, data?: JsonObject) => Promise<JsonObject>;
  /** Newest first, with what was decided for each. */
  readonly events: (id: string, limit?: number) => Promise<readonly TriggerEvent[]>;
}

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
    fire: (id, data) => call(http, 'POST', path(id, '/fire'), { body: data === undefined ? {} : { data } }),
    events: async (id, limit = 50) =>
      (await call<{ events: TriggerEvent[] }>(http, 'GET', path(id, '/events'), { query: { limit } })).events,
  };
}
