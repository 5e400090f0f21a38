/** A run that could not even begin is one that has ended. */
import { existsSync } from "node:fs";
import { ContainerError, type ContainerErrorKind } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { readIfThere, writeWhole } from "./files.ts";
import type { ContainerRecord } from "./record.ts";
import type { Runs } from "./runs.ts";
import type { State } from "./state.ts";

/** As shells have them, and as `conmonctl run` ends. */
const STATUSES: Readonly<Partial<Record<ContainerErrorKind, number>>> = {
  "not-executable": 126,
  "command-not-found": 127,
};
const NOT_STARTED = 125;

/**
 * Writes an exit status for it, unless its monitor has done so, and tells of its end.
 *
 * @param error why it did not begin
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
    const kind = error instanceof ContainerError ? error.kind : "failed";
    const status = STATUSES[kind] ?? NOT_STARTED;
    writeWhole(paths.exit, String(status));
    appendEvent(state, { type: "exit", id, name, status });
  }
  const status = Number(readIfThere(paths.exit) ?? NOT_STARTED);
  return { ...runs, ended: new Date().toISOString(), status, next: null };
}
