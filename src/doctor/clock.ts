/** The time zone, which is in the lines of logs. */
import { runBounded } from "../programs/bounded-run.ts";
import { type Check, type Finding, ok, skip, warn } from "./check.ts";

export const clock: Check = {
  name: "clock",
  look: async ({ environment }) => {
    const { fault, stdout } = await runBounded("date", ["+%z"], { environment });
    if (fault !== undefined) return skip("`date` does not work here");
    const minutes = -new Date().getTimezoneOffset();
    const zone = environment.TZ || Intl.DateTimeFormat().resolvedOptions().timeZone;
    return judgeClock(zone, minutes, stdout.trim());
  },
};

/**
 * @param minutes east of Greenwich, as Node.js has it
 * @param system the same as other programs have it, such as `+0100`
 */
export function judgeClock(zone: string, minutes: number, system: string): Finding {
  const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
  const own = `${minutes < 0 ? "-" : "+"}${two(Math.abs(minutes) / 60)}${two(Math.abs(minutes) % 60)}`;
  if (own === "+0000" && !isKnown(zone)) {
    return warn(`TZ is ${zone}, which is no time zone: UTC is used`, "correct TZ");
  }
  if (own === system) return ok(`the time zone is ${zone}, ${own}`);
  const advice = "correct TZ, or install tzdata";
  return warn(
    `the time zone is ${zone}: Node.js takes it for ${own}, other programs for ${system}`,
    advice,
  );
}

function isKnown(zone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: zone });
    return true;
  } catch {
    return false; // It says so by a RangeError.
  }
}
