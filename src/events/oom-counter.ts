/**
 * How often memory ran out in a cgroup, as the kernel counts it.
 *
 * Both files are lines of a name and a number. The counts only ever rise, and go with the cgroup.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { MemoryCgroup } from "./cgroup.ts";

/** What the kernel says of a memory cgroup at one moment. */
export interface OomState {
  /**
   * Version 2: `oom` and `oom_kill` together. The first counts in the cgroup whose limit was
   * reached, the second in that of the process killed: the container's can be either. Version 1:
   * `oom_kill`, and 0 before Linux 4.13, which does not have it.
   */
  readonly count: number;
  /** Version 1 only: processes wait for memory, nobody is killed. */
  readonly killsDisabled: boolean;
}

/** Reads the text of `memory.oom_control` or `memory.events`. */
export function parseOomState(version: 1 | 2, text: string): OomState {
  const fields = new Map(
    text.split("\n").flatMap((line) => {
      const found = /^(\w+) (\d+)$/.exec(line);
      return found === null ? [] : [[found[1], Number(found[2])] as const];
    }),
  );
  const field = (name: string): number => fields.get(name) ?? 0;
  return {
    count: field("oom_kill") + (version === 2 ? field("oom") : 0),
    killsDisabled: version === 1 && field("oom_kill_disable") !== 0,
  };
}

/** The file that {@link readOomState} reads. */
export function oomFile({ version, directory }: MemoryCgroup): string {
  return join(directory, version === 1 ? "memory.oom_control" : "memory.events");
}

/**
 * Undefined: the cgroup has been removed.
 *
 * @throws a system error when it is there and cannot be read
 */
export function readOomState(cgroup: MemoryCgroup): OomState | undefined {
  try {
    return parseOomState(cgroup.version, readFileSync(oomFile(cgroup), "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // The second one: it was removed after the file had been opened.
    if (code === "ENOENT" || code === "ENODEV") return undefined;
    throw error;
  }
}
