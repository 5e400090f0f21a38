/**
 * The moment in which a container begins. Whoever has it begin leaves a mark until that is done, with its own process
 * for good: a mark whose process is gone says that nobody knows whether the container has begun, but its runtime.
 */
import { rmSync } from "node:fs";
import { parseStat } from "../processes/stat.ts";
import { readIfThere, writeWhole } from "./files.ts";
import type { ContainerRecord } from "./record.ts";
import { runtimeStatus } from "./runtime.ts";
import type { ContainerPaths } from "./state.ts";

/** Leaves this process's mark. Whoever begins it next writes over it. */
export function markBeginning({ beginning }: ContainerPaths): void {
  writeWhole(beginning, markOf(process.pid) ?? "");
}

/** Takes the mark away: it has begun, or will not. */
export function unmarkBeginning({ beginning }: ContainerPaths): void {
  rmSync(beginning, { force: true });
}

/**
 * Whether a container that is said to have begun has not: whoever was about to have it begin was killed. The runtime
 * is asked only if there is such a mark, and only once if it has begun.
 *
 * @param record of a container whose process lives
 */
export function isLeftUnbegun(paths: ContainerPaths, record: ContainerRecord): boolean {
  const mark = readIfThere(paths.beginning);
  if (mark === undefined || mark === markOf(Number.parseInt(mark, 10))) return false;
  const status = runtimeStatus(record, record.id);
  if (status === "running") unmarkBeginning(paths);
  return status === "created";
}

/** Pid and start, since pids are used again; undefined for a process that is not there. */
function markOf(pid: number): string | undefined {
  const stat = readIfThere(`/proc/${pid}/stat`);
  return stat === undefined ? undefined : `${pid} ${parseStat(stat).startTime}`;
}
