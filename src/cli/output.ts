// What a command shows: data on standard output, as a table or as JSON; the rest on standard error.
import pc from 'picocolors';
import type { Told } from './explain.ts';
import type { Io } from './io.ts';
import { renderFields, renderTable, type Column } from './render/table.ts';
import { plain, plainLines } from './render/text.ts';
import { ago, stamp } from './render/time.ts';

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Absolute times, in UTC. */
  readonly utc: boolean;
}

export type Colors = ReturnType<typeof pc.createColors>;
export type Field = readonly [name: string, value: string | number | boolean | null | undefined];

export interface Output {
  readonly json: boolean;
  readonly colors: Colors;
  /** A document: JSON, or its fields. */
  readonly document: (value: unknown, fields: readonly Field[]) => void;
  /** A list: JSON, or a table; `none` is said when it is empty. */
  readonly list: <Row>(rows: readonly Row[], columns: readonly Column<Row>[], none: string) => void;
  /** Data as it is: JSON, or the text followed by a line end when it has none. */
  readonly value: (value: unknown, text: string) => void;
  /** Text for standard output, as it is. */
  readonly raw: (text: string) => void;
  /** Progress. */
  readonly say: (text: string) => void;
  /** The next useful command. */
  readonly next: (command: string) => void;
  readonly warn: (text: string) => void;
  /** A time in a table: how long ago, or absolute with --utc. Takes RFC 3339. */
  readonly when: (time: string | null | undefined) => string;
  /** A time in a line that stays: absolute. */
  readonly at: (time: string | null | undefined) => string;
  /** A time in a document: absolute and how long ago. */
  readonly exactly: (time: string | null | undefined) => string | null;
  readonly status: (status: string) => string;
  readonly now: () => number;
}

const GOOD = new Set(['success', 'SUCCEEDED', 'online', 'ok', 'active', 'fired']);
const BAD = new Set(['failed', 'FAILED', 'offline', 'fail', 'revoked', 'expired', 'error']);
const BUSY = new Set(['running', 'ACTIVE']);

function wantsColor(io: Io, is_tty: boolean): boolean {
  return is_tty && (io.env['NO_COLOR'] ?? '') === '' && io.env['TERM'] !== 'dumb';
}

/** Seconds precision is enough for people; servers from elsewhere may write a space for the T. */
function millis(time: string): number | null {
  const at = Date.parse(time.replace(' ', 'T'));
  return Number.isNaN(at) ? null : at;
}

function paintStatus(colors: Colors, status: string): string {
  if (GOOD.has(status)) return colors.green(status);
  if (BAD.has(status)) return colors.red(status);
  return BUSY.has(status) ? colors.cyan(status) : colors.yellow(status);
}

export function makeOutput(io: Io, options: OutputOptions): Output {
  const colors = pc.createColors(wantsColor(io, io.out_is_tty));
  const side = pc.createColors(wantsColor(io, io.err_is_tty));
  const printJson = (value: unknown): void => io.out(`${JSON.stringify(value, null, 2)}\n`);
  return {
    json: options.json,
    colors,
    document(value, fields) {
      if (options.json) printJson(value);
      else io.out(renderFields(fields, (text) => colors.dim(text)));
    },
    list(rows, columns, none) {
      if (options.json) printJson(rows);
      else if (rows.length > 0)
        io.out(renderTable(columns, rows, { width: io.columns, paintTitle: (text) => colors.dim(text) }));
      else if (!options.quiet) io.err(`${none}\n`);
    },
    value(value, text) {
      if (options.json) printJson(value);
      else io.out(text.endsWith('\n') ? text : `${text}\n`);
    },
    raw: (text) => io.out(text),
    say(text) {
      if (!options.quiet) io.err(`${plainLines(text)}\n`);
    },
    next(command) {
      if (!options.quiet && !options.json) io.err(side.dim(`next: ${plain(command)}\n`));
    },
    warn: (text) => io.err(`${side.yellow('warning:')} ${plainLines(text)}\n`),
    when(time) {
      const at = typeof time === 'string' ? millis(time) : null;
      if (at === null) return '';
      return options.utc ? stamp(at, true) : ago(at, io.now());
    },
    at(time) {
      const at = typeof time === 'string' ? millis(time) : null;
      return at === null ? '' : stamp(at, options.utc);
    },
    exactly(time) {
      const at = typeof time === 'string' ? millis(time) : null;
      return at === null ? null : `${stamp(at, options.utc)} (${ago(at, io.now())})`;
    },
    status: (status) => paintStatus(colors, status),
    now: io.now,
  };
}

/** Tells an error: as lines for people, or as one line of JSON; always on standard error. */
export function tellError(io: Io, told: Told, json: boolean): void {
  if (json) {
    const { exit, what, items, ...rest } = told;
    io.err(
      `${JSON.stringify({ error: { message: what, exit, ...rest, ...(items.length > 0 ? { items } : {}) } })}\n`,
    );
    return;
  }
  const colors = pc.createColors(wantsColor(io, io.err_is_tty));
  const line = (name: string, text: string | undefined): string =>
    text === undefined
      ? ''
      : `  ${colors.dim(`${name}:`.padEnd(7))}${plainLines(text).replaceAll('\n', '\n         ')}\n`;
  io.err(
    `${colors.red('error:')} ${plainLines(told.what)}\n` +
      told.items.map((item) => `  - ${plain(item)}\n`).join('') +
      line('why', told.why) +
      line('where', told.where) +
      line('whose', told.whose) +
      line('do', told.remedy),
  );
}
