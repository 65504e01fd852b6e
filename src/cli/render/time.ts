// Times and durations as people say them, and durations as people type them.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A span in its largest unit, to the nearest whole one. */
function round(span_ms: number): string {
  if (span_ms < 59.5 * SECOND) return `${Math.round(span_ms / SECOND)} s`;
  if (span_ms < 59.5 * MINUTE) return `${Math.round(span_ms / MINUTE)} min`;
  if (span_ms < 23.5 * HOUR) return `${Math.round(span_ms / HOUR)} h`;
  return `${Math.round(span_ms / DAY)} d`;
}

/** `2 min ago`, `in 3 h`. Times in milliseconds since 1970. */
export function ago(at: number, now: number): string {
  const past_ms = now - at;
  if (Math.abs(past_ms) < SECOND) return 'now';
  return past_ms > 0 ? `${round(past_ms)} ago` : `in ${round(-past_ms)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** `2026-06-02 14:03:11 UTC`, or in the local zone `2026-06-02 16:03:11 +02:00`. */
export function stamp(at: number, utc: boolean): string {
  const date = new Date(at);
  if (utc) return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const offset_min = -date.getTimezoneOffset();
  const zone = `${offset_min < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset_min) / 60))}:${two(Math.abs(offset_min) % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zone}`;
}

/** A span in seconds: `45 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(span_s: number): string {
  const span_ms = Math.max(0, span_s * 1000);
  if (span_ms > 0 && span_ms < 1) return '<1 ms';
  if (span_ms < SECOND) return `${Math.round(span_ms)} ms`;
  if (span_ms < MINUTE) return `${(Math.floor(span_ms / 100) / 10).toFixed(1)} s`;
  const parts: readonly [number, string, number, string] =
    span_ms < HOUR
      ? [MINUTE, 'min', SECOND, 's']
      : span_ms < DAY
        ? [HOUR, 'h', MINUTE, 'min']
        : [DAY, 'd', HOUR, 'h'];
  const large = Math.floor(span_ms / parts[0]);
  const small = Math.floor((span_ms % parts[0]) / parts[2]);
  return small === 0 ? `${large} ${parts[1]}` : `${large} ${parts[1]} ${small} ${parts[3]}`;
}

const UNITS_S: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** `30`, `500ms`, `3s`, `5m`, `2h`, `30d` → seconds; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  const found = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|min|m|h|d)?$/.exec(text.trim());
  if (found === null) return undefined;
  return Number(found[1]) * (UNITS_S[found[2] ?? 's'] ?? 1);
}
