/** Whether a process lives. */
import { join } from "node:path";
import { hasEnded, parseStat } from "../processes/stat.ts";
import { readIfThere } from "./files.ts";

/** Whether it is there and has not ended; a zombie has. */
export function isAlive(pid: number, proc = "/proc"): boolean {
  const stat = readIfThere(join(proc, String(pid), "stat"));
  return stat !== undefined && !hasEnded(parseStat(stat));
}

/** The number in a pid file; undefined where there is none. */
export function readPidFile(path: string): number | undefined {
  const text = readIfThere(path)?.trim() ?? "";
  return /^[1-9]\d{0,9}$/.test(text) ? Number(text) : undefined;
}
