/** A root file system for trying whether a container can be started. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { isStatic } from "./elf.ts";
import { findProgram, isExecutableFile } from "./find-program.ts";

/** What a trial runs, and what it then prints. */
export interface TrialCommand {
  readonly command: readonly string[];
  readonly expected: string;
}

/**
 * Makes a root with one program in it, which needs no other file: our own conmon, which says its version, or
 * busybox where conmon is not static.
 *
 * @returns undefined where no static program is installed
 */
export function makeTrialRoot(directory: string, conmon: string): TrialCommand | undefined {
  const busybox = findProgram("busybox");
  const candidates = [
    { path: conmon, command: ["/program", "--version"], expected: "conmon version" },
    { path: busybox, command: ["/program", "echo", "conmon version"], expected: "conmon version" },
  ];
  for (const { path, command, expected } of candidates) {
    if (path === undefined || !isExecutableFile(path) || !isStatic(path)) continue;
    // Runtimes mount these.
    for (const name of ["proc", "dev", "sys", "etc", "tmp"]) {
      mkdirSync(join(directory, name), { recursive: true });
    }
    copyFileSync(path, join(directory, "program"));
    return { command, expected };
  }
  return undefined;
}
