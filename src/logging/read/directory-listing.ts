import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import {
  type LogFileName,
  newestFirst,
  parseLogFileName,
  withoutDuplicates,
} from "./file-names.ts";

/** How often files may change their names while they are listed before it is given up. */
const ATTEMPTS = 1000;

/** A file of a log, as it was found in its directory. */
export interface ListedFile {
  readonly path: string;
  readonly file: LogFileName;
  /** The same as long as it is the same file, whatever it is renamed to. */
  readonly id: string;
}

/** What one look at the directory has shown. */
interface Look {
  readonly files: readonly ListedFile[];
  /** No name was gone when the file of that name was asked for. */
  readonly complete: boolean;
}

/**
 * The files of a log, the newest first, at one point in time: none is missing or listed twice
 * because it was renamed or compressed in the meantime.
 *
 * It takes two looks in a row that show the same, of which the second has found a file for each name: then
 * each of these names stood for the same file before and after the names were read, and so at that time. Where a
 * name is gone its file may have another one by now that was not there to be read, and the look before
 * may have missed that file for a reason of its own.
 *
 * All the calls are synchronous, so that nothing delays them: a rotation happens within a fraction
 * of a millisecond.
 *
 * @param path The file that is written to.
 * @param upTo The identity of a file that the list ends with; older ones are not looked for.
 * @throws {Error} with the `code` of the system call if the directory cannot be read.
 */
export function listLogFiles(path: string, upTo?: string): ListedFile[] {
  const files = tryToListLogFiles(path, ATTEMPTS, upTo);
  if (files !== undefined) return files;
  throw new Error(`The files of the log ${path} are renamed faster than they can be listed`);
}

/**
 * The same, for who can do without it.
 *
 * @param attempts How often the files may change their names before it is given up.
 * @returns `undefined` if they are renamed faster than they can be listed.
 */
export function tryToListLogFiles(
  path: string,
  attempts: number,
  upTo?: string,
): ListedFile[] | undefined {
  let before = look(path, upTo);
  for (let attempt = 0; attempt < attempts; attempt++) {
    const again = look(path, upTo);
    if (again.complete && areSame(before.files, again.files)) return [...again.files];
    before = again;
  }
  return undefined;
}

/**
 * What tells a file from all others that are there at the same time. Inode numbers are used again at once;
 * the time of birth tells most of those files apart, but it only has the resolution of a clock tick (up to
 * 10 ms). So an identity is good for files that are open or still there, and not to know one again that is gone.
 */
export function identityOf({ dev, ino, birthtimeNs }: fs.BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}

function look(path: string, upTo: string | undefined): Look {
  const directory = dirname(path);
  const base = basename(path);
  const names = fs.readdirSync(directory).flatMap((name) => parseLogFileName(base, name) ?? []);
  let complete = true;
  const statusOf = (name: string): fs.BigIntStats | undefined => {
    const status = fs.statSync(join(directory, name), { throwIfNoEntry: false, bigint: true });
    if (status === undefined && !isLink(join(directory, name))) complete = false;
    return status;
  };
  const changed = ({ name }: LogFileName) => statusOf(name)?.mtimeNs ?? 0n;
  const files: ListedFile[] = [];
  for (const file of newestFirst(withoutDuplicates(names), changed)) {
    const status = statusOf(file.name);
    // Gone again, or something else.
    if (!status?.isFile()) continue;
    const id = identityOf(status);
    files.push({ path: join(directory, file.name), file, id });
    if (id === upTo) break;
  }
  return { files, complete };
}

/** One that leads nowhere stays as it is, and is nothing to wait for. */
function isLink(path: string): boolean {
  return fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function areSame(one: readonly ListedFile[], other: readonly ListedFile[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ path, id }, index) => path === other[index]?.path && id === other[index]?.id)
  );
}
