/** The file in which the runtime leaves the pid of the container process. */
import { readFileSync } from "node:fs";

/**
 * Reads it.
 *
 * @throws Error naming the file when it cannot be read or holds no pid of a container process
 */
export function readPid(path: string): number {
  const text = readFileSync(path, "latin1").trim();
  const pid = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (pid <= 1)
    throw new Error(`${path} holds no pid of a container process: ${JSON.stringify(text)}`);
  return pid;
}
