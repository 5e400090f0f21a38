import type { WallClock } from "../../sys/mod.ts";

const ZERO = 0x30;
const NINE = 0x39;
const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const COLON = 0x3a;
const SPACE = 0x20;
/** Bytes in `2006-01-02T15:04:05`. */
const TO_THE_SECOND = 19;

/**
 * Reads a time of RFC 3339, such as `2006-01-02T15:04:05.999999999+01:00`, from a part of a buffer.
 * A fraction may have any number of digits; those after the ninth are cut off.
 *
 * @returns `undefined` if these bytes are no such time.
 */
export function parseRfc3339(bytes: Uint8Array, start: number, end: number): WallClock | undefined {
  if (end - start <= TO_THE_SECOND) return undefined;
  const year = digits(bytes, start, 4);
  const month = digits(bytes, start + 5, 2);
  const day = digits(bytes, start + 8, 2);
  const hour = digits(bytes, start + 11, 2);
  const minute = digits(bytes, start + 14, 2);
  const second = digits(bytes, start + 17, 2);
  if (!separatorsAreRight(bytes, start)) return undefined;
  // Digits that are none are NaN, which no comparison is true for.
  const valid = hour <= 23 && minute <= 59 && second <= 60 && isDate(year, month, day);
  if (!valid) return undefined;
  const fraction = parseFraction(bytes, start + TO_THE_SECOND, end);
  if (fraction === undefined) return undefined;
  const offset = parseOffset(bytes, fraction.end, end);
  if (offset === undefined) return undefined;
  const local = daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
  return { seconds: local - offset, nanoseconds: fraction.nanoseconds };
}

/** Less than 0 if `a` is earlier than `b`, more than 0 if it is later, 0 if they are the same. */
export function compareTimes(a: WallClock, b: WallClock): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds;
}

function separatorsAreRight(bytes: Uint8Array, start: number): boolean {
  const between = bytes[start + 10];
  return (
    bytes[start + 4] === MINUS &&
    bytes[start + 7] === MINUS &&
    // T or t, or the space that RFC 3339 allows for people's sake
    (between === 0x54 || between === 0x74 || between === SPACE) &&
    bytes[start + 13] === COLON &&
    bytes[start + 16] === COLON
  );
}

interface Fraction {
  readonly nanoseconds: number;
  readonly end: number;
}

function parseFraction(bytes: Uint8Array, start: number, end: number): Fraction | undefined {
  if (bytes[start] !== DOT) return { nanoseconds: 0, end: start };
  let at = start + 1;
  let nanoseconds = 0;
  let weight = 100_000_000;
  for (; at < end; at++) {
    const digit = digits(bytes, at, 1);
    if (Number.isNaN(digit)) break;
    nanoseconds += digit * weight;
    weight = Math.floor(weight / 10);
  }
  return at > start + 1 ? { nanoseconds, end: at } : undefined;
}

/** Seconds east of Greenwich. */
function parseOffset(bytes: Uint8Array, start: number, end: number): number | undefined {
  const sign = bytes[start];
  if (sign === 0x5a || sign === 0x7a) return end === start + 1 ? 0 : undefined; // Z, z
  if (sign !== PLUS && sign !== MINUS) return undefined;
  if (end !== start + 6 || bytes[start + 3] !== COLON) return undefined;
  const hours = digits(bytes, start + 1, 2);
  const minutes = digits(bytes, start + 4, 2);
  if (!(hours <= 23 && minutes <= 59)) return undefined;
  const offset = hours * 3600 + minutes * 60;
  return sign === MINUS ? -offset : offset;
}

/** The number that so many digits make, or NaN. */
function digits(bytes: Uint8Array, start: number, count: number): number {
  let value = 0;
  for (let at = start; at < start + count; at++) {
    const digit = bytes[at] ?? 0;
    if (digit < ZERO || digit > NINE) return Number.NaN;
    value = value * 10 + digit - ZERO;
  }
  return value;
}

function isDate(year: number, month: number, day: number): boolean {
  return year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** In the Gregorian calendar. `Date.UTC` takes years below 100 for those of the last century. */
function daysSince1970(year: number, month: number, day: number): number {
  // Years that begin in March have the leap day at their end.
  const years = month > 2 ? year : year - 1;
  const days = Math.floor((153 * ((month + 9) % 12) + 2) / 5) + day - 1;
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400);
  return years * 365 + leapDays + days - 719_468;
}
