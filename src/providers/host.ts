// The kit's front: the verbs of the ActionProvider API for all our providers, each called the same way by the HTTP
// routes and by the flow engine. Rules: reference ActionProvider API, sections 4 (life cycle) and 7 (access).
import type { Chance, Clock } from '../clock.ts';
import { listActions, loadNotes, type ActionRole, type ActionRow } from '../db/actions.ts';
import type { Db } from '../db/connect.ts';
import { Fault } from '../errors.ts';
import { identityUrn } from '../ids.ts';
import type { ActionStatusName } from '../lifecycle.ts';
import type { Logger } from '../log.ts';
import type { ActionProvider, JsonObject, ProviderPorts } from './contract.ts';
import { may, namesOf, type ActionCaller, type Right } from './kit/access.ts';
import { bodyCheck } from './kit/body-check.ts';
import { makeCalls } from './kit/calls.ts';
import { makeChange } from './kit/change.ts';
import {
  describe,
  documentOf,
  logEntries,
  logPage,
  recordOf,
  scopeOf,
  type ActionDocument,
  type LogPage,
  type LogQuery,
  type ProviderDocument,
} from './kit/document.ts';
import { endedNews, type EndedNews } from './kit/ended.ts';
import {
  cancel,
  lookAnew,
  makeLook,
  release,
  resume,
  tend,
  type KeeperDeps,
  type Look,
} from './kit/keeper.ts';
import { readRequest } from './kit/request.ts';
import { runAction, type RunAnswer, type RunDeps } from './kit/run.ts';
import { makeStart } from './kit/start.ts';
import { actionStore } from './kit/store.ts';
import { actionSweeper, type Sweeper } from './kit/sweep.ts';

export interface ActionHostOptions {
  readonly db: Db;
  readonly providers: readonly ActionProvider[];
  readonly ports: ProviderPorts;
  /** The service's public address, e.g. `http://127.0.0.1:5000`; asked when a URL is shown. */
  readonly baseUrl: () => string;
  /** Whom introspection names to write to. */
  readonly adminContact?: string;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly log: Logger;
}

export interface ActionQuery {
  readonly roles: readonly ActionRole[];
  readonly statuses: readonly ActionStatusName[];
}

export type ListedProvider = ProviderDocument & { readonly name: string; readonly url: string };

/** Verbs throw Fault: provider_not_found, action_not_found (also for actions the caller has no right to see),
 *  forbidden, invalid_request, state_conflict, unsupported. */
