/** The shim as a process, for when its connection is lost. */
import { readFileSync } from "node:fs";

import type { ShimConnection } from "../shim/connection.ts";

/** The kernel's mark of a process that is ending, in the flags of `/proc/PID/stat` (proc(5)). */
const PF_EXITING = 4;

/**
 * Whether a process is there and not about to end: its descriptors are closed before it becomes a
 * zombie, and that before it is reaped.
 */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // After the program's name, which may hold anything: state, parent, ..., flags.
    const flags = Number(stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[6]);
    return (flags & PF_EXITING) === 0;
  } catch {
    return false;
  }
}

/**
 * Whether a shim has left us and lives: then the session is another conmond's, and so is all that has a name. Where the
 * shim is dead nobody else is going to remove that.
 *
 * @param shimPid 0: it has not said yet which process it is
 */
export function isElsewhere(connection: ShimConnection, shimPid: number): boolean {
  return connection.hasHungUp && shimPid > 0 && isAlive(shimPid);
}
