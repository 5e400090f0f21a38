import { readFileSync } from "node:fs";
import { PATIENCE } from "./waiting.ts";

/**
 * What `look` finds. The kernel tells nobody but parents of a child's start, and nobody at all of a
 * descriptor's: so this has to look again and again.
 */
export async function eventually<T>(look: () => T | undefined | false, what: string): Promise<T> {
  for (const end = Date.now() + PATIENCE; Date.now() < end; ) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise(setImmediate);
  }
  throw new Error(`waited in vain for ${what}`);
}

/** The private conmond of a monitor, as soon as there is one other than `last`. */
export function privateConmond(monitor: number, last = 0): Promise<number> {
  return eventually(
    () => findPrivateConmond(monitor, last),
    `a private conmond of process ${monitor}`,
  );
}

/** The private conmond of a monitor, if there is one just now, other than `last`. */
export function findPrivateConmond(monitor: number, last = 0): number | undefined {
  const children = childrenOf(monitor).split(" ").map(Number);
  return children.find((pid) => pid > 0 && pid !== last && isPrivate(pid));
}

function childrenOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim();
  } catch {
    return ""; // It has ended.
  }
}

function isPrivate(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("\0--private\0");
  } catch {
    return false; // It has ended since it was listed.
  }
}
