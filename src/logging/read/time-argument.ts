import { Buffer } from "node:buffer";
import type { WallClock } from "../../sys/mod.ts";
import { parseRfc3339 } from "./rfc3339.ts";

const DURATION = /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w))+$/;
const PART = /(\d+)(?:\.(\d+))?(ns|us|µs|ms|s|m|h|d|w)/g;
/** A date, with a time of the day or without, and no offset from UTC. */
const LOCAL = /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d)?(\.\d+)?)?$/;
const NANOSECONDS: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n,
  w: 604_800_000_000_000n,
};

/**
 * Reads a time as people give it to `--since` and `--until`: a time of RFC 3339
 * (`2006-01-02T15:04:05.5+01:00`), the same without an offset, in local time, down to a date alone
 * (`2006-01-02 15:04`, `2006-01-02`), seconds since 1970 with up to nine fraction digits
 * (`1136214245.5`), or how long before `now` it was (`10m`, `1h30m`, `1.5s`; units `ns`, `us`,
 * `ms`, `s`, `m`, `h`, `d` for 24 hours and `w` for seven times as much).
 *
 * @throws {RangeError} that names the text and what was expected.
 *
 * @example
 * ```ts
 * const now = { seconds: 0, nanoseconds: 0 };
 * readWallClock(now);
 * for await (const line of readLogs(path, { since: parseTimeArgument("10m", now) })) ...
 * ```
 */
export function parseTimeArgument(text: string, now: WallClock): WallClock {
  const trimmed = text.trim();
  const time =
    parseDuration(trimmed, now) ??
    parseUnixTime(trimmed) ??
    parseDate(trimmed) ??
    parseLocal(trimmed);
  if (time !== undefined) return time;
  throw new RangeError(
    `Expected a time such as 2006-01-02T15:04:05Z or 2006-01-02, seconds since 1970, or a duration such as 10m; got ${JSON.stringify(text)}`,
  );
}

function parseDate(text: string): WallClock | undefined {
  const bytes = Buffer.from(text);
  return parseRfc3339(bytes, 0, bytes.length);
}

function parseLocal(text: string): WallClock | undefined {
  const [, date, minutes = "00:00", seconds = ":00", fraction = ""] = LOCAL.exec(text) ?? [];
  if (date === undefined) return undefined;
  const time = `${date}T${minutes}${seconds}`;
  // As if it were UTC: whether there is such a date. Without an offset ECMAScript takes it for local time.
  const inUtc = parseDate(`${time}${fraction}Z`);
  const milliseconds = Date.parse(time);
  if (inUtc === undefined || Number.isNaN(milliseconds)) return undefined;
  return { seconds: milliseconds / 1000, nanoseconds: inUtc.nanoseconds };
}

function parseUnixTime(text: string): WallClock | undefined {
  const found = /^(\d{1,12})(?:\.(\d{1,9}))?$/.exec(text);
  if (found === null) return undefined;
  const [, seconds, fraction = ""] = found;
  return { seconds: Number(seconds), nanoseconds: Number(fraction.padEnd(9, "0")) };
}

function parseDuration(text: string, now: WallClock): WallClock | undefined {
  if (!DURATION.test(text)) return undefined;
  let total = 0n;
  for (const [, whole = "", fraction = "", unit = ""] of text.matchAll(PART)) {
    const size = NANOSECONDS[unit] ?? 0n;
    total += BigInt(whole) * size;
    total += (BigInt(`0${fraction}`) * size) / 10n ** BigInt(fraction.length);
  }
  const nanoseconds = BigInt(now.seconds) * 1_000_000_000n + BigInt(now.nanoseconds) - total;
  // BigInt division goes towards zero, but nanoseconds are never negative.
  const rest = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  const seconds = Number((nanoseconds - rest) / 1_000_000_000n);
  // Longer ago than can be told exactly, which nobody means.
  return Number.isSafeInteger(seconds) ? { seconds, nanoseconds: Number(rest) } : undefined;
}
