/** Where conmonctl keeps what it has to remember; see docs/conmonctl.md. */
import { join } from "node:path";

/** Absolute; undefined for an ordinary user without `XDG_RUNTIME_DIR`. */
export function stateDirectory(environment: NodeJS.ProcessEnv): string | undefined {
  if (environment.CONMON_TS_STATE) return environment.CONMON_TS_STATE;
  if (process.geteuid?.() === 0) return "/run/conmon-ts";
  const base = environment.XDG_RUNTIME_DIR;
  return base ? join(base, "conmon-ts") : undefined;
}
