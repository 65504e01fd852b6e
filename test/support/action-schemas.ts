// The schemas of the ActionProvider API, to check answers with: written down here, and those of the published
// OpenAPI document as well where it lies beside the checkout (PILOTWAVE_SHARED) and Python can read YAML.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { Ajv, type ValidateFunction } from 'ajv';

const UUID = '[a-fA-F0-9]{8}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{4}-[a-fA-F0-9]{12}';
const URN = `urn:globus:(auth:identity|groups:id):${UUID}`;
const PRINCIPALS = { type: 'array', uniqueItems: true, items: { type: 'string', pattern: `^${URN}$` } };
const DURATION = {
  type: 'string',
  pattern:
    '^P(?!$)(\\d+(?:\\.\\d+)?Y)?(\\d+(?:\\.\\d+)?M)?(\\d+(?:\\.\\d+)?W)?(\\d+(?:\\.\\d+)?D)?(T(?=\\d)(\\d+(?:\\.\\d+)?H)?(\\d+(?:\\.\\d+)?M)?(\\d+(?:\\.\\d+)?S)?)?$',
};
/** Stricter than the published one: `Z` and other fraction lengths break clients on older Pythons. */
const TIME = {
  type: 'string',
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.(\\d{3}|\\d{6})\\+00:00$',
};
const SHORT = { type: 'string', minLength: 1, maxLength: 64 };

const ACTION_STATUS = {
  type: 'object',
  required: ['action_id', 'status', 'details', 'creator_id', 'start_time', 'release_after', 'display_status'],
  additionalProperties: false,
  properties: {
    action_id: { type: 'string', minLength: 1 },
    status: { enum: ['SUCCEEDED', 'FAILED', 'ACTIVE', 'INACTIVE'] },
    creator_id: { type: 'string', pattern: `^${URN}$` },
    label: SHORT,
    monitor_by: PRINCIPALS,
    manage_by: PRINCIPALS,
    start_time: TIME,
    completion_time: TIME,
    release_after: DURATION,
    display_status: SHORT,
    details: { type: 'object' },
  },
  if: { properties: { status: { enum: ['FAILED', 'INACTIVE'] } } },
  then: {
    properties: {
      details: {
        required: ['code', 'description'],
        properties: { code: { type: 'string' }, description: { type: 'string' } },
      },
    },
  },
};

const PROVIDER = {
  type: 'object',
  required: [
    'types',
    'api_version',
    'title',
    'synchronous',
    'log_supported',
    'runnable_by',
    'globus_auth_scope',
    'admin_contact',
    'input_schema',
  ],
  properties: {
    types: { type: 'array', items: { enum: ['Action', 'Event'] } },
    api_version: { enum: ['1.0'] },
    globus_auth_scope: { type: 'string', pattern: '^(https://|urn:)' },
    title: { type: 'string', minLength: 1, maxLength: 128 },
    subtitle: { type: 'string', minLength: 1, maxLength: 128 },
    description: { type: 'string', minLength: 1, maxLength: 4096 },
    keywords: { type: 'array', items: { type: 'string' } },
    visible_to: { type: 'array', items: { type: 'string', pattern: `^(${URN}|public)$` } },
    runnable_by: { type: 'array', items: { type: 'string', pattern: `^(${URN}|all_authenticated_users)$` } },
    administered_by: PRINCIPALS,
    admin_contact: { type: 'string' },
    synchronous: { type: 'boolean' },
    log_supported: { type: 'boolean' },
    maximum_deadline: DURATION,
    input_schema: { type: 'object' },
  },
};

const LOG_PAGE = {
  type: 'object',
  required: ['limit', 'has_next_page', 'entries'],
  properties: {
    limit: { type: 'integer' },
    has_next_page: { type: 'boolean' },
    marker: { type: 'string' },
    entries: {
      type: 'array',
      items: {
        type: 'object',
        required: ['time', 'code', 'description'],
        properties: { time: TIME, code: SHORT, description: { type: 'string' }, details: { type: 'object' } },
      },
    },
  },
};

const ERROR = {
  type: 'object',
  required: ['code', 'description'],
  properties: { code: { type: 'string' }, description: { type: 'string', minLength: 1 } },
};

const ajv = new Ajv({ strict: false });
ajv.addFormat('date-time', (text: string) => !Number.isNaN(Date.parse(text)));
ajv.addFormat('uri', (text: string) => URL.canParse(text));

/** The published document's schemas, or null when it is not there. */
function published(): { readonly status: ValidateFunction; readonly provider: ValidateFunction } | null {
  const shared = process.env.PILOTWAVE_SHARED ?? join('..', 'shared');
  const path = join(shared, 'corpus/flows/globus__action-provider-tools/actions_spec.openapi.yaml');
  if (!existsSync(path)) return null;
  const script = 'import json,sys,yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)';
  const { status, stdout } = spawnSync('python3', ['-c', script, path], { encoding: 'utf8' });
  if (status !== 0) return null;
  const { components } = JSON.parse(stdout) as { components: object };
  ajv.addSchema({ $id: 'published', components });
  const compile = (name: string): ValidateFunction =>
    ajv.compile({ $ref: `published#/components/schemas/${name}` });
  return { status: compile('ActionStatus'), provider: compile('ProviderDescription') };
}

const PUBLISHED = published();

function checker(schema: object, also?: ValidateFunction): (document: unknown) => void {
  const validators = [ajv.compile(schema), ...(also === undefined ? [] : [also])];
  return (document) => {
    for (const valid of validators) {
      assert.ok(valid(document), `${ajv.errorsText(valid.errors)} in ${JSON.stringify(document)}`);
    }
  };
}

export const checkActionStatus = checker(ACTION_STATUS, PUBLISHED?.status);
export const checkProvider = checker(PROVIDER, PUBLISHED?.provider);
export const checkLogPage = checker(LOG_PAGE);
export const checkError = checker(ERROR);
/** Whether the published document was found. */
export const publishedFound = PUBLISHED !== null;
