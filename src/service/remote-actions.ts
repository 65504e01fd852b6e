// The flow engine's way to action providers: ours in process through the kit, others over HTTP in whichever
// spelling of the routes they speak. No tokens are sent to others yet, so those that ask for one refuse.
import { Fault, type FaultCode } from '../errors.ts';
import type { ActionClient, ActionDocument } from '../flows/ports.ts';
import type { Logger } from '../log.ts';
import type { JsonObject } from '../providers/contract.ts';
import type { ActionHost } from '../providers/host.ts';
import { outboundUrl, send as sendOutbound, type OutboundAnswer, type Send } from './outbound.ts';

export interface ActionClientOptions {
  readonly host: ActionHost;
  /** Addresses under which this service is known, e.g. `http://127.0.0.1:5000`; asked at each call. */
  readonly baseUrls: () => readonly string[];
  readonly log: Logger;
  readonly send?: Send;
}

/** An answer of a provider elsewhere is waited for so long, in milliseconds, and read so far, in bytes. */
const TIMEOUT_MS = 30_000;
const LIMIT_BYTES = 16 * 1024 * 1024;
/** Providers whose spelling is remembered. */
const MAX_REMEMBERED = 1_000;
const MAX_LABEL = 64;

type Verb = 'run' | 'status' | 'cancel' | 'release';
type Spelling = 'old' | 'new';

const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])$/;

function sameOrigin(a: URL, b: URL): boolean {
  if (a.origin === b.origin) return true;
  return (
    a.protocol === b.protocol && a.port === b.port && LOOPBACK.test(a.hostname) && LOOPBACK.test(b.hostname)
  );
}

/** The provider of ours that a URL names, or null when the URL is not below our /providers. */
export function localProvider(text: string, baseUrls: readonly string[]): string | null {
  // A path alone, but not `//host/path`, is ours.
  const pathOnly = /^\/(?!\/)/.test(text);
  const bases = (pathOnly ? ['http://localhost'] : baseUrls).filter((base) => URL.canParse(base));
  for (const base of bases.map((candidate) => new URL(candidate))) {
    if (!pathOnly && !URL.canParse(text)) return null;
    const url = new URL(text, base);
    const prefix = `${base.pathname.replace(/\/+$/, '')}/providers/`;
    if (sameOrigin(url, base) && url.pathname.startsWith(prefix)) {
      return url.pathname.slice(prefix.length).replace(/\/+$/, '');
    }
  }
  return null;
}

