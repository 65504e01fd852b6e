// Checks the body of a request against its provider's input schema and says what is wrong in the toolkit's
// words: `Field '$.tasks[0].function_id' (category: 'required'): …`. The values sent are never repeated.
import { Validator, type ValidationError } from 'jsonschema';
import { Fault } from '../../errors.ts';
import type { JsonObject } from '../contract.ts';

/** Problems named in one answer. */
const MAX_PROBLEMS = 10;

/** A path as JSONPath: `$.tasks[0].args`. */
export function jsonPath(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return /^[A-Za-z_][A-Za-z0-9_]*$/.test(step) ? `${text}.${step}` : `${text}[${JSON.stringify(step)}]`;
  }, '$');
}

/** One problem of a body, for the checks that a schema cannot say. */
export function bodyFault(path: readonly (string | number)[], category: string, text: string): Fault {
  return new Fault('invalid_request', `Field '${jsonPath(path)}' (category: '${category}'): ${text}`);
}

function problem(error: ValidationError): string {
  // These two are about a member, not about the object that lacks or has it.
  const member = error.name === 'required' || error.name === 'additionalProperties';
  const path = member && typeof error.argument === 'string' ? [...error.path, error.argument] : error.path;
  const text = error.name === 'required' ? 'is missing' : error.message;
  return `Field '${jsonPath(path)}' (category: '${error.name}'): ${text}`;
}

/** Makes the check of one schema. It throws Fault invalid_request naming the first problems. */
export function bodyCheck(schema: JsonObject): (body: JsonObject) => void {
  const validator = new Validator();
  return (body) => {
    const { errors } = validator.validate(body, schema, { required: true });
    if (errors.length === 0) return;
    const texts = errors.slice(0, MAX_PROBLEMS).map(problem);
    if (errors.length > MAX_PROBLEMS) texts.push(`and ${errors.length - MAX_PROBLEMS} more`);
    throw new Fault('invalid_request', texts.join('; '));
  };
}
