// Who is calling: what every layer below the HTTP face knows of a caller.

export interface Principal {
  /** The identity's UUID (a token's `sub`). */
  readonly identity: string;
  /** `urn:globus:auth:identity:<identity>`. */
  readonly urn: string;
  readonly username: string;
  /** Scope strings of the token, as the official clients spell them. */
  readonly scopes: ReadonlySet<string>;
  /** Groups the caller belongs to, as `urn:globus:groups:id:<uuid>`. */
  readonly groups: readonly string[];
  /** The token's end, in seconds since 1970, and its id. */
  readonly expires_s: number;
  readonly token_id: string;
}

/** The names under which a list such as `monitor_by` may contain the caller. */
export function principalNames(caller: Principal): readonly string[] {
  return [caller.urn, ...caller.groups];
}

/** Is the caller in a list of principal names? `all_authenticated_users` and `public` contain everybody. */
export function isListed(caller: Principal, list: readonly string[]): boolean {
  if (list.includes('public') || list.includes('all_authenticated_users')) return true;
  return principalNames(caller).some((name) => list.includes(name));
}
