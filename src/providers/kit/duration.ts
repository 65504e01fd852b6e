// ISO 8601 durations and date-times as the ActionProvider API uses them. Pure.

const UNITS_MS = {
  year: 365 * 86_400_000,
  month: 30 * 86_400_000,
  week: 7 * 86_400_000,
  day: 86_400_000,
  hour: 3_600_000,
  minute: 60_000,
  second: 1_000,
} as const;

const DATE_UNITS: Readonly<Record<string, keyof typeof UNITS_MS>> = {
  Y: 'year',
  M: 'month',
  W: 'week',
  D: 'day',
};
const TIME_UNITS: Readonly<Record<string, keyof typeof UNITS_MS>> = { H: 'hour', M: 'minute', S: 'second' };

/** Longer texts are no durations anybody means. */
const MAX_TEXT = 64;

/** One part of a duration, e.g. `1.5D`, at a place in the text. */
const PART = /(\d{1,15}(?:\.\d{1,15})?)([YMWDHS])/y;

/**
 * Milliseconds of a duration such as `P30D` or `PT1H30M`, null when it is none. A year counts 365 days and a
 * month 30; units stand in falling order, each at most once, with at least one in all and one after a `T`.
 */
export function parseDuration(text: string): number | null {
  if (text.length > MAX_TEXT || text[0] !== 'P' || text.endsWith('T')) return null;
  let total_ms = 0;
  let at = 1;
  let units = DATE_UNITS;
  let order = Object.keys(units);
  while (at < text.length) {
    if (text[at] === 'T' && units === DATE_UNITS) {
      units = TIME_UNITS;
      order = Object.keys(units);
      at++;
    }
    PART.lastIndex = at;
    const part = PART.exec(text);
    const unit = part?.[2] ?? '';
    const place = order.indexOf(unit);
    if (part === null || place === -1) return null;
    total_ms += Number(part[1]) * UNITS_MS[units[unit] ?? 'second'];
    order = order.slice(place + 1);
    at = PART.lastIndex;
  }
  return at > 1 ? Math.round(total_ms) : null;
}

/** Seconds as a duration text. */
export function secondsDuration(seconds: number): string {
  return `PT${seconds}S`;
}

const DATE_TIME = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|z|[+-]\d{2}:?\d{2})?$/;

/** Milliseconds since 1970 of an RFC 3339 date-time, null when it is none. A space may stand for the `T`, and
 *  without an offset it is UTC: real clients send both. */
export function parseDateTime(text: string): number | null {
  const found = text.length > MAX_TEXT ? null : DATE_TIME.exec(text);
  if (found === null) return null;
  const [, day, time, fraction = '', offset = 'Z'] = found;
  const zone = offset.length === 5 ? `${offset.slice(0, 3)}:${offset.slice(3)}` : offset.toUpperCase();
  const at = Date.parse(`${day}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}${zone}`);
  return Number.isNaN(at) ? null : at;
}
