/** Files of the time zone database: TZif, RFC 8536. */
import { type Change, type Period, periodIn } from "./period.ts";
import { PosixRule } from "./posix-rule.ts";

const HEADER_SIZE = 44;
const TYPE_SIZE = 6;

/** What the header of a block says of its size, in numbers of entries. */
interface Counts {
  readonly utcMarks: number;
  readonly standardMarks: number;
  readonly leapSeconds: number;
  readonly changes: number;
  readonly types: number;
  readonly names: number;
}

/** A zone as a file has it. Leap seconds are ignored, as the system's clock ignores them. */
export class ZoneFile {
  readonly #changes: readonly Change[];
  readonly #before: number;
  /** What holds after the last change. */
  readonly #rule: PosixRule | undefined;

  private constructor(changes: readonly Change[], before: number, rule: PosixRule | undefined) {
    this.#changes = changes;
    this.#before = before;
    this.#rule = rule;
  }

  /**
   * Reads a file.
   *
   * @param since what was before that second since 1970 does not matter
   * @throws RangeError when it is no such file
   */
  static parse(bytes: Buffer, since = Number.NEGATIVE_INFINITY): ZoneFile {
    if (bytes.toString("latin1", 0, 4) !== "TZif") throw new RangeError("this is no TZif file");
    const first = readCounts(bytes, 0);
    if (bytes[4] === 0) return ZoneFile.#read(bytes, HEADER_SIZE, first, 4, since);
    // All but the oldest have everything again with 64 bits.
    const second = HEADER_SIZE + blockSize(first, 4);
    return ZoneFile.#read(bytes, second + HEADER_SIZE, readCounts(bytes, second), 8, since);
  }

  static #read(
    bytes: Buffer,
    start: number,
    counts: Counts,
    timeSize: 4 | 8,
    since: number,
  ): ZoneFile {
    const typesAt = start + counts.changes * timeSize;
    const offsetsAt = typesAt + counts.changes;
    const offsetOf = (type: number): number => bytes.readInt32BE(offsetsAt + type * TYPE_SIZE);
    const all = Array.from({ length: counts.changes }, (_, index): Change => {
      const at = start + index * timeSize;
      const time = timeSize === 8 ? Number(bytes.readBigInt64BE(at)) : bytes.readInt32BE(at);
      return [time, offsetOf(bytes.readUInt8(typesAt + index))];
    });
    const types = Array.from({ length: counts.types }, (_, type) => type);
    const isSummer = (type: number): boolean => bytes[offsetsAt + type * TYPE_SIZE + 4] === 1;
    const before = offsetOf(types.find((type) => !isSummer(type)) ?? 0);
    const footer = bytes.toString("latin1", start + blockSize(counts, timeSize));
    const text = timeSize === 8 ? /^\n([^\n]+)\n/.exec(footer)?.[1] : undefined;
    const rule = text === undefined ? undefined : PosixRule.parse(text);
    const needed = all.findLastIndex(([at]) => at <= since);
    return new ZoneFile(all.slice(Math.max(0, needed)), before, rule);
  }

  periodAt(second: number): Period {
    const period = periodIn(this.#changes, this.#before, second);
    if (this.#rule === undefined || period.until !== Number.POSITIVE_INFINITY) return period;
    const { from, until, offset } = this.#rule.periodAt(second);
    return { from: Math.max(from, period.from), until, offset };
  }
}

function readCounts(bytes: Buffer, at: number): Counts {
  const [utcMarks = 0, standardMarks = 0, leapSeconds = 0, changes = 0, types = 0, names = 0] =
    Array.from({ length: 6 }, (_, index) => bytes.readUInt32BE(at + 20 + 4 * index));
  return { utcMarks, standardMarks, leapSeconds, changes, types, names };
}

function blockSize(counts: Counts, timeSize: 4 | 8): number {
  const { utcMarks, standardMarks, leapSeconds, changes, types, names } = counts;
  const times = changes * (timeSize + 1) + leapSeconds * (timeSize + 4);
  return times + types * TYPE_SIZE + names + utcMarks + standardMarks;
}
