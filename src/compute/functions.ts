// Functions as callers see them: registered once, immutable, run by id.
import type { Chance } from '../clock.ts';
import type { Db } from '../db/connect.ts';
import { deleteFunction, insertFunction, listFunctions, type FunctionRow } from '../db/functions.ts';
import { Fault } from '../errors.ts';
import { usableFunction, type Caller } from './access.ts';

/** Bytes of one function's code at most. */
const FUNCTION_BYTES = 5 * 1024 * 1024;

export interface NewFunction {
  readonly name: string;
  readonly code: string;
  readonly description: string | null;
  readonly meta: Readonly<Record<string, string>>;
  readonly public: boolean;
  readonly group_id: string | null;
}

export interface FunctionService {
  register(caller: Caller, request: NewFunction): Promise<string>;
  get(caller: Caller, id: string): Promise<FunctionRow>;
  list(caller: Caller, name: string | undefined, limit: number): Promise<FunctionRow[]>;
  remove(caller: Caller, id: string): Promise<void>;
}

export function makeFunctionService(deps: { readonly db: Db; readonly chance: Chance }): FunctionService {
  const { db, chance } = deps;
  return {
    async register(caller, request) {
      const bytes = Buffer.byteLength(request.code);
      if (bytes > FUNCTION_BYTES) {
        throw new Fault(
          'function_too_large',
          `The submitted function is ${bytes} bytes, which exceeds ${FUNCTION_BYTES}.`,
          {
            args: [bytes, FUNCTION_BYTES],
          },
        );
      }
      const id = chance.uuid();
      await insertFunction(db, { id, owner: caller.identity, ...request });
      return id;
    },
    get: (caller, id) => usableFunction(db, caller, id),
    list: (caller, name, limit) => listFunctions(db, caller.identity, name, limit),
    async remove(caller, id) {
      const row = await usableFunction(db, caller, id);
      if (row.owner !== caller.identity) {
        throw new Fault('forbidden', `Unauthorized access to function ${id}`, { args: [id] });
      }
      await deleteFunction(db, id, caller.identity);
    },
  };
}
