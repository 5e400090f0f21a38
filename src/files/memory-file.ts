/** Files in memory by which processes hand on what is too much for a message. */
import { fstatSync, readSync } from "node:fs";

/**
 * Reads all of one from its beginning, wherever the position is, which everybody who has it shares.
 *
 * @param what it is, for the error, such as `a context`
 * @param most bytes that it may have: its size is whatever its writer has made it, a hole costs nothing
 * @throws Error that names what it is, when it has more or becomes shorter meanwhile; a system error
 */
export function readMemoryFile(fd: number, what: string, most: number): Buffer {
  const { size } = fstatSync(fd);
  if (size > most) throw new Error(`${what} of ${size} bytes, more than ${most}`);
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const count = readSync(fd, bytes, at, size - at, at);
    if (count === 0) throw new Error(`${what} that became shorter`);
    at += count;
  }
  return bytes;
}
