import type { WallClock } from "../../sys/mod.ts";
import type { StreamName } from "../sink.ts";
import type { Timestamp } from "./log-line.ts";
import { compareTimes } from "./rfc3339.ts";

/** Which lines are wanted. */
export interface Selection {
  /** Only this stream. Default: both. */
  readonly stream?: StreamName;
  /** Only lines that began at this time or later. */
  readonly since?: Readonly<WallClock>;
  /** Only lines that began at this time or earlier. */
  readonly until?: Readonly<WallClock>;
}

/** Whether a line that began then is wanted; the question is cheap where no time was asked for. */
export function timeFilter({ since, until }: Selection): (timestamp: Timestamp) => boolean {
  if (since === undefined && until === undefined) return () => true;
  return ({ time }) =>
    (since === undefined || compareTimes(time, since) >= 0) &&
    (until === undefined || compareTimes(time, until) <= 0);
}
