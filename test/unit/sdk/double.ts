// A double of the service for tests of its clients: a real HTTP server that gives canned answers and keeps what
// it was asked.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request body of which each test knows what it reads. */
export interface Body {
  readonly calls: readonly unknown[];
  readonly task_ids: readonly string[];
  readonly [name: string]: unknown;
}

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly headers: IncomingHttpHeaders;
  /** Parsed JSON object; empty for an empty body. */
  readonly body: Body;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON; a string is sent as it is. */
  readonly body?: unknown;
  /** Never answer: the connection stays open. */
  readonly silent?: boolean;
}

export type Responder = Answer | ((asked: Asked, times: number) => Answer | Promise<Answer>);

export interface Double {
  readonly url: string;
  readonly asked: Asked[];
  /** What was asked at one route, e.g. `POST /api/tasks`. */
  at(route: string): Asked[];
  /** Gives a route its answer: `GET /api/tasks/:` matches any one last segment. A later one replaces it. */
  on(route: string, responder: Responder): void;
  close(): Promise<void>;
}

function readBody(request: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => resolve(Buffer.concat(parts).toString('utf8')));
    request.on('error', reject);
  });
}

function matches(route: string, asked: string): boolean {
  const wanted = route.split('/');
  const parts = asked.split('/');
  return wanted.length === parts.length && wanted.every((part, at) => part === ':' || part === parts[at]);
}

interface Entry {
  readonly responder: Responder;
  times: number;
}

async function answerOf(entry: Entry | undefined, asked: Asked, name: string): Promise<Answer> {
  if (entry === undefined)
    return { status: 404, body: { code: 'route_not_found', message: `nothing at ${name}` } };
  return typeof entry.responder === 'function' ? entry.responder(asked, entry.times++) : entry.responder;
}

export async function startDouble(routes: Readonly<Record<string, Responder>> = {}): Promise<Double> {
  const table = new Map<string, Entry>();
  const on = (route: string, responder: Responder): void => void table.set(route, { responder, times: 0 });
  Object.entries(routes).forEach(([route, responder]) => on(route, responder));
  const asked: Asked[] = [];

  const server: Server = createServer((request, response) => {
    void (async () => {
      const url = new URL(request.url ?? '/', 'http://double');
      const text = await readBody(request);
      const one: Asked = {
        method: request.method ?? 'GET',
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        headers: request.headers,
        body: (text === '' ? {} : JSON.parse(text)) as Body,
      };
      asked.push(one);
      const name = `${one.method} ${one.path}`;
      const entry = table.get(name) ?? [...table].find(([route]) => matches(route, name))?.[1];
      const answer = await answerOf(entry, one, name);
      if (answer.silent === true) return;
      const body = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body ?? {});
      response.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers });
      response.end(body);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    at: (route) => asked.filter((one) => matches(route, `${one.method} ${one.path}`)),
    on,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Registers mocha hooks; the answer gives the test's double, fresh for each test. */
export function withDouble(): () => Double {
  let current: Double | null = null;
  beforeEach(async () => {
    current = await startDouble();
  });
  afterEach(async () => {
    await current?.close();
    current = null;
  });
  return () => {
    if (current === null) throw new Error('the double is there only inside tests');
    return current;
  };
}

/** An address at which nothing listens. */
export async function deadUrl(): Promise<string> {
  const double = await startDouble();
  await double.close();
  return double.url;
}
