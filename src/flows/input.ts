// Checks a run's input against its flow's input_schema. Both come from users, so the check is bounded: patterns are
// matched in linear time, and a schema whose references multiply is stopped.
import {
  SchemaError,
  Validator,
  ValidatorResult,
  type Options,
  type Schema,
  type SchemaContext,
  type ValidationError,
} from 'jsonschema';
import { Fault, messageOf, type FaultItem } from '../errors.ts';
import type { JsonObject } from '../providers/contract.ts';
import { measure } from './measure.ts';
import { isObject } from './paths.ts';
import { compilePattern, PatternError, type Pattern } from './patterns.ts';
import { STATE_BYTES } from './run.ts';

/** Schemas visited while one input is checked. */
const MOST_VISITS = 50_000;
/** Places of patterns times characters of texts, in all. */
const MOST_PATTERN_WORK = 20_000_000;
const MOST_PROBLEMS = 20;
const MOST_COMPILED = 500;
/** Longer texts are not tried against the library's format patterns. */
const LONGEST_FORMATTED = 2_000;

const compiled = new Map<string, Pattern>();

function patternOf(source: string): Pattern {
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const pattern = compilePattern(source);
  if (compiled.size >= MOST_COMPILED) compiled.clear();
  compiled.set(source, pattern);
  return pattern;
}

class TooMuch extends Error {}

/** What the library's own types leave out: the method every nested check goes through. */
interface OpenValidator extends Validator {
  validateSchema(
    instance: unknown,
    schema: Schema,
    options: Options,
    context: SchemaContext,
  ): ValidatorResult;
}

interface OpenResult extends ValidatorResult {
  importErrors(other: ValidatorResult): void;
}

/** A check of one keyword: null or nothing when the value fits, else what is wrong. */
type Check = (
  instance: unknown,
  schema: Schema,
  options: Options,
  context: SchemaContext,
) => string | null | ValidatorResult;

/** Matches patterns for one input, up to a bound of work in all. */
function makeMatcher(): (source: string, text: string) => boolean {
  let left = MOST_PATTERN_WORK;
  return (source, text) => {
    const pattern = patternOf(source);
    left -= pattern.work(text);
    if (left < 0) throw new TooMuch('its patterns are too much work on this input');
    return pattern.matches(text);
  };
}

/** Patterns of property names, in linear time; and, as the library has it, additionalProperties beside them. */
function namesCheck(validator: OpenValidator, matches: (source: string, text: string) => boolean): Check {
  return (instance, schema, options, context) => {
    if (!isObject(instance)) return null;
    const result = new ValidatorResult(instance, schema, options, context) as OpenResult;
    for (const [name, value] of Object.entries(instance)) {
      const fitting = Object.entries(schema.patternProperties ?? {}).filter(([source]) =>
        matches(source, name),
      );
      const schemas = fitting.map(([, inner]) => inner);
      const isOther = fitting.length === 0 && schema.properties?.[name] === undefined;
      if (isOther && schema.additionalProperties === false) {
        result.addError(`is not allowed to have the additional property ${JSON.stringify(name)}`);
      } else if (isOther && isObject(schema.additionalProperties)) schemas.push(schema.additionalProperties);
      for (const inner of schemas) {
        result.importErrors(validator.validateSchema(value, inner, options, context.makeChild(inner, name)));
      }
    }
    return result;
  };
}

const uniqueItems: Check = (instance, schema) => {
  if (!Array.isArray(instance) || schema.uniqueItems !== true) return null;
  const texts = new Set(instance.map((item) => JSON.stringify(item)));
  return texts.size === instance.length ? null : 'contains duplicate item';
};

