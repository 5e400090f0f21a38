/** Reading files that callers name. */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";

// A fifo or a terminal must not make everybody wait until somebody else opens or writes it.
const HARMLESSLY = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/**
 * Reads a regular file, which is all that a name of the caller's may lead to: whatever else is there could
 * make the reader wait.
 *
 * @param most bytes that it may have
 * @throws a system error, or an Error that says what is wrong with the file
 */
export function readSmallFile(path: string, most: number): Buffer {
  const fd = openSync(path, HARMLESSLY);
  try {
    if (!fstatSync(fd).isFile()) throw new Error(`${path} is no regular file`);
    const bytes = Buffer.alloc(most + 1);
    let length = 0;
    while (length <= most) {
      const count = readSync(fd, bytes, length, bytes.length - length, null);
      if (count === 0) return bytes.subarray(0, length);
      length += count;
    }
    throw new Error(`${path} has more than ${most} bytes`);
  } finally {
    closeSync(fd);
  }
}
