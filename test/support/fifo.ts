import { execFileSync } from "node:child_process";
import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import type { Scratch } from "./scratch.ts";

/** Makes a fifo. The function that is returned writes a line to it, whether anybody reads it yet or not. */
export function makeFifo(scratch: Scratch, path: string): (line: string) => void {
  execFileSync("mkfifo", [path]);
  // For reading as well: so the opening does not wait, and what is written stays until somebody comes.
  const fd = openSync(path, "r+");
  scratch.atEnd(() => {
    closeSync(fd);
    rmSync(path, { force: true });
  });
  return (line) => {
    writeSync(fd, `${line}\n`);
  };
}
