/** A container is started by one at a time: a lock of the kernel's, which ends with its holder. */
import { closeSync, constants, openSync } from "node:fs";
import { lockFile } from "../sys/mod.ts";
import { ContainerError, isCode } from "./errors.ts";
import type { ContainerPaths } from "./state.ts";

/**
 * Locks a container for as long as it is being made or started.
 *
 * @returns what ends the lock
 * @throws ContainerError if somebody else is starting it, or if it has just been removed
 */
export function lockForStart(paths: ContainerPaths, name: string): () => void {
  try {
    const unlock = lockUnlessStarting(paths);
    if (unlock !== undefined) return unlock;
  } catch (cause) {
    if (!isCode(cause, "ENOENT")) throw cause;
    throw new ContainerError("not-found", `container ${name} has just been removed`, { cause });
  }
  throw new ContainerError("conflict", `container ${name} is being started by somebody else`);
}

/** Whether somebody makes a container, or starts it. One that has just been removed is nobody's. */
export function isBeingStarted(paths: ContainerPaths): boolean {
  try {
    const unlock = lockUnlessStarting(paths);
    unlock?.();
    return unlock === undefined;
  } catch (error) {
    if (isCode(error, "ENOENT")) return false;
    throw error;
  }
}

/** The same lock; undefined if somebody else makes the container, or starts it. */
export function lockUnlessStarting(paths: ContainerPaths): (() => void) | undefined {
  const fd = openSync(paths.lock, constants.O_RDWR | constants.O_CREAT, 0o600);
  const unlock = (): void => closeSync(fd);
  try {
    if (lockFile(fd)) return unlock;
  } catch (error) {
    unlock();
    throw error;
  }
  unlock();
  return undefined;
}
