// Registered functions: code under an id, which never changes.
import { sourceCode } from '../protocol/packed.ts';
import { call, segment } from './call.ts';
import type { FunctionDocument, FunctionView } from './documents.ts';
import type { Http } from './http.ts';

/** Code that is plain source runs under any Python; the protocol wants a version all the same. */
const ANY_PYTHON = 'any';
const SDK_VERSION = 'pilotwave';

export interface NewFunction {
  readonly function_name: string;
  /** Packed buffers (src/protocol/packed.ts). */
  readonly function_code: string;
  readonly meta: {
    readonly python_version: string;
    readonly sdk_version: string;
    readonly serde_identifier: string;
  };
  readonly description?: string;
  readonly public?: boolean;
}

export interface NewSource {
  /** The function in the source to call. */
  readonly name: string;
  /** A whole Python file: its imports and helpers work. */
  readonly source: string;
  /** Shown instead of the function's own name. */
  readonly title?: string | undefined;
  readonly description?: string | undefined;
  readonly public?: boolean | undefined;
}

export interface Functions {
  /** Answers the new function's id. */
  readonly register: (request: NewFunction) => Promise<{ readonly function_uuid: string }>;
  /** Registers Python source, so that any Python version at the endpoint can run it. */
  readonly registerSource: (request: NewSource) => Promise<{ readonly function_uuid: string }>;
  /** The caller's functions, newest first. */
  readonly list: (filter?: {
    readonly name?: string;
    readonly limit?: number;
  }) => Promise<readonly FunctionView[]>;
  readonly get: (id: string) => Promise<FunctionDocument>;
  readonly delete: (id: string) => Promise<void>;
}

export function makeFunctions(http: Http): Functions {
  const register = (request: NewFunction): Promise<{ readonly function_uuid: string }> =>
    call(http, 'POST', '/v3/functions', { body: request });
  return {
    register,
    registerSource: (request) =>
      register({
        function_name: request.title ?? request.name,
        function_code: sourceCode(request.name, request.source),
        meta: { python_version: ANY_PYTHON, sdk_version: SDK_VERSION, serde_identifier: 'st' },
        ...(request.description === undefined ? {} : { description: request.description }),
        ...(request.public === true ? { public: true } : {}),
      }),
    async list(filter = {}) {
      const query = { name: filter.name, limit: filter.limit };
      return (await call<{ functions: FunctionView[] }>(http, 'GET', '/api/functions', { query })).functions;
    },
    get: (id) => call(http, 'GET', `/v2/functions/${segment(id)}`),
    async delete(id) {
      await http.request('DELETE', `/v2/functions/${segment(id)}`);
    },
  };
}
