// HTTP requests to addresses that users name. Whatever the name resolves to is checked when the connection is
// made, so a name that changes its address between check and use gains nothing. Link-local and metadata addresses
// are always refused: on a cloud machine they hand out its credentials. Private and loopback addresses are
// allowed, because the action providers of a lab live on its private network or beside this service.
import { lookup, type LookupAddress } from 'node:dns';
import { request as httpRequest, Agent as HttpAgent, type IncomingMessage } from 'node:http';
import { request as httpsRequest, Agent as HttpsAgent } from 'node:https';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { Fault } from '../errors.ts';

export interface OutboundRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: string;
  /** Sent as JSON. */
  readonly body?: string;
  /** For the whole exchange, in milliseconds. */
  readonly timeout_ms: number;
  /** The most bytes of answer that are read. */
  readonly limit_bytes: number;
}

export interface OutboundAnswer {
  readonly status: number;
  readonly text: string;
}

export type Send = (request: OutboundRequest) => Promise<OutboundAnswer>;

const REFUSED = new BlockList();
REFUSED.addSubnet('169.254.0.0', 16, 'ipv4');
REFUSED.addSubnet('0.0.0.0', 8, 'ipv4');
REFUSED.addSubnet('224.0.0.0', 3, 'ipv4');
REFUSED.addAddress('100.100.100.200', 'ipv4');
REFUSED.addSubnet('fe80::', 10, 'ipv6');
REFUSED.addSubnet('ff00::', 8, 'ipv6');
REFUSED.addAddress('::', 'ipv6');
REFUSED.addAddress('fd00:ec2::254', 'ipv6');
REFUSED.addAddress('fd20:ce::254', 'ipv6');
// The same IPv4 network seen through NAT64.
REFUSED.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');

/** Is this an address that no user may make the service talk to? */
export function isRefusedAddress(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && REFUSED.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

function refusal(host: string): Fault {
  return new Fault(
    'invalid_request',
    `${host} is a link-local, metadata or multicast address; it is never called.`,
    {
      remedy: 'Name an action provider by its public or site address.',
    },
  );
}

/** A look-up that fails when any of a name's addresses is refused. */
export function guardedLookup(resolve: typeof lookup = lookup): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      if (error !== null) return callback(error, '');
      const refused = addresses.some(({ address }) => isRefusedAddress(address));
      const first = addresses[0];
      if (refused || first === undefined) return callback(refusal(hostname), '');
      if (options.all === true) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

const MAX_SOCKETS = 32;
const MAX_REDIRECTS = 3;
const agents = {
  http: new HttpAgent({ keepAlive: true, maxSockets: MAX_SOCKETS, timeout: 60_000 }),
  https: new HttpsAgent({ keepAlive: true, maxSockets: MAX_SOCKETS, timeout: 60_000 }),
};

/** Reads a URL that a user named. Throws Fault invalid_request. */
export function outboundUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Fault('invalid_request', `Not an http or https URL: ${text.slice(0, 200)}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new Fault('invalid_request', 'A URL must not carry a user name or password.');
  }
  if (isRefusedAddress(url.hostname.replace(/^\[|\]$/g, ''))) throw refusal(url.hostname);
  return url;
}

async function readBody(message: IncomingMessage, limit_bytes: number, url: URL): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of message as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > limit_bytes) {
      message.destroy();
      throw new Fault(
        'unavailable',
        `${url.host} answers with more than ${limit_bytes} bytes; that is not read.`,
      );
    }
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

interface Exchange extends OutboundAnswer {
  readonly location: string | undefined;
}

function exchange(url: URL, request: OutboundRequest, signal: AbortSignal): Promise<Exchange> {
  const secure = url.protocol === 'https:';
  const body = request.body === undefined ? undefined : Buffer.from(request.body);
  return new Promise((resolve, reject) => {
    const outgoing = (secure ? httpsRequest : httpRequest)(
      url,
      {
        method: request.method,
        agent: secure ? agents.https : agents.http,
        lookup: guardedLookup(),
        signal,
        headers: {
          accept: 'application/json',
          'accept-encoding': 'identity',
          'user-agent': 'pilotwave',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': body.length }),
        },
      },
      (message) => {
        const status = message.statusCode ?? 0;
        readBody(message, request.limit_bytes, url).then(
          (text) => resolve({ status, text, location: message.headers.location }),
          reject,
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Where an answer sends the caller, when it does: on the same origin only, and POSTs only by 307 and 308. */
function redirectOf(url: URL, request: OutboundRequest, answer: Exchange): URL | null {
  if (![301, 302, 303, 307, 308].includes(answer.status) || answer.location === undefined) return null;
  const target = outboundUrl(
    URL.canParse(answer.location, url.href) ? new URL(answer.location, url).href : '',
  );
  const repeatable = request.method === 'GET' || answer.status === 307 || answer.status === 308;
  if (target.origin === url.origin && repeatable) return target;
  throw new Fault('invalid_request', `${url.href} redirects to ${target.href}, which is not followed.`, {
    remedy: 'Name the final URL of the action provider.',
  });
}

function networkFault(url: URL, error: unknown, signal: AbortSignal, timeout_ms: number): Fault {
  if (error instanceof Fault) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const why = signal.aborted ? `no answer within ${timeout_ms / 1000} s` : code || 'the connection failed';
  return new Fault('unavailable', `${url.host} cannot be reached: ${why}.`, {
    remedy: 'Check the URL, and that its server runs and can be reached from the service.',
    cause: error,
  });
}

/** Makes one request, following redirects within the origin. Throws Fault unavailable when there is no answer. */
export async function send(request: OutboundRequest): Promise<OutboundAnswer> {
  const signal = AbortSignal.timeout(request.timeout_ms);
  let url = outboundUrl(request.url);
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    let answer: Exchange;
    try {
      answer = await exchange(url, request, signal);
    } catch (error) {
      throw networkFault(url, error, signal, request.timeout_ms);
    }
    const target = redirectOf(url, request, answer);
    if (target === null) return answer;
    url = target;
  }
  throw new Fault('unavailable', `${url.host} redirects more than ${MAX_REDIRECTS} times.`);
}
