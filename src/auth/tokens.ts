// Bearer tokens: JWTs signed with keys made at the first start, verified with jose, listed in the database so
// that they can be revoked. A verified token is remembered for at most 30 seconds.
import { createHash } from 'node:crypto';
import { SignJWT, exportJWK, generateKeyPair, importJWK, jwtVerify } from 'jose';
import type { CryptoKey, JWK } from 'jose';
import type { Chance, Clock } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import {
  ensureUser,
  findToken,
  firstSigningKey,
  insertSigningKey,
  insertToken,
  listTokens,
  revokeToken,
  type TokenRow,
} from '../db/identity.ts';
import { Fault } from '../errors.ts';
import { identityUrn, isUuid } from '../ids.ts';
import type { Principal } from './principal.ts';
import { USER_SCOPES } from './scopes.ts';

const ALGORITHM = 'RS256';
const ISSUER = 'pilotwave';
const REMEMBERED_MS = 30_000;
const REMEMBERED_TOKENS = 10_000;
/** Lifetimes in seconds: 30 days unless asked, a year at most. */
const DEFAULT_LIFETIME_S = 30 * 86_400;
const LONGEST_LIFETIME_S = 366 * 86_400;
const REVOKED_CHANNEL = 'token_revoked';

export interface IssuedToken {
  readonly id: string;
  readonly name: string;
  /** The secret; shown once, never stored. */
  readonly token: string;
  readonly scopes: readonly string[];
  readonly expires_at: Date;
}

export interface TokenAuthority {
  /** Verifies the value of an Authorization header. Throws Fault unauthenticated or invalid_token. */
  verifyHeader(header: string | undefined): Promise<Principal>;
  issue(request: {
    readonly username: string;
    readonly name: string;
    readonly scopes?: readonly string[];
    readonly lifetime_s?: number;
  }): Promise<IssuedToken>;
  list(userId: string | null): Promise<TokenRow[]>;
  /** Ends a token now, here and in every service sharing the database. Throws Fault token_not_found. */
  revoke(id: string, userId: string | null): Promise<void>;
}

interface Keys {
  readonly kid: string;
  readonly sign: CryptoKey;
  readonly verify: CryptoKey;
}

async function loadKeys(db: Db, chance: Chance): Promise<Keys> {
  if ((await firstSigningKey(db)) === undefined) {
    const pair = await generateKeyPair(ALGORITHM, { modulusLength: 2048, extractable: true });
    const kid = chance.uuid();
    await insertSigningKey(db, {
      kid,
      private_jwk: { ...(await exportJWK(pair.privateKey)) },
      public_jwk: { ...(await exportJWK(pair.publicKey)), kid, alg: ALGORITHM, use: 'sig' },
    });
  }
  const row = await firstSigningKey(db);
  if (row === undefined) throw new Error('the signing key vanished from the database');
  return {
    kid: row.kid,
    sign: (await importJWK(row.private_jwk as JWK, ALGORITHM)) as CryptoKey,
    verify: (await importJWK(row.public_jwk as JWK, ALGORITHM)) as CryptoKey,
  };
}

interface Remembered {
  readonly principal: Principal;
  readonly until_ms: number;
}

const INVALID = 'The token is expired, revoked or not one of ours.';

/** Opens the authority of this database, making its signing keys if it has none. */
export async function openTokenAuthority(deps: {
  db: Db;
  clock: Clock;
  chance: Chance;
}): Promise<TokenAuthority> {
  const { db, clock, chance } = deps;
  const keys = await loadKeys(db, chance);
  const remembered = new Map<string, Remembered>();
  const forget = (tokenId: string): void => {
    for (const [key, entry] of remembered) if (entry.principal.token_id === tokenId) remembered.delete(key);
  };
  await db.listen(REVOKED_CHANNEL, forget);

  const verify = async (token: string): Promise<Principal> => {
    const claims = await jwtVerify(token, keys.verify, {
      issuer: ISSUER,
      algorithms: [ALGORITHM],
      currentDate: new Date(clock.now()),
    }).catch((error: unknown) => {
      throw new Fault('invalid_token', INVALID, {
        cause: error,
        remedy: 'Make a new one: pilotwave token create',
      });
    });
    const { jti, exp } = claims.payload;
    const row = jti === undefined || !isUuid(jti) ? undefined : await findToken(db, jti);
    if (row === undefined || row.revoked_at !== null || exp === undefined) {
      throw new Fault('invalid_token', INVALID, { remedy: 'Make a new one: pilotwave token create' });
    }
    return {
      identity: row.user_id,
      urn: identityUrn(row.user_id),
      username: row.username,
      scopes: new Set(row.scopes),
      groups: row.groups,
      expires_s: exp,
      token_id: row.id,
    };
  };

  return {
    async verifyHeader(header) {
      const token = header?.startsWith('Bearer ') === true ? header.slice(7).trim() : '';
      if (token === '') {
        throw new Fault('unauthenticated', 'This route needs a bearer token.', {
          remedy: 'Send the header "Authorization: Bearer <token>".',
        });
      }
      const key = createHash('sha256').update(token).digest('base64');
      const now = clock.now();
      const known = remembered.get(key);
      if (known !== undefined && known.until_ms > now) return known.principal;
      const principal = await verify(token);
      if (remembered.size >= REMEMBERED_TOKENS) remembered.clear();
      remembered.set(key, { principal, until_ms: Math.min(now + REMEMBERED_MS, principal.expires_s * 1000) });
      return principal;
    },
    async issue(request) {
      const lifetime_s = Math.min(request.lifetime_s ?? DEFAULT_LIFETIME_S, LONGEST_LIFETIME_S);
      const scopes = request.scopes ?? USER_SCOPES;
      const id = chance.uuid();
      const issued_s = Math.floor(clock.now() / 1000);
      const expires_at = new Date((issued_s + lifetime_s) * 1000);
      const user = await ensureUser(db, chance.uuid(), request.username);
      await insertToken(db, { id, user_id: user.id, name: request.name, scopes, expires_at });
      const token = await new SignJWT({ scope: scopes.join(' ') })
        .setProtectedHeader({ alg: ALGORITHM, kid: keys.kid })
        .setIssuer(ISSUER)
        .setSubject(user.id)
        .setJti(id)
        .setIssuedAt(issued_s)
        .setExpirationTime(issued_s + lifetime_s)
        .sign(keys.sign);
      return { id, name: request.name, token, scopes, expires_at };
    },
    list: (userId) => listTokens(db, userId),
    async revoke(id, userId) {
      if (!isUuid(id) || !(await revokeToken(db, id, userId))) {
        throw new Fault('token_not_found', `No token with id ${id.slice(0, 80)}.`);
      }
      forget(id);
      await db.notify(REVOKED_CHANNEL, id);
    },
  };
}
