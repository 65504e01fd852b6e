// RFC 3339 time stamps, as Wait states and Choice rules compare them. Pure: no clock, no host date parser.

const RFC3339 =
  /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d{1,18})?(?:([Zz])|([+-])(\d{2}):(\d{2}))$/;

/** Milliseconds since 1970, with fractions of a millisecond kept; null when it is not a time stamp with a zone. */
export function parseTimestamp(text: string): number | null {
  const parts = RFC3339.exec(text);
  if (parts === null) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1, 7).map(Number);
  const [zoneHour, zoneMinute] = [Number(parts[10] ?? 0), Number(parts[11] ?? 0)];
  if (hour > 23 || minute > 59 || second > 60 || zoneHour > 23 || zoneMinute > 59) return null;
  const midnight = Date.UTC(year, month - 1, day);
  const check = new Date(midnight);
  if (check.getUTCMonth() !== month - 1 || check.getUTCDate() !== day) return null;
  const offset_min = (parts[9] === '-' ? -1 : 1) * (zoneHour * 60 + zoneMinute);
  return midnight + ((hour * 60 + minute - offset_min) * 60 + second) * 1_000 + Number(parts[7] ?? 0) * 1_000;
}
