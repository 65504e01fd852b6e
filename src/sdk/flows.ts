// Flows: definitions that can be checked, stored and started.
import { call, collect, segment } from './call.ts';
import type { FlowCheck, FlowDocument, JsonObject, RunDocument } from './documents.ts';
import type { Http } from './http.ts';

export interface NewFlow {
  readonly title: string;
  readonly definition: JsonObject;
  readonly input_schema: JsonObject;
  readonly subtitle?: string;
  readonly description?: string;
  readonly keywords?: readonly string[];
}

export interface NewRun {
  readonly body: JsonObject;
  readonly label?: string;
  readonly tags?: readonly string[];
}

export interface Flows {
  /** Throws ApiError with every problem in `items` when the definition is not one. */
  readonly validate: (request: {
    readonly definition: JsonObject;
    readonly input_schema?: JsonObject;
  }) => Promise<FlowCheck>;
  readonly create: (request: NewFlow) => Promise<FlowDocument>;
  /** Most recently changed first; 100 unless said. */
  readonly list: (filter?: {
    readonly title?: string | undefined;
    readonly limit?: number | undefined;
  }) => Promise<readonly FlowDocument[]>;
  readonly get: (id: string) => Promise<FlowDocument>;
  readonly delete: (id: string) => Promise<void>;
  readonly start: (id: string, request: NewRun) => Promise<RunDocument>;
}

const PAGE = 100;

export function makeFlows(http: Http): Flows {
  return {
    validate: (request) => call(http, 'POST', '/flows/validate', { body: request }),
    create: (request) => call(http, 'POST', '/flows', { body: request }),
    list: (filter = {}) =>
      collect(filter.limit ?? PAGE, async (marker) => {
        const first = {
          filter_title: filter.title,
          orderby: 'updated_at DESC',
          per_page: Math.min(filter.limit ?? PAGE, PAGE),
        };
        const page = await call<{ flows: FlowDocument[]; marker?: string | null }>(http, 'GET', '/flows', {
          query: marker === undefined ? first : { marker },
        });
        return { items: page.flows, marker: page.marker };
      }),
    get: (id) => call(http, 'GET', `/flows/${segment(id)}`),
    async delete(id) {
      await http.request('DELETE', `/flows/${segment(id)}`);
    },
    start: (id, request) => call(http, 'POST', `/flows/${segment(id)}/run`, { body: request }),
  };
}
