/** Directories in which something has to be written. */
import { lstatSync, mkdtempSync, rmdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isCode, reasonOf } from "../containers/errors.ts";
import { stateDirectory } from "../containers/state.ts";
import { type Check, type Finding, fail, messageOf, ok, type Patient, warn } from "./check.ts";

export const directories: Check = {
  name: "directories",
  look: async ({ environment }: Patient) => [
    state(environment),
    ...runtimeDirectory(environment),
    temporary(environment),
  ],
};

function state(environment: NodeJS.ProcessEnv): Finding {
  const path = stateDirectory(environment);
  if (path === undefined) {
    const advice = "log in by a session of systemd's, or name a directory in CONMON_TS_STATE";
    return fail("there is no place for the state: XDG_RUNTIME_DIR is not set", advice);
  }
  if (isThere(path)) return judgePrivate("the state directory", path);
  const parent = existingParent(path);
  const why = whyNotWritten(parent);
  if (why === undefined) return ok(`the state directory ${path} can be made`);
  const found = `the state directory ${path} cannot be made in ${parent}: ${why}`;
  return fail(found, "name another directory in CONMON_TS_STATE");
}

/** One that others could write into lets them put files and sockets of theirs in our way. */
function judgePrivate(title: string, path: string): Finding {
  const status = statSync(path);
  const own = process.geteuid?.();
  const mode = (status.mode & 0o777).toString(8).padStart(4, "0");
  if (!status.isDirectory()) return fail(`${title} ${path} is no directory`, `remove ${path}`);
  if (status.uid !== own) {
    return fail(`${title} ${path} belongs to user ${status.uid}`, `chown ${own} ${path}`);
  }
  if ((status.mode & 0o077) !== 0) {
    return fail(`${title} ${path} is open to others (mode ${mode})`, `chmod 700 ${path}`);
  }
  const why = whyNotWritten(path);
  if (why !== undefined) {
    const advice = (status.mode & 0o700) === 0o700 ? undefined : `chmod 700 ${path}`;
    return fail(`${title} ${path} cannot be written to: ${why}`, advice);
  }
  return ok(`${title} is ${path}`);
}

function runtimeDirectory({ XDG_RUNTIME_DIR: path }: NodeJS.ProcessEnv): Finding[] {
  if (!path) return [];
  try {
    return [judgePrivate("XDG_RUNTIME_DIR", path)];
  } catch (error) {
    return [fail(`XDG_RUNTIME_DIR is ${path}: ${messageOf(error)}`, "unset it, or make it")];
  }
}

/** The longest path, in bytes, that fits into a socket's address; sockets/ needs the addon, which may be broken. */
const MAX_SOCKET_PATH = 107;

/** The socket for a container's terminal is made there, and runtimes connect to it by its whole path. */
function temporary(environment: NodeJS.ProcessEnv): Finding {
  const path = environment.TMPDIR || "/tmp";
  const why = whyNotWritten(path);
  if (why !== undefined) {
    return fail(`${path} cannot be written to: ${why}`, "name another in TMPDIR");
  }
  if (Buffer.byteLength(join(path, "conmon-term.XXXXXXXX")) > MAX_SOCKET_PATH) {
    return warn(`the path ${path} is too long for a socket`, "name a shorter one in TMPDIR");
  }
  return ok(`temporary files go to ${tmpdir()}`);
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (!isThere(parent)) parent = dirname(parent);
  return parent;
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isCode(error, "ENOTDIR")) return false;
    throw error;
  }
}

/**
 * By a directory that is made and removed again: permissions say nothing of what file systems refuse, as /proc does.
 *
 * @returns why nothing can be made there; undefined if it can
 */
function whyNotWritten(path: string): string | undefined {
  try {
    rmdirSync(mkdtempSync(join(path, ".conmonctl-")));
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}