/** A validator whose work on one input is bounded. */
function boundedValidator(): Validator {
  const validator = new Validator() as OpenValidator;
  const matches = makeMatcher();
  let visits = 0;
  const visit = validator.validateSchema.bind(validator);
  validator.validateSchema = (instance, schema, options, context) => {
    visits += 1;
    if (visits > MOST_VISITS) throw new TooMuch('it does not come to an end on this input');
    return visit(instance, schema, options, context);
  };
  const format = validator.attributes['format'] as Check;
  const checks: Record<string, Check> = {
    uniqueItems,
    pattern: (instance, { pattern }) => {
      if (typeof instance !== 'string' || typeof pattern !== 'string') return null;
      return matches(pattern, instance) ? null : `does not match pattern ${JSON.stringify(pattern)}`;
    },
    patternProperties: namesCheck(validator, matches),
    format: (instance, schema, options, context) =>
      typeof instance === 'string' && instance.length > LONGEST_FORMATTED
        ? `is too long to be of format ${schema.format}`
        : format.call(validator, instance, schema, options, context),
  };
  // The library takes null for "fits"; its types do not say so.
  Object.assign(validator.attributes, checks as unknown as Validator['attributes']);
  return validator;
}

/** `$.a[0].b` as the Flows service names a place. */
function placeOf(error: ValidationError): string {
  return error.path.reduce<string>(
    (text, step) => (typeof step === 'number' ? `${text}[${step}]` : `${text}.${step}`),
    '$',
  );
}

function inputFault(items: readonly FaultItem[]): Fault {
  const message = `Input failed schema validation with ${items.length} error${items.length === 1 ? '' : 's'}.`;
  return new Fault('flow_input_invalid', message, { items });
}

function problem(place: string, msg: string): FaultItem {
  return { loc: [place], msg, type: 'InvalidActionInput' };
}

/** Throws Fault flow_input_invalid, naming each place of the input that does not fit. */
export function checkInput(input: JsonObject, schema: JsonObject): void {
  const bytes = measure(input);
  if (bytes === null || bytes > STATE_BYTES) {
    throw inputFault([
      problem('$', `the input of a run may have ${STATE_BYTES / 1024} KB and must not nest too deep`),
    ]);
  }
  if (Object.keys(schema).length === 0) return;
  try {
    const { errors } = boundedValidator().validate(input, schema);
    if (errors.length > 0)
      throw inputFault(errors.slice(0, MOST_PROBLEMS).map((error) => problem(placeOf(error), error.message)));
  } catch (error) {
    if (error instanceof Fault) throw error;
    if (
      error instanceof PatternError ||
      error instanceof TooMuch ||
      error instanceof SchemaError ||
      error instanceof RangeError
    ) {
      throw inputFault([problem('$', `the flow's input schema cannot be applied: ${messageOf(error)}`)]);
    }
    throw error;
  }
}

function patternProblems(value: unknown, loc: readonly (string | number)[], found: FaultItem[]): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) patternProblems(item, [...loc, index], found);
  } else if (isObject(value)) {
    for (const [key, member] of Object.entries(value)) {
      const here = [...loc, key];
      if (key === 'pattern' && typeof member === 'string') {
        try {
          compilePattern(member);
        } catch (error) {
          found.push({ loc: here, msg: messageOf(error), type: 'value_error' });
        }
      } else if (key === 'patternProperties' && isObject(member)) {
        for (const source of Object.keys(member))
          patternProblems({ pattern: source }, [...here, source], found);
        patternProblems(Object.values(member), here, found);
      } else patternProblems(member, here, found);
    }
  }
}

/** What is wrong with an input schema as such. */
export function checkInputSchema(schema: JsonObject): readonly FaultItem[] {
  const loc = ['input_schema'];
  const found: FaultItem[] = [];
  if ((measure(schema) ?? Infinity) > STATE_BYTES)
    return [{ loc, msg: `a schema may have ${STATE_BYTES / 1024} KB`, type: 'value_error' }];
  try {
    patternProblems(schema, loc, found);
    const validator = boundedValidator();
    validator.addSchema(schema, '/');
    for (const reference of validator.unresolvedRefs) {
      found.push({ loc, msg: `$ref ${String(reference)} leads nowhere`, type: 'value_error' });
    }
    validator.validate({}, schema);
  } catch (error) {
    found.push({ loc, msg: `is not a usable JSON Schema: ${messageOf(error)}`, type: 'value_error' });
  }
  return found;
}
