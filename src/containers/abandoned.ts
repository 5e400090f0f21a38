/** What is left of a `run` that was killed before it had written its record: nobody will ever complete it. */
import { existsSync, statSync } from "node:fs";
import { isCode } from "./errors.ts";
import { lockUnlessStarting } from "./start-lock.ts";
import type { ContainerPaths } from "./state.ts";

/** Whoever makes a directory locks it at once; so much later, in milliseconds, it is locked or nobody is there. */
const LOCKED_MS = 1000;

/** Whether a container's directory is one that nobody completes. */
export function isAbandoned(paths: ContainerPaths): boolean {
  const status = statSync(paths.directory, { throwIfNoEntry: false });
  return status !== undefined && Date.now() - status.mtimeMs >= LOCKED_MS && isUnmade(paths);
}

/** Whether a name's container is no more, or nobody completes it. A container gets its name when it is locked. */
export function isNameAbandoned(paths: ContainerPaths): boolean {
  return !existsSync(paths.directory) || isUnmade(paths);
}

function isUnmade(paths: ContainerPaths): boolean {
  if (existsSync(paths.record)) return false;
  try {
    const unlock = lockUnlessStarting(paths);
    if (unlock === undefined) return false;
    unlock();
  } catch (error) {
    // It is being removed just now.
    if (!isCode(error, "ENOENT")) throw error;
  }
  // It may have been written just before the lock was given back.
  return !existsSync(paths.record);
}
