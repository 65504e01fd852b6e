// `pilotwave flow`: check, store and start flow definitions.
import type { JsonObject } from '../../sdk/documents.ts';
import type { Cli } from '../cli.ts';
import type { Context } from '../context.ts';
import { usageError } from '../exit.ts';
import { flowId } from '../lookups.ts';
import { finishRun } from '../run-end.ts';
import {
  collectText,
  countOption,
  durationOption,
  isJsonObject,
  parseJson,
  readJsonObject,
  readText,
} from '../values.ts';

interface FlowFile {
  readonly definition: JsonObject;
  readonly input_schema: JsonObject | undefined;
  readonly title: string | undefined;
}

async function readObject(path: string): Promise<JsonObject> {
  const value = parseJson(await readText(path), path);
  if (isJsonObject(value)) return value;
  throw usageError(`${path} is not a JSON object.`);
}

/** A file holds a definition, or a flow document with `definition`, `input_schema` and `title` beside it. */
async function readFlow(path: string, schemaPath: string | undefined): Promise<FlowFile> {
  const document = await readObject(path);
  const { definition, input_schema, title } = document;
  const whole = definition !== undefined && isJsonObject(definition) && document['States'] === undefined;
  const schema = whole && input_schema !== undefined && isJsonObject(input_schema) ? input_schema : undefined;
  return {
    definition: whole ? definition : document,
    input_schema: schemaPath === undefined ? schema : await readObject(schemaPath),
    title: whole && typeof title === 'string' ? title : undefined,
  };
}

async function validate(context: Context, path: string, options: { schema?: string }): Promise<void> {
  const { definition, input_schema } = await readFlow(path, options.schema);
  const client = await context.client();
  const check = await client.flows.validate({
    definition,
    ...(input_schema === undefined ? {} : { input_schema }),
  });
  context.out.value(check, `${path} is a valid flow.`);
  context.out.next(`pilotwave flow create ${path} --title TITLE`);
}

interface CreateOptions {
  readonly title?: string;
  readonly schema?: string;
  readonly subtitle?: string;
  readonly description?: string;
  readonly keyword?: readonly string[];
}

async function create(context: Context, path: string, options: CreateOptions): Promise<void> {
  const file = await readFlow(path, options.schema);
  const title = options.title ?? file.title;
  if (title === undefined) throw usageError('The flow needs a title.', 'give one: --title TITLE');
  const client = await context.client();
  const flow = await client.flows.create({
    title,
    definition: file.definition,
    input_schema: file.input_schema ?? {},
    ...(options.subtitle === undefined ? {} : { subtitle: options.subtitle }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.keyword === undefined ? {} : { keywords: options.keyword }),
  });
  context.out.say(`Created the flow "${flow.title}".`);
  context.out.value(flow, flow.id);
  context.out.next(`pilotwave flow start ${flow.id} --input '{}' --wait`);
}

async function list(context: Context, options: { title?: string; limit: number }): Promise<void> {
  const { out } = context;
  const flows = await (await context.client()).flows.list(options);
  out.list(
    flows,
    [
      { title: 'id', value: (flow) => flow.id },
      { title: 'title', value: (flow) => flow.title, flexible: true },
      { title: 'changed', value: (flow) => out.when(flow.updated_at) },
      { title: 'states', value: (flow) => stateNames(flow.definition).length.toString() },
    ],
    'No flows yet: pilotwave flow create FILE.json --title TITLE',
  );
}

function stateNames(definition: JsonObject | null): readonly string[] {
  const states = definition?.['States'];
  return states !== undefined && isJsonObject(states) ? Object.keys(states) : [];
}

async function show(context: Context, text: string, options: { definition?: boolean }): Promise<void> {
  const { out } = context;
  const client = await context.client();
  const flow = await client.flows.get(await flowId(client, text));
  if (options.definition === true) {
    out.value(flow.definition, JSON.stringify(flow.definition, null, 2));
    return;
  }
  out.document(flow, [
    ['id', flow.id],
    ['title', flow.title],
    ['subtitle', flow.subtitle],
    ['description', flow.description],
    ['keywords', flow.keywords.join(', ')],
    ['owner', flow.flow_owner],
    ['states', stateNames(flow.definition).join(', ')],
    ['created', out.exactly(flow.created_at)],
    ['changed', out.exactly(flow.updated_at)],
  ]);
  out.next(`pilotwave flow show ${flow.id} --definition`);
}

interface StartOptions {
  readonly input: string;
  readonly label?: string;
  readonly tag?: readonly string[];
  readonly wait?: boolean;
  readonly timeout?: number;
}

async function start(context: Context, text: string, options: StartOptions): Promise<void> {
  const body = await readJsonObject(context.io, options.input, '--input');
  const client = await context.client();
  const run = await client.flows.start(await flowId(client, text), {
    body,
    ...(options.label === undefined ? {} : { label: options.label }),
    ...(options.tag === undefined ? {} : { tags: options.tag }),
  });
  if (options.wait === true) {
    context.out.say(`Started run ${run.run_id}.`);
    await finishRun(context, client, run.run_id, { timeout_s: options.timeout });
    return;
  }
  context.out.value(run, run.run_id);
  context.out.next(`pilotwave run watch ${run.run_id}`);
}

export function flowCommand(cli: Cli): void {
  const noun = cli.program.command('flow').description('flow definitions');
  noun
    .command('validate <file>')
    .description('check a definition without storing it')
    .option('--schema <file>', 'JSON Schema of its input')
    .action(cli.run(validate));
  noun
    .command('create <file>')
    .description('store a definition')
    .option('--title <title>', 'what it is called')
    .option('--schema <file>', 'JSON Schema of its input')
    .option('--subtitle <text>', 'one more line')
    .option('--description <text>', 'what it does')
    .option('--keyword <word>', 'to find it by; repeat for several', collectText)
    .action(cli.run(create));
  noun
    .command('list')
    .alias('ls')
    .description('flows, last changed first')
    .option('--title <text>', 'only with this in the title')
    .option('--limit <n>', 'at most so many', countOption, 100)
    .action(cli.run(list));
  noun
    .command('show <flow>')
    .description('one flow')
    .option('--definition', 'print its definition')
    .action(cli.run(show));
  noun
    .command('start <flow>')
    .description('start a run of it')
    .option('--input <json>', 'its input: a JSON object, or @file', '{}')
    .option('--label <text>', 'what the run is called')
    .option('--tag <tag>', 'to find it by; repeat for several', collectText)
    .option('--wait', 'wait until it has ended and print its output')
    .option('--timeout <duration>', 'wait at most so long; the run goes on', durationOption)
    .action(cli.run(start));
}
