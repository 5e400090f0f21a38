/** A container is started by one at a time: a lock of the kernel's, which ends with its holder. */
import { closeSync, constants, openSync } from "node:fs";
import { lockFile } from "../sys/mod.ts";
import { ContainerError } from "./errors.ts";
import type { ContainerPaths } from "./state.ts";

/**
 * Locks a container for as long as it is being started.
 *
 * @returns what ends the lock
 * @throws ContainerError if somebody else is starting it
 */
export function lockForStart(paths: ContainerPaths, name: string): () => void {
  const fd = openSync(paths.lock, constants.O_RDWR | constants.O_CREAT, 0o600);
  const unlock = (): void => closeSync(fd);
  try {
    if (lockFile(fd)) return unlock;
  } catch (error) {
    unlock();
    throw error;
  }
  unlock();
  throw new ContainerError("conflict", `container ${name} is being started by somebody else`);
}
