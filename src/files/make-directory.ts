import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { isSystemError } from "../sys/errors.ts";

/**
 * Makes a directory, and those above it that are missing, all with this mode. Node.js's own recursive way never
 * returns where the parent is there and the kernel says that it is not, as in `/proc`.
 *
 * @returns the first one that was made; undefined if all were there
 * @throws a system error
 */
export function makeDirectory(path: string, mode: number): string | undefined {
  try {
    return makeOne(path, mode);
  } catch (error) {
    const above = dirname(path);
    if (!isSystemError(error, "ENOENT") || above === path) throw error;
    const first = makeDirectory(above, mode);
    const last = makeOne(path, mode);
    return first ?? last;
  }
}

/** It is no error if it is there, by whomever it was made. */
function makeOne(path: string, mode: number): string | undefined {
  try {
    mkdirSync(path, { mode });
    return path;
  } catch (error) {
    if (!isSystemError(error, "EEXIST") || !statSync(path).isDirectory()) throw error;
    return undefined;
  }
}
