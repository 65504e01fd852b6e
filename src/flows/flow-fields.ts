// Checks what an author gives for a flow, and a starter for a run (reference: Flows API sections 4.1 and 5).
import { Fault } from '../errors.ts';
import type { FlowFields } from '../db/flows.ts';
import type { JsonObject } from '../providers/contract.ts';
import { identityOfUrn } from '../ids.ts';
import { checkInputSchema } from './input.ts';
import { parseFlow, problemsMessage, type Flow } from './language.ts';
import { measure } from './measure.ts';
import { describe, isObject } from './paths.ts';
import { makeProblems, type Problems } from './reader.ts';

/** What may be changed of a flow. */
export type FlowChanges = Partial<Omit<FlowFields, 'id' | 'creator'>>;

const PRINCIPAL =
  /^urn:globus:(auth:identity|groups:id):[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const UUID = /^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$/;
const MOST_PRINCIPALS = 16;
const KEYWORD_CHARACTERS = 1_024;
const DEFINITION_BYTES = 512 * 1024;

type Raw = Readonly<Record<string, unknown>>;

function flag(
  problems: Problems,
  loc: readonly (string | number)[],
  msg: string,
  type = 'value_error',
): void {
  problems.add({ loc, msg, type });
}

/** Throws Fault invalid_request when there are problems. */
function settle({ items }: Problems): void {
  if (items.length > 0) throw new Fault('invalid_request', problemsMessage(items), { items });
}

function readText(raw: Raw, name: string, max: number, min: number, problems: Problems): string | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') flag(problems, [name], 'str type expected', 'type_error.str');
  // Control characters break terminals and cannot be stored.
  else if (/[\p{Cc}]/u.test(value.replace(/[\n\r\t]/g, '')))
    flag(problems, [name], 'must not contain control characters');
  else if (value.length < min)
    flag(
      problems,
      [name],
      `ensure this value has at least ${min} characters`,
      'value_error.any_str.min_length',
    );
  else if (value.length > max)
    flag(
      problems,
      [name],
      `ensure this value has at most ${max} characters`,
      'value_error.any_str.max_length',
    );
  else return value;
  return undefined;
}

function readTexts(raw: Raw, name: string, problems: Problems): readonly string[] | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value) && value.every((item) => typeof item === 'string' && !/\p{Cc}/u.test(item)))
    return value as string[];
  flag(problems, [name], 'must be an array of strings', 'type_error.list');
  return undefined;
}

/** A list of principals, in lower case, each once. `word`: what stands for everybody in this list. */
function readPrincipals(
  raw: Raw,
  name: string,
  problems: Problems,
  word?: string,
): readonly string[] | undefined {
  const texts = readTexts(raw, name, problems);
  if (texts === undefined) return undefined;
  const names = texts.map((text) => text.trim().toLowerCase());
  if (names.length > MOST_PRINCIPALS)
    flag(problems, [name], `at most ${MOST_PRINCIPALS} principals may be given`);
  if (new Set(names).size < names.length) flag(problems, [name], 'each principal may be given once');
  for (const [index, text] of names.entries()) {
    if (text === word || PRINCIPAL.test(text)) continue;
    const everybody = word === undefined ? '' : `, or "${word}"`;
    flag(
      problems,
      [name, index],
      `must be urn:globus:auth:identity:<uuid> or urn:globus:groups:id:<uuid>${everybody}`,
    );
  }
  return names;
}

function readUuid(raw: Raw, name: string, problems: Problems): string | null | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return value;
  if (name === 'subscription_id' && value === 'DEFAULT') return null;
  if (typeof value === 'string' && UUID.test(value)) return value.toLowerCase();
  flag(problems, [name], 'value is not a valid uuid', 'type_error.uuid');
  return undefined;
}

function readOwner(raw: Raw, problems: Problems): string | undefined {
  const value = raw['flow_owner'];
  if (value === undefined || value === null) return undefined;
  const identity = typeof value === 'string' ? identityOfUrn(value.toLowerCase()) : null;
  if (identity === null) flag(problems, ['flow_owner'], 'must be urn:globus:auth:identity:<uuid>');
  return identity ?? undefined;
}

function readObject(raw: Raw, name: string, problems: Problems): JsonObject | undefined {
  const value = raw[name];
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  flag(problems, [name], `must be an object, not ${describe(value)}`, 'type_error.dict');
  return undefined;
}

/** Checks a definition and, when given, its input schema. Throws Fault invalid_request with every problem. */
export function checkDefinition(
  definition: unknown,
  inputSchema: unknown,
): { flow: Flow; warnings: readonly string[] } {
  const problems = makeProblems();
  const bytes = measure(definition);
  if (bytes === null || bytes > DEFINITION_BYTES) {
    flag(problems, ['definition'], `a definition may have ${DEFINITION_BYTES / 1024} KB`);
    settle(problems);
  }
  const parsed = parseFlow(definition);
  if (!parsed.ok) parsed.items.forEach(problems.add);
  if (inputSchema !== undefined && inputSchema !== null) {
    if (!isObject(inputSchema))
      flag(problems, ['input_schema'], `must be an object, not ${describe(inputSchema)}`, 'type_error.dict');
    else checkInputSchema(inputSchema).forEach(problems.add);
  }
  settle(problems);
  if (!parsed.ok) throw new Error('a definition with problems has none');
  return { flow: parsed.flow, warnings: parsed.warnings };
}

