/** The files by which callers learn that a container ran out of memory. */
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { failure } from "../faults/failure.ts";

/** If a fifo is there in place of the file, that is an error and nothing to wait for. */
const HARMLESSLY = constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK;

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
      closeSync(openSync(path, HARMLESSLY, 0o644));
      return [];
    } catch (error) {
      return [failure(`Failed to write ${path}`, error)];
    }
  });
}
