/** The files that tell the caller how a container ended. */
import { closeSync, constants, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { failure } from "../faults/failure.ts";
import { isSystemError } from "../sys/mod.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

/**
 * Writes a file so that a reader sees all of it or none: callers look at these the
 * moment they appear.
 *
 * @param session a number that is this session's for good, whoever writes: who comes after one that was killed in
 *   between uses the same temporary name, and leaves nothing behind
 * @throws Error naming the path, with the system's reason as its `cause`
 */
export function writeAtomically(path: string, text: string, session: number): void {
  const temporary = `${path}.${session}.tmp`;
  try {
    writeAfresh(temporary, text);
    putInPlace(temporary, path);
  } catch (error) {
    throw failure(`Failed to write ${path}`, error);
  }
}

/** Whose end is told where. */
export interface ExitReport {
  /** Exit code, 128 + signal, or -1 when nobody knows. */
  readonly status: number;
  readonly containerId: string;
  readonly persistDir: string | undefined;
  readonly exitDir: string | undefined;
  /** A number that is this session's for good, whoever writes. */
  readonly session: number;
}

/**
 * The status, bare decimal without a newline: `exit` in the persist directory first, since callers that
 * wait for the exit directory's file read the other one then.
 *
 * It comes about in two steps, so that it does so once even if the process that does it is killed: all files
 * are written under other names, and when that is on record they are renamed. Whoever comes to do the
 * second step again renames those that have not been. A file that a caller has read and removed does not
 * come back, which would be taken for the end of the next container of that name.
 */
export class ExitFiles {
  readonly #report: ExitReport;
  #paths: string[];

  constructor(report: ExitReport) {
    const { persistDir, exitDir, containerId } = report;
    this.#report = report;
    this.#paths = [
      ...(persistDir === undefined ? [] : [join(persistDir, "exit")]),
      ...(exitDir === undefined ? [] : [join(exitDir, containerId)]),
    ];
  }

  /**
   * The first step.
   *
   * @returns what went wrong; each file is tried whatever became of the other, and one that cannot be
   *   written is left out of the second step
   */
  write(): Error[] {
    const text = String(this.#report.status);
    return this.#each((path) => writeAfresh(this.#temporary(path), text));
  }

  /**
   * The second step.
   *
   * @param again somebody else has done the first one, and perhaps this one: what is not there is done
   * @returns what went wrong
   */
  putInPlace(again: boolean): Error[] {
    return this.#each((path) => {
      try {
        putInPlace(this.#temporary(path), path);
      } catch (error) {
        if (!(again && isSystemError(error, "ENOENT"))) throw error;
      }
    });
  }

  #temporary(path: string): string {
    return `${path}.${this.#report.session}.tmp`;
  }

  #each(step: (path: string) => void): Error[] {
    const errors: Error[] = [];
    this.#paths = this.#paths.filter((path) => {
      try {
        step(path);
        return true;
      } catch (error) {
        errors.push(failure(`Failed to write ${path}`, error));
        return false;
      }
    });
    return errors;
  }
}

/** Where that is not possible, nothing is left under the other name. */
function putInPlace(temporary: string, path: string): void {
  try {
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** What is there under that name is not written to, be it a fifo or a link, but replaced. */
function writeAfresh(path: string, text: string): void {
  rmSync(path, { force: true });
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
  try {
    writeSync(fd, text);
  } catch (error) {
    rmSync(path, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}
