import type { WallClock } from "../sys/mod.ts";
import type { TimeZone } from "../time-zone/time-zone.ts";

/** When something was read, and in which zone's time that is to be logged. */
export interface LogTime extends WallClock {
  /** Default: the process's. */
  zone?: TimeZone | undefined;
}

/** Bytes in `2006-01-02T15:04:05.000000000+00:00`. */
export const TIMESTAMP_LENGTH = 35;
/** Bytes in `2006-01-02T15:04:05.000000000Z`. */
export const UTC_TIMESTAMP_LENGTH = 30;

const FRACTION = 20;
const OFFSET = 29;
const ZERO = 48;

// RFC 3339 has four digits for the year. A day is left at both ends for the offset.
// Not by Date.UTC(), which takes the year 1 for 1901.
const FIRST_SECOND = Date.parse("0001-01-02T00:00:00Z") / 1000;
const LAST_SECOND = Date.parse("9999-12-30T00:00:00Z") / 1000;

/**
 * Keeps an RFC 3339 time in local time, with nine fraction digits and a numeric offset, in the
 * first {@link TIMESTAMP_LENGTH} bytes of a buffer. That is the form of time that the log format
 * of the Kubernetes CRI asks for. The offset is always the one that was in force at that time.
 *
 * Only what has changed is written anew, so nobody else may write to these bytes.
 *
 * @example
 * ```ts
 * const line = Buffer.alloc(TIMESTAMP_LENGTH);
 * new LocalTimestamp(line).set({ seconds: 0, nanoseconds: 5 });
 * line.toString("latin1"); // "1970-01-01T01:00:00.000000005+01:00" in Berlin
 * ```
 */
export class LocalTimestamp {
  readonly #target: Uint8Array;
  #second = Number.NaN;
  #nanosecond = Number.NaN;
  #zone: TimeZone | undefined;

  constructor(target: Uint8Array) {
    if (target.length < TIMESTAMP_LENGTH) {
      throw new RangeError(`A timestamp takes ${TIMESTAMP_LENGTH} bytes, got ${target.length}`);
    }
    this.#target = target;
  }

  /**
   * Sets the time. Years outside 1 to 9999, which have no such form, become the nearest one.
   *
   * @returns whether that is another time than before
   */
  set(at: LogTime): boolean {
    const isSameSecond = at.seconds === this.#second && at.zone === this.#zone;
    if (!isSameSecond) {
      this.#setSecond(at.seconds, at.zone);
      this.#second = at.seconds;
      this.#zone = at.zone;
    }
    if (at.nanoseconds === this.#nanosecond) return !isSameSecond;
    writeDigits(this.#target, FRACTION, 9, at.nanoseconds);
    this.#nanosecond = at.nanoseconds;
    return true;
  }

  #setSecond(wallSecond: number, zone: TimeZone | undefined): void {
    const second = nearestSecond(wallSecond);
    // Asked for anew each second: at most one call per second and zone, and right at every transition.
    const offset = Math.round(
      zone === undefined
        ? -new Date(second * 1000).getTimezoneOffset()
        : zone.offsetAt(second) / 60,
    );
    const target = this.#target;
    writeDateAndTime(target, second + offset * 60);
    const minutes = Math.abs(offset);
    target[OFFSET] = offset < 0 ? 0x2d : 0x2b; // - or +
    writeDigits(target, OFFSET + 1, 2, Math.floor(minutes / 60));
    target[OFFSET + 3] = 0x3a; // :
    writeDigits(target, OFFSET + 4, 2, minutes % 60);
  }
}

/**
 * The same in UTC, `2006-01-02T15:04:05.000000000Z`, in the first {@link UTC_TIMESTAMP_LENGTH} bytes
 * of a buffer. That is the form of time that Docker's json-file has.
 */
export class UtcTimestamp {
  readonly #target: Uint8Array;
  #second = Number.NaN;

  constructor(target: Uint8Array) {
    if (target.length < UTC_TIMESTAMP_LENGTH) {
      throw new RangeError(`A timestamp takes ${UTC_TIMESTAMP_LENGTH} bytes, got ${target.length}`);
    }
    this.#target = target;
    target[OFFSET] = 0x5a; // Z
  }

  /** Sets the time, as {@link LocalTimestamp.set} does. */
  set(at: WallClock): void {
    if (at.seconds !== this.#second) {
      writeDateAndTime(this.#target, nearestSecond(at.seconds));
      this.#second = at.seconds;
    }
    writeDigits(this.#target, FRACTION, 9, at.nanoseconds);
  }
}

function nearestSecond(second: number): number {
  return Math.min(Math.max(second, FIRST_SECOND), LAST_SECOND);
}

/** Writes everything up to the fraction and its point. */
function writeDateAndTime(target: Uint8Array, second: number): void {
  const date = new Date(second * 1000);
  writeDigits(target, 0, 4, date.getUTCFullYear());
  writeDigits(target, 5, 2, date.getUTCMonth() + 1);
  writeDigits(target, 8, 2, date.getUTCDate());
  writeDigits(target, 11, 2, date.getUTCHours());
  writeDigits(target, 14, 2, date.getUTCMinutes());
  writeDigits(target, 17, 2, date.getUTCSeconds());
  target[4] = target[7] = 0x2d; // -
  target[10] = 0x54; // T
  target[13] = target[16] = 0x3a; // :
  target[FRACTION - 1] = 0x2e; // .
}

function writeDigits(target: Uint8Array, start: number, count: number, value: number): void {
  let rest = value;
  for (let at = start + count - 1; at >= start; at--) {
    const tens = Math.floor(rest / 10);
    target[at] = ZERO + (rest - tens * 10);
    rest = tens;
  }
}
