/** Names of sockets in the file system. */
import * as fs from "node:fs";
import { basename, dirname } from "node:path";
import { failure } from "../faults/failure.ts";
import * as sys from "../sys/mod.ts";

/** The longest path, in bytes, that fits into a socket's address beside its final NUL. */
export const MAX_SOCKET_PATH = 107;

/** Linux's number for what Node.js has no name for: a descriptor of a place, not of its content. */
export const O_PATH = 0o10000000;

/**
 * Removes a socket or link; one that is not there is no error.
 *
 * @throws Error that names the path and the reason.
 */
export function removeName(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (cause) {
    if (!sys.isSystemError(cause, "ENOENT")) throw failure(`Failed to remove ${path}`, cause);
  }
}

/**
 * Calls `use` with a name for `path` that fits into a socket's address: the path itself, be it an
 * abstract name, or one through its directory's descriptor.
 */
export function withShortPath(path: string, use: (short: string) => void): void {
  if (path.startsWith("@") || Buffer.byteLength(path) <= MAX_SOCKET_PATH) {
    use(path);
    return;
  }
  const directory = fs.openSync(dirname(path), O_PATH | fs.constants.O_DIRECTORY);
  try {
    use(`/proc/self/fd/${directory}/${basename(path)}`);
  } finally {
    fs.closeSync(directory);
  }
}
