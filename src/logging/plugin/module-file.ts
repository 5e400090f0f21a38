/**
 * Whose code may run in conmond? Only root's and that of conmond's own user: whoever names a plug-in is
 * perhaps not the one who wrote it.
 */
import { readFileSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { describe } from "../log-file.ts";

const WRITABLE_BY_OTHERS = 0o022;
/** In such a directory only the owner of a file can put another in its place. */
const STICKY = 0o1000;

/**
 * Checks that nobody but root and the present user can have written the module or can put another in
 * its place. What it loads itself is not looked at.
 *
 * @returns the path with all symbolic links followed
 * @throws {Error} that names the path and what is wrong with it
 */
export function checkPluginFile(path: string): string {
  const owners = new Set([0, process.geteuid?.() ?? 0]);
  const real = look(path, () => realpathSync(path));
  const file = look(path, () => statSync(real));
  if (!file.isFile()) throw refusal(path, "it is no regular file");
  refuseOthers(path, "it", file, owners);
  if ((file.mode & WRITABLE_BY_OTHERS) !== 0) throw refusal(path, `its ${writable(file)}`);
  const directoryOwners = new Set([...owners, ...unmappedOwner()]);
  for (let place = dirname(real), last = ""; place !== last; last = place, place = dirname(place)) {
    const directory = look(path, () => statSync(place));
    refuseOthers(path, `its directory ${place}`, directory, directoryOwners);
    if ((directory.mode & WRITABLE_BY_OTHERS) === 0 || (directory.mode & STICKY) !== 0) continue;
    throw refusal(path, `the ${writable(directory)} of its directory ${place}`);
  }
  return real;
}

function look<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw describe(error, `The log plug-in ${path} cannot be used`);
  }
}

function refuseOthers(path: string, what: string, { uid }: Stats, owners: Set<number>): void {
  if (owners.has(uid)) return;
  throw refusal(path, `${what} belongs to user ${uid}, neither to root nor to conmond's own user`);
}

function writable({ mode }: Stats): string {
  return `mode ${(mode & 0o7777).toString(8).padStart(4, "0")} lets others write`;
}

function refusal(path: string, reason: string): Error {
  const todo =
    "It has to be writable by root or conmond's user alone, as its directories have to be";
  return new Error(`The log plug-in ${path} cannot be used: ${reason}. ${todo}`);
}

/** In a user namespace the host's root, whose the directories at the top are, has no number of its own. */
function unmappedOwner(): number[] {
  const everybody = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
  if (everybody) return [];
  return [Number(readFileSync("/proc/sys/kernel/overflowuid", "utf8"))];
}