/** What a provider's HTTP status means to us. */
function codeOf(status: number): FaultCode {
  if (status === 401) return 'unauthenticated';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'action_not_found';
  if (status === 409) return 'state_conflict';
  if (status === 429) return 'too_many_requests';
  return status >= 500 ? 'unavailable' : 'invalid_request';
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** The refusal of a provider, in its own words as far as it has any. */
function refusal(url: string, verb: Verb, answer: OutboundAnswer): Fault {
  const body = parsed(answer.text);
  const words = [body?.code, body?.description ?? body?.message ?? body?.error].filter(
    (word) => typeof word === 'string',
  );
  const said = words.length > 0 ? `: ${words.join(': ').slice(0, 500)}` : '';
  const text = `The action provider ${url} answers ${answer.status}${said}.`;
  if (answer.status === 404 && verb === 'run') return new Fault('provider_not_found', text);
  if (answer.status !== 401) return new Fault(codeOf(answer.status), text);
  return new Fault('unauthenticated', text, {
    remedy:
      'It wants a token, and this service has none for providers elsewhere. Use a provider of this service.',
  });
}

const STATUSES = ['ACTIVE', 'INACTIVE', 'SUCCEEDED', 'FAILED'];

/** An ActionStatus as other servers send it: the status in any case, details now and then a text. */
function documentFrom(url: string, text: string): ActionDocument {
  const body = parsed(text);
  const status = typeof body?.status === 'string' ? body.status.toUpperCase() : '';
  if (body === null || typeof body.action_id !== 'string' || !STATUSES.includes(status)) {
    throw new Fault(
      'unavailable',
      `The action provider ${url} answers with something that is no action status.`,
    );
  }
  const { details } = body;
  const shaped: JsonObject =
    typeof details === 'object' && details !== null && !Array.isArray(details)
      ? (details as JsonObject)
      : { description: typeof details === 'string' ? details : '' };
  return { ...body, action_id: body.action_id, status: status as ActionDocument['status'], details: shaped };
}

/** Method and path of a verb (reference: ActionProvider API section 1). */
function routeOf(
  spelling: Spelling,
  verb: Verb,
  actionId: string,
): readonly ['GET' | 'POST' | 'DELETE', string] {
  const id = encodeURIComponent(actionId);
  if (spelling === 'old') {
    if (verb === 'run') return ['POST', '/run'];
    return [verb === 'status' ? 'GET' : 'POST', `/${id}/${verb}`];
  }
  if (verb === 'run') return ['POST', '/actions'];
  if (verb === 'status') return ['GET', `/actions/${id}`];
  return verb === 'release' ? ['DELETE', `/actions/${id}`] : ['POST', `/actions/${id}/cancel`];
}

/** Calls providers elsewhere; learns which spelling each speaks. */
function remoteCaller(send: Send, log: Logger) {
  const spellings = new Map<string, Spelling>();
  const remember = (base: string, spelling: Spelling): void => {
    spellings.delete(base);
    spellings.set(base, spelling);
    const oldest = spellings.keys().next().value;
    if (spellings.size > MAX_REMEMBERED && oldest !== undefined) spellings.delete(oldest);
  };
  const ask = (base: string, spelling: Spelling, verb: Verb, id: string, body: string | undefined) => {
    const [method, path] = routeOf(spelling, verb, id);
    const limits = { timeout_ms: TIMEOUT_MS, limit_bytes: LIMIT_BYTES };
    return send({ method, url: base + path, ...(body === undefined ? {} : { body }), ...limits });
  };

  return async (url: string, verb: Verb, id: string, body?: string): Promise<ActionDocument> => {
    const target = outboundUrl(url);
    const base = target.origin + target.pathname.replace(/\/+$/, '');
    const known = spellings.get(base);
    let answer = await ask(base, known ?? 'old', verb, id, body);
    // No such route, or no such action: a server that has not shown its spelling may know the other one.
    if (known === undefined && (answer.status === 404 || answer.status === 405)) {
      const other = await ask(base, 'new', verb, id, body);
      if (other.status !== 404 && other.status !== 405) {
        log.debug({ provider: base }, 'the provider speaks the new spelling');
        remember(base, 'new');
        answer = other;
      }
    } else if (answer.status < 400) remember(base, known ?? 'old');
    if (answer.status < 200 || answer.status >= 300) throw refusal(base, verb, answer);
    return documentFrom(base, answer.text);
  };
}

/** The client that the flow engine is given. */
export function makeActionClient(options: ActionClientOptions): ActionClient {
  const { host } = options;
  const remote = remoteCaller(options.send ?? sendOutbound, options.log);
  const local = (url: string): string | null => localProvider(url, options.baseUrls());
  return {
    async run(url, caller, request) {
      const { label, ...needed } = request;
      const asked = label ? { ...needed, label: label.slice(0, MAX_LABEL) } : needed;
      const name = local(url);
      if (name !== null) return (await host.run(name, caller, asked)).action;
      return remote(url, 'run', '', JSON.stringify(asked));
    },
    async status(url, caller, actionId) {
      const name = local(url);
      return name === null ? remote(url, 'status', actionId) : host.status(name, caller, actionId);
    },
    async cancel(url, caller, actionId) {
      const name = local(url);
      return name === null ? remote(url, 'cancel', actionId) : host.cancel(name, caller, actionId);
    },
    async release(url, caller, actionId) {
      const name = local(url);
      await (name === null ? remote(url, 'release', actionId) : host.release(name, caller, actionId));
    },
    onEnded: (listener) => host.onEnded(listener),
  };
}
