/** The files by which callers learn that a container ran out of memory. */
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { failure } from "../faults/failure.ts";

/**
 * Makes an empty file `oom`, of mode 0644, in each of the directories; one that is there stays.
 *
 * @returns what went wrong; each is tried whatever became of the others
 */
export function writeOomFiles(directories: readonly (string | undefined)[]): Error[] {
  return directories.flatMap((directory) => {
    if (directory === undefined) return [];
    const path = join(directory, "oom");
    try {
      closeSync(openSync(path, constants.O_WRONLY | constants.O_CREAT, 0o644));
      return [];
    } catch (error) {
      return [failure(`Failed to write ${path}`, error)];
    }
  });
}
