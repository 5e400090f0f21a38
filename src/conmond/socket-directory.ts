/** The directory of a shared conmond's socket: who can write there can put a socket of his own in its place. */
import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import { makeDirectory } from "../files/make-directory.ts";

/**
 * Makes the directory of a socket, or checks the one that is there: it has to be a directory of this user,
 * which nobody else has any access to.
 *
 * @throws Error that says what is wrong with it, and what to do
 */
export function prepareSocketDirectory(socketPath: string): void {
  const directory = dirname(socketPath);
  makeDirectory(directory, 0o700);
  const status = lstatSync(directory);
  const mode = status.mode & 0o777;
  const own = process.geteuid?.();
  if (status.isSymbolicLink()) {
    throw new Error(`${directory} is a symbolic link: name the directory itself`);
  }
  if (status.uid !== own) {
    throw new Error(`${directory} belongs to user ${status.uid}, not to user ${own}`);
  }
  if ((mode & 0o077) !== 0) {
    throw new Error(
      `${directory} is open to other users (mode 0${mode.toString(8)}): run chmod 700 ${directory}, or choose another directory`,
    );
  }
}
