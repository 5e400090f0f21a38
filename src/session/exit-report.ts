/** The files that tell the caller how a container ended. */
import { renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Writes a file so that a reader sees all of it or none: callers look at these the
 * moment they appear.
 *
 * @throws Error naming the path, with the system's reason as its `cause`
 */
export function writeAtomically(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, text, { mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It may never have come to be; the reason above is the one to tell.
    }
    throw new Error(`Failed to write ${path}: ${(error as Error).message}`, { cause: error });
  }
}

export interface ExitReport {
  /** Exit code, 128 + signal, or -1 when nobody knows. */
  status: number;
  containerId: string;
  persistDirectory: string | undefined;
  exitDirectory: string | undefined;
}

/**
 * Records the status, bare decimal without a newline: `exit` in the persist directory
 * first, since callers that wait for the exit directory's file read the other one then.
 *
 * @returns what went wrong; each file is tried whatever became of the other
 */
export function writeExitFiles(report: ExitReport): Error[] {
  const paths: string[] = [];
  if (report.persistDirectory !== undefined) paths.push(join(report.persistDirectory, "exit"));
  if (report.exitDirectory !== undefined) {
    paths.push(join(report.exitDirectory, report.containerId));
  }
  const errors: Error[] = [];
  for (const path of paths) {
    try {
      writeAtomically(path, String(report.status));
    } catch (error) {
      errors.push(error as Error);
    }
  }
  return errors;
}
