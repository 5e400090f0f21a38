/**
 * Time zones as POSIX describes them in `TZ`: `CET-1CEST,M3.5.0,M10.5.0/3`. They are read as the GNU C library
 * does, which takes what it understands of a text and ignores what it does not.
 */
import { type Change, type Period, periodIn } from "./period.ts";

const DAY = 86_400;
const HOUR = 3600;

/** That of the United States, which holds where a text has summer time and no rule. */
const DEFAULT_RULE = ",M3.2.0,M11.1.0";

/** When in a year the clocks are changed: seconds from its beginning on, by the clocks before the change. */
type YearlyChange = (year: number) => number;

interface SummerTime {
  readonly offset: number;
  readonly begins: YearlyChange;
  readonly ends: YearlyChange;
}

/** A zone whose clocks are changed twice a year, or never. */
export class PosixRule {
  readonly #standard: number;
  readonly #summer: SummerTime | undefined;

  private constructor(standard: number, summer?: SummerTime) {
    this.#standard = standard;
    this.#summer = summer;
  }

  /** Reads a text. One that makes no sense stands for UTC. */
  static parse(text: string): PosixRule {
    const [, standard, rest = ""] =
      /^([A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)([+-]?\d.*)$/s.exec(text) ?? [];
    if (standard === undefined) return new PosixRule(0);
    const { offset, rest: afterStandard } = takeOffset(rest, 0);
    const [, summerRest] = /^(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)(.*)$/s.exec(afterStandard) ?? [];
    if (summerRest === undefined) return new PosixRule(offset);
    const summer = takeOffset(summerRest, offset + HOUR);
    const rule = summer.rest === "" || summer.rest === "," ? DEFAULT_RULE : summer.rest;
    const [begins, ends] = parseRule(rule);
    if (begins === undefined || ends === undefined) return new PosixRule(offset);
    return new PosixRule(offset, { offset: summer.offset, begins, ends });
  }

  periodAt(second: number): Period {
    const summer = this.#summer;
    if (summer === undefined) return periodIn([], this.#standard, second);
    const year = new Date((second + this.#standard) * 1000).getUTCFullYear();
    const changes = [year - 1, year, year + 1].flatMap((each): Change[] => [
      [startOf(each) + summer.begins(each) - this.#standard, summer.offset],
      [startOf(each) + summer.ends(each) - summer.offset, this.#standard],
    ]);
    changes.sort(([one], [other]) => one - other);
    return periodIn(changes, this.#standard, second);
  }
}

/** `[+-]hh[:mm[:ss]]`, positive in the west; `otherwise` if there is none. */
function takeOffset(text: string, otherwise: number): { offset: number; rest: string } {
  const [all, sign, ...parts] = /^([+-]?)(\d{1,4})(?::(\d{1,2}))?(?::(\d{1,2}))?/.exec(text) ?? [];
  if (all === undefined) return { offset: otherwise, rest: text };
  const [hours = 0, minutes = 0, seconds = 0] = parts.map((part) => Number(part ?? 0));
  const size = Math.min(hours, 24) * HOUR + Math.min(minutes, 59) * 60 + Math.min(seconds, 59);
  return { offset: sign === "-" ? size : -size, rest: text.slice(all.length) };
}

/** The two changes of `,DATE[/TIME],DATE[/TIME]`, as far as they can be read. */
function parseRule(text: string): (YearlyChange | undefined)[] {
  const [first = "", second = ""] = text.replace(/^,/, "").split(",");
  return [first, second].map(parseChange);
}

function parseChange(text: string): YearlyChange | undefined {
  const [, date = "", time] = /^([^/]*)(?:\/(.+))?$/.exec(text) ?? [];
  const at = time === undefined ? 2 * HOUR : parseTime(time);
  const day = parseDate(date);
  if (at === undefined || day === undefined) return undefined;
  return (year) => day(year) * DAY + at;
}

/** `[-]hh[:mm[:ss]]`, which may be before the day or long after it. */
function parseTime(text: string): number | undefined {
  const [, sign, hours, minutes, seconds] =
    /^([+-]?)(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?$/.exec(text) ?? [];
  if (hours === undefined) return undefined;
  const size = Number(hours) * HOUR + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
  return sign === "-" ? -size : size;
}

/** `Jn`, `n` or `Mm.w.d` to the days from the beginning of a year on. */
function parseDate(text: string): ((year: number) => number) | undefined {
  const [, julian, digits] = /^(J?)(\d{1,3})$/.exec(text) ?? [];
  const number = Number(digits);
  if (digits !== undefined && julian === "") return () => number;
  // Without 29 February, so that 1 March is always the 60th.
  if (digits !== undefined) return (year) => number - (isLeap(year) && number >= 60 ? 0 : 1);
  const fields = /^M(\d{1,2})\.([1-5])\.([0-6])$/.exec(text)?.slice(1).map(Number);
  if (fields === undefined) return undefined;
  const [month = 1, week = 1, weekday = 0] = fields;
  if (month < 1 || month > 12) return undefined;
  return (year) => nthWeekday(year, month - 1, week, weekday);
}

/** Week 5 is the last one in which the month has that day. */
function nthWeekday(year: number, month: number, week: number, weekday: number): number {
  const first = Date.UTC(year, month, 1) / 1000;
  const days = (Date.UTC(year, month + 1, 1) / 1000 - first) / DAY;
  const firstWeekday = new Date(first * 1000).getUTCDay();
  let day = ((weekday - firstWeekday + 7) % 7) + 7 * (week - 1);
  if (day >= days) day -= 7;
  return (first - startOf(year)) / DAY + day;
}

function startOf(year: number): number {
  return Date.UTC(year, 0, 1) / 1000;
}

function isLeap(year: number): boolean {
  return new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1;
}
