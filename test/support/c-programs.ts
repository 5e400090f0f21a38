import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { projectRoot } from "./programs.ts";

/**
 * Compiles a C program of this folder, unless that has been done since it was changed.
 *
 * @param name - of the source, without `.c`
 * @returns the program's path
 */
export function compiled(name: string): string {
  const source = join(projectRoot, "test/support", `${name}.c`);
  const folder = join(projectRoot, "build/test");
  const program = join(folder, basename(name));
  if (existsSync(program) && statSync(program).mtimeMs >= statSync(source).mtimeMs) return program;
  mkdirSync(folder, { recursive: true });
  // Another test may execute it just now, or compile it as well.
  const fresh = `${program}.${process.pid}`;
  const flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror"];
  execFileSync(process.env.CC ?? "cc", [...flags, source, "-o", fresh], { stdio: "inherit" });
  renameSync(fresh, program);
  return program;
}
