import { closeSync, openSync, readSync } from "node:fs";

/**
 * Hexadecimal digits that nobody can guess, for the name of a file. Straight from the kernel: to load
 * node:crypto would take longer than all else that conmond does at its start.
 */
export function randomName(bytes: number): string {
  const random = Buffer.alloc(bytes);
  const fd = openSync("/dev/urandom", "r");
  try {
    readSync(fd, random);
  } finally {
    closeSync(fd);
  }
  return random.toString("hex");
}
