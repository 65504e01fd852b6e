// Rows and fields for people: aligned columns without frames, cut to the terminal's width when there is one.
import Table from 'cli-table3';
import { plain, shorten } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  /** Colours a cell; gets its text as shown. */
  readonly paint?: ((text: string, row: Row) => string) | undefined;
  /** Gives way when the terminal is too narrow. */
  readonly flexible?: boolean;
}

export interface TableStyle {
  /** Characters in a line; null for no limit. */
  readonly width: number | null;
  readonly paintTitle: (text: string) => string;
}

const NO_FRAME = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
};

const GAP = 2;
const NARROWEST = 8;

function widths(titles: readonly string[], cells: readonly (readonly string[])[]): number[] {
  return titles.map((title, at) =>
    Math.max(title.length, ...cells.map((row) => Array.from(row[at] ?? '').length)),
  );
}

/** How wide each flexible column may be so that all fit. */
function flexibleWidth(
  natural: readonly number[],
  flexible: readonly boolean[],
  width: number | null,
): number {
  const count = flexible.filter(Boolean).length;
  if (width === null || count === 0) return Infinity;
  const fixed = natural.reduce((sum, one, at) => sum + (flexible[at] === true ? 0 : one), 0);
  return Math.max(NARROWEST, Math.floor((width - fixed - GAP * (natural.length - 1)) / count));
}

/** A table as text, with a line end after each line. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  style: TableStyle,
): string {
  const titles = columns.map((column) => column.title.toUpperCase());
  const cells = rows.map((row) => columns.map((column) => plain(column.value(row))));
  const widest = flexibleWidth(
    widths(titles, cells),
    columns.map((column) => column.flexible === true),
    style.width,
  );
  const table = new Table({
    head: titles.map((title) => style.paintTitle(title)),
    chars: NO_FRAME,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0, compact: true },
  });
  rows.forEach((row, at) => {
    table.push(
      columns.map((column, place) => {
        const text = cells[at]?.[place] ?? '';
        const cut = column.flexible === true ? shorten(text, widest) : text;
        return column.paint === undefined ? cut : column.paint(cut, row);
      }),
    );
  });
  return `${table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`;
}

/** Name and value pairs, one a line; undefined and null ones are left out. */
export function renderFields(
  fields: readonly (readonly [string, string | number | boolean | null | undefined])[],
  paintName: (text: string) => string,
): string {
  const shown = fields.filter(([, value]) => value !== undefined && value !== null && value !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${paintName(name.padEnd(width))}  ${plain(String(value))}\n`).join('');
}
