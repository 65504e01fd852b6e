// File watch: an event for each file that has arrived in a folder and is complete. A scanner finds the files;
// notifications of the system only make it look earlier (src/triggers/files/).
import { createHash } from 'node:crypto';
import { isAbsolute, join, normalize, posix } from 'node:path';
import { Fault } from '../../errors.ts';
import type { JsonObject } from '../../providers/contract.ts';
import { pathOf, type FilePlace } from '../files/book.ts';
import type { Track } from '../files/settle.ts';
import { watchFiles, type FileWatch } from '../files/source.ts';
import { makeGlob } from '../glob.ts';
import type { CloudEvent, SourceContext, TriggerKind } from '../ports.ts';

/** Names that writers give to files which are not finished. */
export const DEFAULT_IGNORE: readonly string[] = [
  '.*',
  '*~',
  '*.part',
  '*.partial',
  '*.tmp',
  '*.filepart',
  '*.crdownload',
  '*downloading',
  '.nfs*',
  '.~lock*',
  '*.swp',
];

const SETTLED = 'org.lab.file.settled.v1';
const APPEARED = 'org.lab.file.appeared.v1';

const globs: JsonObject = {
  anyOf: [
    { type: 'string', minLength: 1, maxLength: 256 },
    {
      type: 'array',
      minItems: 1,
      maxItems: 64,
      items: { type: 'string', minLength: 1, maxLength: 256 },
    },
  ],
};

const config: JsonObject = {
  type: 'object',
  additionalProperties: false,
  required: ['dir'],
  properties: {
    dir: { type: 'string', minLength: 1, maxLength: 4096, description: 'Absolute path of the folder.' },
    pattern: { ...globs, description: 'Which files: glob or globs on the path below the folder.' },
    recursive: { type: 'boolean', description: 'Also in folders below. Default false.' },
    settle_s: {
      type: 'number',
      minimum: 0,
      maximum: 86400,
      description: 'How long a file must stay unchanged. Default 2.',
    },
    checks: { type: 'integer', minimum: 1, maximum: 100, description: 'Looks that must agree. Default 2.' },
    poll_s: {
      type: 'number',
      minimum: 0.1,
      maximum: 3600,
      description: 'Time between two scans. Default 10.',
    },
    min_size: { type: 'integer', minimum: 0, description: 'Bytes a file must have. Default 0.' },
    ignore: {
      type: 'array',
      maxItems: 64,
      items: { type: 'string', minLength: 1, maxLength: 256 },
      description: 'Globs on names that are not finished or not wanted; replaces the default list.',
    },
    rename_is_complete: {
      type: 'boolean',
      description:
        'A file renamed from an ignored name in the same folder is complete at once. Default true.',
    },
    on_change: {
      enum: ['fire', 'ignore'],
      description: 'What a later change of the same path means: a new event (default), or nothing.',
    },
    existing: {
      enum: ['fire', 'skip'],
      description: 'Files that are there before the trigger: fire (default) or skip.',
    },
    sentinel: {
      type: 'object',
      additionalProperties: false,
      description: 'A file that must exist too: <file><suffix>, or this name in the same folder.',
      minProperties: 1,
      maxProperties: 1,
      properties: {
        suffix: { type: 'string', minLength: 1, maxLength: 64 },
        name: { type: 'string', minLength: 1, maxLength: 255 },
      },
    },
  },
};

interface FileConfig {
  readonly dir: string;
  readonly pattern?: string | readonly string[];
  readonly recursive?: boolean;
  readonly settle_s?: number;
  readonly checks?: number;
  readonly poll_s?: number;
  readonly min_size?: number;
  readonly ignore?: readonly string[];
  readonly rename_is_complete?: boolean;
  readonly on_change?: 'fire' | 'ignore';
  readonly existing?: 'fire' | 'skip';
  readonly sentinel?: { readonly suffix?: string; readonly name?: string };
}

