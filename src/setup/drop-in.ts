/**
 * A configuration file of ours among those of others. Its first lines say who wrote it, and have a checksum
 * of the rest: a file that somebody has changed is somebody's, and is left alone as one that was never ours.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ContainerError, isCode, reasonOf } from "../containers/errors.ts";
import { makeDirectory } from "../files/make-directory.ts";

/**
 * What is at the path now.
 * - `absent`: nothing
 * - `current`: what would be written
 * - `outdated`: what was written for other settings
 * - `changed`: was written by us, and changed by somebody
 * - `foreign`: was not written by us
 */
export type DropInState = "absent" | "current" | "outdated" | "changed" | "foreign";

/** What is to be in which file. */
export interface DropIn {
  readonly path: string;
  /** Without the lines that say who wrote it. */
  readonly body: string;
  /** What takes it away again, for those who read the file. */
  readonly undo: string;
}

const SIGNATURE = "# Written by conmonctl";

/** The whole text of the file. */
export function dropInText({ body, undo }: Pick<DropIn, "body" | "undo">): string {
  return [
    `${SIGNATURE}; \`${undo}\` takes it away.`,
    "# conmonctl neither changes nor removes it once you have changed it.",
    `# sha256 of what follows: ${checksum(body)}`,
    body,
  ].join("\n");
}

function checksum(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

/** @throws ContainerError when the file cannot be read */
export function dropInState(dropIn: DropIn): DropInState {
  const text = readDropIn(dropIn.path);
  if (text === undefined) return "absent";
  if (text === dropInText(dropIn)) return "current";
  return ownership(text);
}

function ownership(text: string): "outdated" | "changed" | "foreign" {
  if (!text.startsWith(SIGNATURE)) return "foreign";
  const [, , sum = "", ...body] = text.split("\n");
  return sum.endsWith(`: ${checksum(body.join("\n"))}`) ? "outdated" : "changed";
}

/** The text at the path; undefined when there is nothing. A link is followed: what it leads to is in force. */
export function readDropIn(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // A directory, and a link that leads nowhere or to itself, are somebody's as well.
    if (isCode(error, "EISDIR") || isCode(error, "ELOOP")) return "";
    if (isCode(error, "ENOENT")) {
      return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : "";
    }
    throw new ContainerError("failed", `cannot read ${path}: ${reasonOf(error)}`, {
      hint: needsRoot(error),
      cause: error,
    });
  }
}

/** @throws ContainerError when it is somebody else's */
export function refuseOthers(path: string, state: DropInState): void {
  if (state !== "changed" && state !== "foreign") return;
  const why =
    state === "changed" ? "has been changed since conmonctl wrote it" : "is not conmonctl's";
  throw new ContainerError("conflict", `${path} ${why}: it is left as it is`, {
    hint: `move it away if it is not needed, then try again`,
  });
}

/** Takes a change back. */
export type Undo = () => void;

/**
 * Makes the file be what it is to be, at once and as a whole: who reads it sees the old text or the new one.
 *
 * @throws ContainerError when it is somebody else's, or cannot be written
 */
export function writeDropIn(dropIn: DropIn): Undo {
  const { path } = dropIn;
  const state = dropInState(dropIn);
  refuseOthers(path, state);
  if (state === "current") return () => undefined;
  const before = readDropIn(path);
  try {
    const made = makeDirectory(dirname(path), 0o755);
    put(path, dropInText(dropIn), state === "absent");
    return () => {
      if (before !== undefined) put(path, before, false);
      else {
        rmSync(path, { force: true });
        if (made !== undefined) removeEmpty(dirname(path), dirname(made));
      }
    };
  } catch (error) {
    throw new ContainerError("failed", `cannot write ${path}: ${reasonOf(error)}`, {
      hint: needsRoot(error),
      cause: error,
    });
  }
}

/**
 * Takes the file away.
 *
 * @returns false when there is none
 * @throws ContainerError when it is somebody else's, or cannot be removed
 */
export function removeDropIn(path: string): boolean {
  const text = readDropIn(path);
  if (text === undefined) return false;
  refuseOthers(path, ownership(text));
  try {
    rmSync(path);
    return true;
  } catch (error) {
    throw new ContainerError("failed", `cannot remove ${path}: ${reasonOf(error)}`, {
      hint: needsRoot(error),
      cause: error,
    });
  }
}

function needsRoot(error: unknown): string | undefined {
  return isCode(error, "EACCES") || isCode(error, "EPERM") ? "run it as root" : undefined;
}

/**
 * Made beside the directory, not in it: CRI-O reads whatever is in there. Where the directory is a file system of its
 * own, as it is when it was mounted into a container, there is no other place.
 */
function put(path: string, text: string, isNew: boolean): void {
  try {
    putFrom(dirname(dirname(path)), path, text, isNew);
  } catch (error) {
    if (!isCode(error, "EXDEV")) throw error;
    putFrom(dirname(path), path, text, isNew);
  }
}

/** A new file is linked, which fails where somebody was faster; one of ours is replaced. */
function putFrom(directory: string, path: string, text: string, isNew: boolean): void {
  const temporary = join(directory, `.conmonctl-${randomBytes(6).toString("hex")}`);
  try {
    writeFileSync(temporary, text, { flag: "wx", mode: 0o644, flush: true });
    // Whatever the umask is: all who start containers have to read it.
    chmodSync(temporary, 0o644);
    if (isNew) linkSync(temporary, path);
    else renameSync(temporary, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Removes directories from the inside out, up to one that stays, as long as they are empty. */
function removeEmpty(directory: string, stays: string): void {
  for (let path = directory; path !== stays && existsSync(path); path = dirname(path)) {
    try {
      rmdirSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOTEMPTY") return;
      throw error;
    }
  }
}
