/** Directories in which something has to be written. */
import { accessSync, constants, lstatSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
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
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status !== undefined) return judgePrivate("the state directory", path);
  const parent = existingParent(path);
  return canWrite(parent)
    ? ok(`the state directory ${path} can be made`)
    : fail(`the state directory ${path} cannot be made in ${parent}`, `make ${parent} writable`);
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
  if (!canWrite(path)) return fail(`${title} ${path} cannot be written to`, `chmod 700 ${path}`);
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

/** conmon makes the socket for a container's terminal there, whose name has a place for 107 bytes. */
function temporary(environment: NodeJS.ProcessEnv): Finding {
  const path = environment.TMPDIR || "/tmp";
  if (!canWrite(path)) return fail(`${path} cannot be written to`, "name another in TMPDIR");
  if (path.length + "/conmon-term.XXXXXX".length > 107) {
    return warn(`the path ${path} is too long for a socket`, "name a shorter one in TMPDIR");
  }
  return ok(`temporary files go to ${tmpdir()}`);
}

function existingParent(path: string): string {
  let parent = dirname(path);
  while (lstatSync(parent, { throwIfNoEntry: false }) === undefined) parent = dirname(parent);
  return parent;
}

function canWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false; // Whatever the reason.
  }
}
