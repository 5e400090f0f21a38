/** What processes use, from /proc. */
import { readFileSync } from "node:fs";
import { processesWith } from "../test/support/processes.ts";

/** The kernel's clock ticks in a second, the same on every Linux that Node.js runs on. */
const TICKS = 100;

/** The processes of a run whose command line has one of these words, by pid. */
export function monitorsOf(mark: string): number[] {
  const found = processesWith(mark).filter(({ command }) => /conmon(d\.cjs)?( |$)/.test(command));
  return found.map(({ pid }) => pid);
}

/** CPU seconds used so far, added up, as `utime` and `stime` in proc_pid_stat(5). */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuOf(pid), 0);
}

function cpuOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Private memory in bytes, added up: `RssAnon` in proc_pid_status(5). */
export function privateBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + statusBytes(pid, "RssAnon"), 0);
}

/** Resident memory in bytes, added up: `VmRSS`. */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + statusBytes(pid, "VmRSS"), 0);
}

function statusBytes(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const kilobytes = status.match(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m"))?.[1];
  return Number(kilobytes) * 1024;
}

/** Memory in bytes, see proc_pid_smaps(5). */
export interface Memory {
  /** `Rss`: all that is in memory, what others have mapped as well included. */
  readonly resident: number;
  /** `Anonymous`: what belongs to nobody else and to no file. */
  readonly anonymous: number;
  /** `Private_Clean` and `Private_Dirty`: pages of files that nobody else has mapped just now included. */
  readonly private: number;
  /** `Pss`: what is shared is divided by those who share it. */
  readonly proportional: number;
}

/** What processes have, added up. */
export function memoryOf(pids: readonly number[]): Memory {
  const rollups = pids.map((pid) => readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"));
  const sum = (...fields: string[]): number =>
    rollups.reduce((total, rollup) => {
      const lines = rollup.split("\n").map((line) => line.split(/:\s+/));
      const wanted = lines.filter(([name = ""]) => fields.includes(name));
      return total + wanted.reduce((all, [, value = ""]) => all + Number.parseInt(value, 10), 0);
    }, 0) * 1024;
  return {
    resident: sum("Rss"),
    anonymous: sum("Anonymous"),
    private: sum("Private_Clean", "Private_Dirty"),
    proportional: sum("Pss"),
  };
}
