/** Files that others read while they are written: always whole, whoever is killed when. */
import {
  lstatSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { randomName } from "../sys/mod.ts";
import { ContainerError, isCode, isDiskFull, reasonOf } from "./errors.ts";

/**
 * Writes a file beside its place and renames it. Mode 0600.
 *
 * @throws ContainerError; the system's own error, ENOENT, if the directory is not there
 */
export function writeWhole(path: string, text: string): void {
  const fresh = join(dirname(path), `.new-${randomName(6)}`);
  try {
    writeFileSync(fresh, text, { mode: 0o600, flag: "wx" });
    renameSync(fresh, path);
  } catch (error) {
    rmSync(fresh, { force: true });
    if (isCode(error, "ENOENT")) throw error;
    throw new ContainerError("failed", `cannot write ${path}: ${reasonOf(error)}`, {
      hint: isDiskFull(error) ? "conmonctl prune and rm make room" : undefined,
      cause: error,
    });
  }
}

/** The text of a file; undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // ESRCH: a file of /proc whose process has just ended.
    if (isCode(error, "ENOENT") || isCode(error, "ENOTDIR") || isCode(error, "ESRCH")) {
      return undefined;
    }
    throw error;
  }
}

/** The target of a symbolic link; undefined where there is none or it cannot be read. */
export function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined; // Not there, no link, or none of our business: links in /proc of others.
  }
}

/** Makes a symbolic link; false if something has its name already. */
export function claimLink(path: string, target: string): boolean {
  try {
    symlinkSync(target, path);
    return true;
  } catch (error) {
    if (isCode(error, "EEXIST")) return false;
    throw error;
  }
}

/** When a file was changed last; undefined where there is none. */
export function changedAt(path: string): Date | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.mtime;
}
