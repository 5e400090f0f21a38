/** A run that could not even begin is one that has ended. */
import { existsSync } from "node:fs";
import { ContainerError, type ContainerErrorCode } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { readIfThere, writeWhole } from "./files.ts";
import type { ContainerRecord } from "./record.ts";
import type { Runs } from "./runs.ts";
import type { State } from "./state.ts";

/** As shells have them, and as `conmonctl run` ends. */
const STATUSES: Readonly<Partial<Record<ContainerErrorCode, number>>> = {
  "not-executable": 126,
  "command-not-found": 127,
};
const NOT_STARTED = 125;

/**
 * Writes an exit status for it, unless its monitor has done so, and tells of its end, which its exit command has not.
 *
 * @param error why it did not begin, if that is known
 * @returns what becomes runs.json
 */
export function failedRun(
  state: State,
  { id, name }: ContainerRecord,
  runs: Runs,
  error: unknown,
): Runs {
  const paths = state.container(id);
  if (!existsSync(paths.exit)) {
    const code = error instanceof ContainerError ? error.code : "failed";
    writeWhole(paths.exit, String(STATUSES[code] ?? NOT_STARTED));
  }
  const status = Number(readIfThere(paths.exit) ?? NOT_STARTED);
  appendEvent(state, { type: "exit", id, name, status });
  return { ...runs, ended: new Date().toISOString(), status, next: null };
}
