// Tokens: made, listed, revoked.
import { call, segment } from './call.ts';
import type { NewToken, TokenView } from './documents.ts';
import type { Http } from './http.ts';

export interface TokenRequest {
  readonly name: string;
  readonly scopes?: readonly string[];
  readonly expires_in_s?: number;
  /** For another user; administrators only. */
  readonly username?: string;
}

export interface Tokens {
  readonly create: (request: TokenRequest) => Promise<NewToken>;
  readonly list: () => Promise<readonly TokenView[]>;
  readonly revoke: (id: string) => Promise<void>;
}

export function makeTokens(http: Http): Tokens {
  return {
    create: (request) => call(http, 'POST', '/api/tokens', { body: request }),
    list: async () => (await call<{ tokens: TokenView[] }>(http, 'GET', '/api/tokens')).tokens,
    async revoke(id) {
      await http.request('DELETE', `/api/tokens/${segment(id)}`);
    },
  };
}
