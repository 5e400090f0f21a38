/** The file in which the runtime leaves the pid of the container process. */
import { readSmallFile } from "../files/small-file.ts";

/** More than any pid has, with all the white space that somebody may put around it, in bytes. */
const MOST_BYTES = 4096;

/**
 * Reads it.
 *
 * @throws Error naming the file when it cannot be read or holds no pid of a container process
 */
export function readPid(path: string): number {
  const text = readSmallFile(path, MOST_BYTES).toString("latin1").trim();
  const pid = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (pid <= 1) {
    const found = JSON.stringify(text.slice(0, 100));
    throw new Error(`${path} holds no pid of a container process: ${found}`);
  }
  return pid;
}