export interface ActionHost {
  readonly list: () => readonly ListedProvider[];
  readonly introspect: (name: string) => ProviderDocument;
  /** The scope a token needs to call the provider. */
  readonly scopeOf: (name: string) => string;
  /** Starts an action, or answers the one that the same request started. `request` is an ActionRequest as it came. */
  readonly run: (name: string, caller: ActionCaller, request: unknown) => Promise<RunAnswer>;
  readonly status: (name: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  readonly cancel: (name: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  readonly resume: (name: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  /** Forgets an ended action and answers it for the last time. */
  readonly release: (name: string, caller: ActionCaller, actionId: string) => Promise<ActionDocument>;
  readonly log: (name: string, caller: ActionCaller, actionId: string, query: LogQuery) => Promise<LogPage>;
  /** At most 1,000, newest first. */
  readonly enumerate: (
    name: string,
    caller: ActionCaller,
    query: ActionQuery,
  ) => Promise<readonly ActionDocument[]>;
  /** Called with each action that ends, also at other services: a hint, now and then twice or not at all. */
  readonly onEnded: (listener: (actionId: string) => void) => void;
  /** The action's tasks have ended, or may have: looks at it now. Unknown and ended actions are left alone. */
  readonly look: (actionId: string) => Promise<void>;
  /** One round of looking after actions that are due; true when more may be. start() makes rounds by itself. */
  readonly sweep: () => Promise<boolean>;
  readonly start: () => Promise<void>;
  /** Ends the rounds; verbs may still be called. */
  readonly stop: () => Promise<void>;
}

const LIST_LIMIT = 1_000;
const NOTES_LIMIT = 1_000;
/** Longer ids are none of ours. */
const MAX_ID = 200;
const NAME = /^[a-z][a-z0-9_-]{0,63}$/;

interface Registered {
  readonly provider: ActionProvider;
  readonly checkBody: (body: JsonObject) => void;
}

/** Providers by name; a lookup throws Fault provider_not_found. */
function register(providers: readonly ActionProvider[]): {
  readonly all: ReadonlyMap<string, ActionProvider>;
  readonly find: (name: string) => Registered;
} {
  const known = new Map<string, Registered>();
  for (const provider of providers) {
    if (!NAME.test(provider.name) || known.has(provider.name)) {
      throw new Error(`a provider has a bad name, or one that is taken: ${provider.name}`);
    }
    known.set(provider.name, { provider, checkBody: bodyCheck(provider.input_schema) });
  }
  return {
    all: new Map(providers.map((provider) => [provider.name, provider])),
    find(name) {
      const found = known.get(name);
      if (found !== undefined) return found;
      throw new Fault('provider_not_found', `There is no action provider ${name.slice(0, 80)} here.`, {
        remedy: `There are: ${[...known.keys()].join(', ')}.`,
      });
    },
  };
}

function missing(actionId: string): Fault {
  const id = actionId.slice(0, MAX_ID);
  return new Fault('action_not_found', `No action has the id ${id}.`, {
    args: [id],
    remedy: 'It may have been released, or belong to somebody who has not shared it with you.',
  });
}

type Reach = (name: string, caller: ActionCaller, actionId: string, right: Right) => Promise<ActionRow>;

interface Parts {
  readonly options: ActionHostOptions;
  readonly find: (name: string) => Registered;
  readonly keeper: KeeperDeps;
  readonly run: RunDeps;
  readonly look: Look;
  readonly reach: Reach;
  readonly news: EndedNews;
  readonly sweeper: Sweeper;
}

function makeParts(options: ActionHostOptions): Parts {
  const { db, clock, chance, log } = options;
  const { all, find } = register(options.providers);
  const store = actionStore(db);
  const news = endedNews(db, chance.uuid(), log);
  const calls = makeCalls(all, options.ports);
  news.onEnded(calls.unwatch);
  const sweeper = actionSweeper({
    db,
    clock,
    log,
    providers: [...all.keys()],
    deal: (row) => (row.ended_at === null ? tend(keeper, row) : release(keeper, row)),
  });
  const change = makeChange({ store, clock, news, plan: sweeper.plan });
  const start = makeStart({ db, clock, log, calls, change });
  const keeper: KeeperDeps = { db, clock, log, calls, change, start };
  const look = makeLook(keeper);
  /** The action, when it is the provider's and the caller has the right; who has only the other right is told so. */
  const reach: Reach = async (name, caller, actionId, right) => {
    find(name);
    const row = isName(actionId) ? await store.load(actionId) : undefined;
    if (row === undefined || row.provider !== name) throw missing(actionId);
    if (may(caller, right, row)) return row;
    if (!may(caller, right === 'monitor' ? 'manage' : 'monitor', row)) throw missing(actionId);
    throw new Fault('forbidden', `You are not in this action's ${right}_by list.`, {
      remedy: `Ask its creator, ${identityUrn(row.creator)}, to run it with you in ${right}_by.`,
    });
  };
  const run: RunDeps = { db, store, clock, chance, news, start, look };
  return { options, find, keeper, run, look, reach, news, sweeper };
}

function isName(actionId: string): boolean {
  return actionId.length <= MAX_ID && !actionId.includes('\u0000');
}

function refuseEnded(verb: string, row: ActionRow): void {
  if (row.ended_at === null) return;
  throw new Fault('state_conflict', `Cannot ${verb}: the action has ended (${row.status}).`);
}

type Verbs = Pick<ActionHost, 'run' | 'status' | 'cancel' | 'resume' | 'release' | 'log' | 'enumerate'>;

function makeVerbs({ options, find, keeper, run, look, reach }: Parts): Verbs {
  const { db } = options;
  return {
    async run(name, caller, raw) {
      const { provider, checkBody } = find(name);
      const request = readRequest(raw);
      checkBody(request.body);
      provider.check?.(request.body);
      return runAction(run, provider, caller, request);
    },
    async status(name, caller, actionId) {
      return documentOf(await look(await reach(name, caller, actionId, 'monitor')));
    },
    async cancel(name, caller, actionId) {
      const row = await reach(name, caller, actionId, 'manage');
      refuseEnded('cancel', row);
      return documentOf(await cancel(keeper, row, caller.urn));
    },
    async resume(name, caller, actionId) {
      const row = await reach(name, caller, actionId, 'manage');
      refuseEnded('resume', row);
      return documentOf(await resume(keeper, look, row, caller.urn));
    },
    async release(name, caller, actionId) {
      const row = await look(await reach(name, caller, actionId, 'manage'));
      if (row.ended_at === null) {
        throw new Fault('state_conflict', `Cannot release: the action is ${row.status}.`, {
          remedy: 'Cancel it first, or wait for its end.',
        });
      }
      if (!(await release(keeper, row))) throw missing(actionId);
      return documentOf(row);
    },
    async log(name, caller, actionId, query) {
      const row = await look(await reach(name, caller, actionId, 'monitor'));
      const own = await keeper.calls.ask(row, 'log', async (provider, ports) =>
        provider.log?.(recordOf(row), ports),
      );
      return logPage(logEntries(row, await loadNotes(db, row.action_id, NOTES_LIMIT), own ?? []), query);
    },
    async enumerate(name, caller, query) {
      find(name);
      const filter = { provider: name, identity: caller.identity, names: namesOf(caller), limit: LIST_LIMIT };
      return (await listActions(db, { ...filter, ...query })).map(documentOf);
    },
  };
}

/** Builds the host of some providers on a database. Throws Error when two providers have one name. */
export function makeActionHost(options: ActionHostOptions): ActionHost {
  const parts = makeParts(options);
  const { find, keeper, run, news, sweeper } = parts;
  const adminContact = options.adminContact ?? 'the person who runs this service';
  return {
    list: () =>
      options.providers.map((provider) => ({
        name: provider.name,
        url: `${options.baseUrl().replace(/\/+$/, '')}/providers/${provider.name}`,
        ...describe(provider, adminContact),
      })),
    introspect: (name) => describe(find(name).provider, adminContact),
    scopeOf: (name) => scopeOf(find(name).provider),
    ...makeVerbs(parts),
    onEnded: news.onEnded,
    async look(actionId) {
      keeper.calls.unwatch(actionId);
      const row = await run.store.load(actionId);
      if (row !== undefined) await lookAnew(keeper, row);
    },
    sweep: sweeper.sweep,
    async start() {
      await news.listen();
      await sweeper.start();
    },
    stop: sweeper.stop,
  };
}
