import { addon } from "./addon.ts";

/** A time: seconds since 1970 in UTC, and nanoseconds (0 to 999999999) on top. */
export interface WallClock {
  seconds: number;
  nanoseconds: number;
}

/** The clock as the addon has it. */
export interface ClockCalls {
  /** Writes seconds and nanoseconds into the first two elements. */
  readWallClock(into: Float64Array): void;
}

const time = new Float64Array(2);

/** Writes the present time (CLOCK_REALTIME) into the caller's object, so that nothing is allocated. */
export function readWallClock(into: WallClock): void {
  addon.readWallClock(time);
  into.seconds = time[0] as number;
  into.nanoseconds = time[1] as number;
}
