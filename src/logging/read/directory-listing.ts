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

/**
 * The files of a log, the newest first, at one point in time: none is missing or listed twice
 * because it was renamed in the meantime.
 *
 * All the calls are synchronous, so that nothing delays them: a rotation happens within a fraction
 * of a millisecond, and it takes two looks in a row that show the same.
 *
 * @param path The file that is written to.
 * @param upTo The identity of a file that the list ends with; older ones are not looked for.
 * @throws {Error} with the `code` of the system call if the directory cannot be read.
 */
export function listLogFiles(path: string, upTo?: string): ListedFile[] {
  let files = look(path, upTo);
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const again = look(path, upTo);
    if (areSame(files, again)) return again;
    files = again;
  }
  throw new Error(`The files of the log ${path} are renamed faster than they can be listed`);
}

/**
 * What tells a file from all others that are there at the same time. Inode numbers are used again;
 * the time of birth tells most of those files apart, but it only has the resolution of a clock tick.
 */
export function identityOf({ dev, ino, birthtimeNs }: fs.BigIntStats): string {
  return `${dev}:${ino}:${birthtimeNs}`;
}

function look(path: string, upTo: string | undefined): ListedFile[] {
  const directory = dirname(path);
  const base = basename(path);
  const names = fs.readdirSync(directory).flatMap((name) => parseLogFileName(base, name) ?? []);
  const changed = ({ name }: LogFileName) => statusOf(join(directory, name))?.mtimeNs ?? 0n;
  const files: ListedFile[] = [];
  for (const file of newestFirst(withoutDuplicates(names), changed)) {
    const filePath = join(directory, file.name);
    const status = statusOf(filePath);
    // Gone again, or something else.
    if (!status?.isFile()) continue;
    const id = identityOf(status);
    files.push({ path: filePath, file, id });
    if (id === upTo) break;
  }
  return files;
}

function statusOf(path: string): fs.BigIntStats | undefined {
  return fs.statSync(path, { throwIfNoEntry: false, bigint: true });
}

function areSame(one: readonly ListedFile[], other: readonly ListedFile[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ path, id }, index) => path === other[index]?.path && id === other[index]?.id)
  );
}
