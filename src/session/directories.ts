/** The directories that a session writes to. */
import { accessSync, constants } from "node:fs";
import { getSystemErrorMap } from "node:util";
import type { CheckedOptions } from "./checks.ts";
import { ConmonError } from "./errors.ts";

/**
 * Found out at the start, a directory that cannot take the exit status can still be told to the caller.
 *
 * @throws ConmonError naming the option and the directory
 */
export function checkDirectories({ exitDir, persistDir, launch }: CheckedOptions): void {
  const needed = { "--exit-dir": exitDir, "--persist-dir": persistDir, "--bundle": launch.bundle };
  for (const [option, path] of Object.entries(needed)) {
    if (path === undefined) continue;
    try {
      accessSync(path, constants.W_OK | constants.X_OK);
    } catch (error) {
      const { code, errno } = error as NodeJS.ErrnoException;
      const reason = getSystemErrorMap().get(errno ?? 0)?.[1] ?? code;
      throw new ConmonError(`Cannot write to ${option} ${path}: ${reason}`, { cause: error });
    }
  }
}
