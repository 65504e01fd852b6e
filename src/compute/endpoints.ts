// Endpoints as their owners see them: made, changed, given a one-time code, registered by their agent, deleted.
import { createHash } from 'node:crypto';
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import {
  deleteEndpoint,
  insertEndpoint,
  listEndpoints,
  redeemCode,
  setRegistrationCode,
  updateEndpoint,
  type EndpointRow,
} from '../db/endpoints.ts';
import type { Dispatcher } from '../dispatcher/index.ts';
import { Fault } from '../errors.ts';
import { ownEndpoint, usableEndpoint, type Caller } from './access.ts';

/** A registration code is good for ten minutes, once. */
const CODE_LIFETIME_MS = 10 * 60_000;
const Z85_KEY = /^[0-9A-Za-z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/;

export interface EndpointFacts {
  readonly name: string;
  readonly display_name: string | null;
  readonly public: boolean;
  readonly allowed_functions: readonly string[] | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface RegistrationCode {
  readonly endpoint_id: string;
  readonly registration_code: string;
  readonly expires_at: Date;
}

export interface Registered {
  readonly endpoint_id: string;
  readonly link: { readonly address: string; readonly server_key: string };
  /** Proof for the link; kept by the agent, stored here as a hash. */
  readonly secret: string;
}

export interface EndpointService {
  create(caller: Caller, facts: EndpointFacts): Promise<string>;
  update(caller: Caller, id: string, facts: EndpointFacts): Promise<void>;
  get(caller: Caller, id: string): Promise<EndpointRow>;
  list(caller: Caller, any: boolean): Promise<EndpointRow[]>;
  remove(caller: Caller, id: string): Promise<void>;
  /** A new one-time code for the owner's endpoint; an earlier unused one ends. */
  makeCode(caller: Caller, id: string): Promise<RegistrationCode>;
  /** What an agent does with its code. Throws Fault registration_code_invalid. */
  register(code: string, curvePublicKey: string): Promise<Registered>;
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();

export function makeEndpointService(deps: {
  readonly db: Db;
  readonly dispatcher: Dispatcher;
  readonly chance: Chance;
  readonly clock: Clock;
}): EndpointService {
  const { db, dispatcher, chance, clock } = deps;
  return {
    async create(caller, facts) {
      const id = chance.uuid();
      await insertEndpoint(db, { id, owner: caller.identity, ...facts });
      return id;
    },
    async update(caller, id, facts) {
      await ownEndpoint(db, caller, id);
      await updateEndpoint(db, id, caller.identity, facts);
    },
    get: (caller, id) => usableEndpoint(db, caller, id),
    list: (caller, any) => listEndpoints(db, caller.identity, any),
    async remove(caller, id) {
      await ownEndpoint(db, caller, id);
      await deleteEndpoint(db, id, caller.identity);
      await dispatcher.keysChanged(id);
    },
    async makeCode(caller, id) {
      await ownEndpoint(db, caller, id);
      const registration_code = `pwreg-${chance.bytes(16).toString('hex')}`;
      const expires_at = new Date(clock.now() + CODE_LIFETIME_MS);
      await setRegistrationCode(db, id, sha256(registration_code), expires_at);
      return { endpoint_id: id, registration_code, expires_at };
    },
    async register(code, curvePublicKey) {
      if (!Z85_KEY.test(curvePublicKey)) {
        throw new Fault(
          'invalid_request',
          'curve_public_key must be a CURVE public key in z85, 40 characters.',
        );
      }
      const secret = chance.bytes(32).toString('hex');
      const agent = { curve_key: curvePublicKey, secret_hash: sha256(secret) };
      const endpoint_id = await redeemCode(db, sha256(code), new Date(clock.now()), agent);
      if (endpoint_id === undefined) {
        throw new Fault(
          'registration_code_invalid',
          'This registration code is unknown, used or older than ten minutes.',
          {
            remedy: 'Ask for a new one: pilotwave endpoint configure NAME',
          },
        );
      }
      await dispatcher.keysChanged();
      return { endpoint_id, link: dispatcher.link, secret };
    },
  };
}
