/**
 * The local time of others: of the caller, whose environment says what it is, in a process that may be in
 * another zone itself. What the environment means is what the GNU C library makes of it, see tzset(3).
 */
import { readSmallFile } from "../files/small-file.ts";
import type { Period } from "./period.ts";
import { PosixRule } from "./posix-rule.ts";
import { ZoneFile } from "./zone-file.ts";

/** What holds where `TZ` is not set. */
const DEFAULT_FILE = "/etc/localtime";
const DEFAULT_DIRECTORY = "/usr/share/zoneinfo";

/** Many times what the largest has, in bytes. */
const MOST_BYTES = 65_536;

/** Something that knows when the clocks are changed. */
interface Calendar {
  periodAt(second: number): Period;
}

/** A time zone, which remembers the period that it was asked for last. */
export class TimeZone {
  readonly #calendar: Calendar;
  #from = Number.NaN;
  #until = Number.NaN;
  #offset = 0;

  private constructor(calendar: Calendar) {
    this.#calendar = calendar;
  }

  /**
   * The one that an environment asks for: by `TZ`, which may be a name (`Europe/Berlin`), a path
   * (`:/etc/localtime`) or a rule (`CET-1CEST`), and by `TZDIR`. What is not known is UTC.
   *
   * @param since the zone is not asked for times before that second since 1970. Default: it may be
   */
  static of(environment: ReadonlyMap<string, string>, since?: number): TimeZone {
    const name = (environment.get("TZ") ?? DEFAULT_FILE).replace(/^:/, "");
    const directory = environment.get("TZDIR") || DEFAULT_DIRECTORY;
    const path = name.startsWith("/") ? name : `${directory}/${name}`;
    const file = name === "" ? undefined : readZone(path, since);
    return new TimeZone(file ?? PosixRule.parse(name));
  }

  /** Seconds that local time is ahead of UTC at that second since 1970. */
  offsetAt(second: number): number {
    if (!(second >= this.#from && second < this.#until)) {
      const { from, until, offset } = this.#calendar.periodAt(second);
      this.#from = from;
      this.#until = until;
      this.#offset = offset;
    }
    return this.#offset;
  }
}

/** Undefined if there is none, which is no error: the name may be a rule, or no zone at all. */
function readZone(path: string, since: number | undefined): ZoneFile | undefined {
  try {
    return ZoneFile.parse(readSmallFile(path, MOST_BYTES), since);
  } catch {
    return undefined;
  }
}
