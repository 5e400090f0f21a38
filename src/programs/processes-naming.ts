/** Processes that have to do with a directory. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

/** How often it is looked whether they have ended, in milliseconds: nobody tells us. */
const INTERVAL_MS = 50;

/** Whether there is a process with the text in its command line. */
function isNamed(text: string): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, "latin1").includes(text);
    } catch {
      return false; // It has ended meanwhile.
    }
  });
}

/** Waits until no process has the text in its command line, for so many milliseconds at most. */
export async function untilUnnamed(text: string, milliseconds: number): Promise<void> {
  for (const end = performance.now() + milliseconds; isNamed(text); await delay(INTERVAL_MS)) {
    if (performance.now() >= end) return;
  }
}
