// The triggers themselves: made, shown, paused, resumed and deleted by their owner. Nobody else sees them.
import type { Chance } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { deleteTrigger, insertTrigger, setTriggerState, triggerFigures } from '../db/triggers.ts';
import { triggersByIds, triggersOf, type TriggerFigures, type TriggerRow } from '../db/triggers.ts';
import { Fault } from '../errors.ts';
import { isUuid } from '../ids.ts';
import type { JsonObject } from '../providers/contract.ts';
import { describeTrigger, parseNewTrigger, type NewTrigger, type TriggerDocument } from './document.ts';
import { KINDS } from './kinds/index.ts';
import type { TriggerPorts } from './ports.ts';
import { hashSecret, seal } from './secrets.ts';

/** Triggers of one user at most. */
const MAX_TRIGGERS = 1_000;

export interface CatalogOptions {
  readonly db: Db;
  readonly ports: TriggerPorts;
  readonly chance: Chance;
  readonly secret_key: Buffer | null;
  /** What a source that runs in this process says of itself; null when it runs elsewhere or not at all. */
  readonly healthHere: (triggerId: string) => JsonObject | null;
  /** The host that leads a trigger from the moment it is made; null while this one is not started. */
  readonly leader: () => string | null;
  /** A trigger was made, or its state changed. */
  readonly onChange: () => void;
}

export interface Catalog {
  /** Throws Fault trigger_not_found also for what is another's. */
  find(owner: string, id: string): Promise<TriggerRow>;
  create(owner: string, body: unknown): Promise<TriggerDocument>;
  get(owner: string, id: string): Promise<TriggerDocument>;
  list(owner: string): Promise<readonly TriggerDocument[]>;
  delete(owner: string, id: string): Promise<void>;
  switchTo(owner: string, id: string, state: 'active' | 'paused'): Promise<TriggerDocument>;
}

export function notFound(id: string): Fault {
  return new Fault('trigger_not_found', `No such trigger: ${id.slice(0, 80)}`, { args: [id.slice(0, 80)] });
}

function healthOf(options: CatalogOptions, row: TriggerRow, figures: TriggerFigures | undefined): JsonObject {
  if (row.state === 'paused') return { state: 'paused' };
  if (KINDS.get(row.kind)?.run === undefined) return { state: 'listening' };
  const here = options.healthHere(row.id);
  if (here !== null) return here;
  if (figures?.led !== true) return { state: 'stopped', error: 'no service runs this source at the moment' };
  const told = (figures.health ?? { state: 'starting' }) as JsonObject;
  return figures.health_at === null ? told : { ...told, as_of: figures.health_at.toISOString() };
}

async function describeAll(options: CatalogOptions, rows: readonly TriggerRow[]): Promise<TriggerDocument[]> {
  const figures = await triggerFigures(
    options.db,
    rows.map((row) => row.id),
  );
  const byId = new Map(figures.map((one) => [one.id, one]));
  return rows.map((row) => {
    const mine = byId.get(row.id);
    return describeTrigger(row, mine ?? null, healthOf(options, row, mine), null);
  });
}

function sealed(options: CatalogOptions, secret: string | null): Buffer | null {
  if (secret === null) return null;
  if (options.secret_key !== null) return seal(secret, options.secret_key, options.chance.bytes(12));
  throw new Fault('unavailable', 'This service has no key to keep signing secrets with.', {
    remedy: 'Use the secret URL without a signature, or ask the operator for a secret key.',
  });
}

async function checkNew(options: CatalogOptions, owner: string, wanted: NewTrigger): Promise<void> {
  const { db, ports } = options;
  await ports.checkFlow?.(owner, wanted.flow_id);
  if (wanted.max_in_flight !== null && ports.activeRuns === undefined)
    throw new Fault('invalid_request', 'This service cannot limit the runs in flight of a trigger.');
  if ((await triggersOf(db, owner, MAX_TRIGGERS)).length >= MAX_TRIGGERS)
    throw new Fault('too_many_requests', `You have ${MAX_TRIGGERS} triggers; delete some first.`);
}

async function create(options: CatalogOptions, owner: string, body: unknown): Promise<TriggerDocument> {
  const wanted = parseNewTrigger(body);
  await checkNew(options, owner, wanted);
  const { db, chance } = options;
  const secret = wanted.kind.kind === 'webhook' ? chance.bytes(24).toString('base64url') : null;
  const row = await insertTrigger(db, {
    id: chance.uuid(),
    owner,
    name: wanted.name,
    kind: wanted.kind.kind,
    config: wanted.config,
    flow_id: wanted.flow_id,
    input: wanted.input,
    label: wanted.label,
    filter: wanted.filter as JsonObject | null,
    max_in_flight: wanted.max_in_flight,
    hook_hash: secret === null ? null : hashSecret(secret),
    signing_secret: sealed(options, wanted.signing_secret),
    lease_holder: options.leader(),
  });
  options.onChange();
  return describeTrigger(row, null, { state: secret === null ? 'starting' : 'listening' }, secret);
}

export function makeCatalog(options: CatalogOptions): Catalog {
  const { db } = options;
  const find = async (owner: string, id: string): Promise<TriggerRow> => {
    const [row] = isUuid(id) ? await triggersByIds(db, [id]) : [];
    if (row === undefined || row.owner !== owner) throw notFound(id);
    return row;
  };
  const get = async (owner: string, id: string): Promise<TriggerDocument> =>
    (await describeAll(options, [await find(owner, id)]))[0] as TriggerDocument;
  return {
    find,
    get,
    create: (owner, body) => create(options, owner, body),
    list: async (owner) => describeAll(options, await triggersOf(db, owner, MAX_TRIGGERS)),
    async delete(owner, id) {
      if (!isUuid(id) || !(await deleteTrigger(db, id, owner))) throw notFound(id);
      options.onChange();
    },
    async switchTo(owner, id, state) {
      if (!isUuid(id) || !(await setTriggerState(db, id, owner, state))) throw notFound(id);
      options.onChange();
      return get(owner, id);
    },
  };
}
