/** Whether a process lives. */
import { join } from "node:path";
import { readIfThere } from "./files.ts";

/** Whether it is there and has not ended; a zombie has. */
export function isAlive(pid: number, proc = "/proc"): boolean {
  const stat = readIfThere(join(proc, String(pid), "stat"));
  if (stat === undefined) return false;
  const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
  return state !== "Z" && state !== "X";
}

/** The number in a pid file; undefined where there is none. */
export function readPidFile(path: string): number | undefined {
  const text = readIfThere(path)?.trim() ?? "";
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
}