/** The new values of what a request changes; names of the API's first version are taken too. */
function readFields(raw: Raw, problems: Problems): FlowChanges {
  const keywords = readTexts(raw, 'keywords', problems);
  if ((keywords ?? []).join('').length > KEYWORD_CHARACTERS) {
    flag(problems, ['keywords'], `all keywords together may have ${KEYWORD_CHARACTERS} characters`);
  }
  const viewers = raw['flow_viewers'] === undefined ? 'visible_to' : 'flow_viewers';
  const starters = raw['flow_starters'] === undefined ? 'runnable_by' : 'flow_starters';
  const administrators = raw['flow_administrators'] === undefined ? 'administered_by' : 'flow_administrators';
  return withoutUndefined({
    owner: readOwner(raw, problems),
    title: readText(raw, 'title', 128, 1, problems),
    subtitle: readText(raw, 'subtitle', 128, 0, problems),
    description: readText(raw, 'description', 4_096, 0, problems),
    keywords,
    viewers: readPrincipals(raw, viewers, problems, 'public'),
    starters: readPrincipals(raw, starters, problems, 'all_authenticated_users'),
    administrators: readPrincipals(raw, administrators, problems),
    run_managers: readPrincipals(raw, 'run_managers', problems),
    run_monitors: readPrincipals(raw, 'run_monitors', problems),
    subscription_id: readUuid(raw, 'subscription_id', problems),
    authentication_policy_id: readUuid(raw, 'authentication_policy_id', problems),
    definition: readObject(raw, 'definition', problems),
    input_schema: readObject(raw, 'input_schema', problems),
  });
}

function withoutUndefined(fields: Readonly<Record<string, unknown>>): FlowChanges {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A change of a flow. Throws Fault invalid_request with every problem. */
export function readFlowChanges(raw: Raw): FlowChanges {
  const problems = makeProblems();
  const changes = readFields(raw, problems);
  settle(problems);
  if (changes.definition !== undefined || changes.input_schema !== undefined) {
    checkDefinition(changes.definition ?? EMPTY_FLOW, changes.input_schema);
  }
  return changes;
}

/** Stands in where only the schema is checked. */
const EMPTY_FLOW = { StartAt: 'S', States: { S: { Type: 'Pass', End: true } } };

/** A new flow. Throws Fault invalid_request with every problem. */
export function readNewFlow(raw: Raw, id: string, creator: string): FlowFields {
  const problems = makeProblems();
  const { owner: _owner, ...fields } = readFields(raw, problems);
  if (raw['definition'] === undefined)
    flag(problems, ['definition'], 'field required', 'value_error.missing');
  if (raw['title'] === undefined) flag(problems, ['title'], 'field required', 'value_error.missing');
  settle(problems);
  checkDefinition(fields.definition, fields.input_schema);
  return {
    id,
    creator,
    owner: creator,
    title: '',
    subtitle: '',
    description: '',
    keywords: [],
    viewers: [],
    starters: [],
    administrators: [],
    run_managers: [],
    run_monitors: [],
    subscription_id: null,
    authentication_policy_id: null,
    definition: {},
    input_schema: {},
    ...fields,
  };
}

/** What may be changed of a run. */
export interface RunFields {
  readonly label: string;
  readonly tags: readonly string[];
  readonly run_managers: readonly string[];
  readonly run_monitors: readonly string[];
}

const LABEL_CHARACTERS = 256;
const MOST_TAGS = 64;

function readRunFields(raw: Raw, problems: Problems): Partial<RunFields> {
  const tags = readTexts(raw, 'tags', problems)?.map((tag) => tag.trim().replace(/\s+/g, ' '));
  if ((tags ?? []).length > MOST_TAGS || (tags ?? []).some((tag) => tag.length > LABEL_CHARACTERS)) {
    flag(problems, ['tags'], `at most ${MOST_TAGS} tags of ${LABEL_CHARACTERS} characters may be given`);
  }
  const managers = raw['run_managers'] === undefined ? 'manage_by' : 'run_managers';
  const monitors = raw['run_monitors'] === undefined ? 'monitor_by' : 'run_monitors';
  const fields = {
    label: readText(raw, 'label', LABEL_CHARACTERS, 0, problems),
    tags,
    run_managers: readPrincipals(raw, managers, problems),
    run_monitors: readPrincipals(raw, monitors, problems),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

export function readRunChanges(raw: Raw): Partial<RunFields> {
  const problems = makeProblems();
  const fields = readRunFields(raw, problems);
  settle(problems);
  return fields;
}

export interface RunRequest extends RunFields {
  readonly body: JsonObject;
  readonly request_id: string | null;
}

/** A request to start a run. Throws Fault invalid_request with every problem. */
export function readRunRequest(given: object): RunRequest {
  const raw = given as Raw;
  const problems = makeProblems();
  const fields = readRunFields(raw, problems);
  const body = readObject(raw, 'body', problems);
  if (body === undefined && problems.items.length === 0)
    flag(problems, ['body'], 'field required', 'value_error.missing');
  const request_id = readText(raw, 'request_id', 256, 1, problems) ?? null;
  settle(problems);
  return { label: '', tags: [], run_managers: [], run_monitors: [], ...fields, body: body ?? {}, request_id };
}