function patternsOf(config: FileConfig): readonly string[] {
  const { pattern } = config;
  if (pattern === undefined) return ['*'];
  return typeof pattern === 'string' ? [pattern] : pattern;
}

function check(raw: JsonObject): void {
  const config = raw as unknown as FileConfig;
  const dir = config.dir;
  if (!isAbsolute(dir) || dir.includes('\0') || dir.split('/').includes('..')) {
    throw new Fault('invalid_request', `The folder ${JSON.stringify(dir)} is not an absolute path.`, {
      remedy: 'Give the whole path, beginning with / and without .. in it.',
    });
  }
  for (const part of [config.sentinel?.suffix, config.sentinel?.name]) {
    if (part?.includes('/') === true || part?.includes('\0') === true || part === '..')
      throw new Fault('invalid_request', 'A sentinel is a file name in the same folder, without /.');
  }
  makeGlob(patternsOf(config));
  makeGlob(config.ignore ?? DEFAULT_IGNORE);
}

type Sentinel = Pick<FileWatch, 'sentinelOf'> & { readonly isSentinel: (path: string) => boolean };

function sentinelRules(config: FileConfig): Sentinel {
  const { suffix, name } = config.sentinel ?? {};
  if (suffix !== undefined)
    return { sentinelOf: (path) => path + suffix, isSentinel: (path) => path.endsWith(suffix) };
  if (name === undefined) return { sentinelOf: null, isSentinel: () => false };
  return {
    sentinelOf: (path) => posix.join(posix.dirname(path), name),
    isSentinel: (path) => posix.basename(path) === name,
  };
}

function toWatch(config: FileConfig, triggerId: string, now: () => number): FileWatch {
  const dir = normalize(config.dir);
  const pattern = makeGlob(patternsOf(config));
  const { sentinelOf, isSentinel } = sentinelRules(config);
  const once = config.on_change === 'ignore';
  // A path that fires once only is one fact whatever its content becomes, so its id is made of the path alone.
  const idOf = (place: FilePlace, track: Track): string => {
    const version = once ? [] : [track.inode, track.size, track.mtime_ns];
    return createHash('sha256')
      .update(JSON.stringify([triggerId, pathOf(place), ...version]))
      .digest('hex');
  };
  return {
    dir,
    recursive: config.recursive ?? false,
    wanted: (path) => pattern(path) && !isSentinel(path),
    ignored: makeGlob(config.ignore ?? DEFAULT_IGNORE),
    rules: {
      settle_ms: (config.settle_s ?? 2) * 1_000,
      checks: config.checks ?? 2,
      min_size: config.min_size ?? 0,
      on_change: config.on_change ?? 'fire',
    },
    poll_ms: (config.poll_s ?? 10) * 1_000,
    rename_is_complete: config.rename_is_complete ?? true,
    existing: config.existing ?? 'fire',
    sentinelOf,
    idOf,
    eventOf: (file, existed): CloudEvent => ({
      specversion: '1.0',
      id: idOf(file, file.track),
      source: `/triggers/${triggerId}`,
      type: existed ? APPEARED : SETTLED,
      subject: pathOf(file),
      time: new Date(now()).toISOString(),
      datacontenttype: 'application/json',
      data: {
        path: join(dir, pathOf(file)),
        name: file.name,
        dir: join(dir, file.folder),
        size: file.track.size,
        mtime_ns: file.track.mtime_ns,
        inode: file.track.inode,
        settled_for_s: Math.round(file.settled_for_s * 1_000) / 1_000,
      },
    }),
  };
}

export const file: TriggerKind = {
  kind: 'file',
  config,
  check,
  declines: (event) => (event.type === APPEARED ? 'The file was there before the trigger was made.' : null),
  run: (raw: JsonObject, context: SourceContext) =>
    watchFiles(toWatch(raw as unknown as FileConfig, context.trigger_id, context.now), context),
};
