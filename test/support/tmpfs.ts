import { execFileSync } from "node:child_process";
import type { Scratch } from "./scratch.ts";

/** Mounts a tmpfs of so many KiB until the end of the test; returns where. Needs root. */
export function mountTmpfs(scratch: Scratch, kibibytes: number): string {
  const directory = scratch.folder(scratch.uniqueName());
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${kibibytes}k`, "tmpfs", directory]);
  scratch.atEnd(() => {
    execFileSync("umount", ["-l", directory]);
  });
  return directory;
}
