/** Which build this is; scripts/build.mjs puts the values in. */
import type { Build } from "../session/help.ts";

declare const CONMON_TS_VERSION: string | undefined;
declare const CONMON_COMMIT: string | undefined;

export const build: Build = {
  version: typeof CONMON_TS_VERSION === "string" ? CONMON_TS_VERSION : "unbuilt",
  commit: typeof CONMON_COMMIT === "string" ? CONMON_COMMIT : "unknown",
};
