import { realpathSync } from "node:fs";

/** A path with all symbolic links followed, or `undefined` if nothing is there. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
