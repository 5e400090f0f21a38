import * as fs from "node:fs";
import { dirname, resolve } from "node:path";
import { describe } from "../log-file.ts";
import {
  identityOf,
  type ListedFile,
  listLogFiles,
  tryToListLogFiles,
} from "./directory-listing.ts";
import type { GzipFile } from "./gzip-file.ts";
import { findGzipTwin } from "./gzip-twin.ts";
import { openListed } from "./open-file.ts";
import { PlainFile } from "./plain-file.ts";

/** How often files may vanish between being listed and being opened before it is given up. */
const ATTEMPTS = 1000;
/** The same for what is done again soon. */
const ATTEMPTS_IN_PASSING = 10;

/** A file of a log that has been opened. */
export type LogFilePart = PlainFile | GzipFile;

/** The files of one log: the one that is written to and those that were rotated away. */
export class LogFiles {
  /** Absolute, with links followed: the rotated files are beside the file itself. */
  readonly path: string;
  /**
   * The identities of files that have been listed and were still there when all were listed last: one that is gone
   * may have left its inode to a newer file.
   */
  readonly #seen = new Set<string>();
  #lostTrack = false;

  /** @param path The file that is written to. It may be missing. */
  constructor(path: string) {
    this.path = realPath(path);
  }

  /**
   * Opens all files, the oldest first. Whatever is renamed, compressed or deleted from then on, these are
   * the log as it was.
   *
   * @throws {Error} `Failed to open the log PATH: REASON`, with the `code` of the system call.
   */
  openAll(): LogFilePart[] {
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const listed = listLogFiles(this.path).reverse();
        const opened = openUntilChanged(listed);
        if (opened.length === listed.length) {
          this.#remember(listed);
          return opened;
        }
        for (const file of opened) file.close();
      }
    } catch (error) {
      throw describe(error, `Failed to open the log ${this.path}`);
    }
    throw new Error(`The files of the log ${this.path} change faster than they can be opened`);
  }

  /**
   * Opens the files that are newer than `last`, the oldest first, but not more than `most`. Where `last` is gone
   * {@link lostTrack} is true: there may have been others in between.
   *
   * @throws {Error} of the system call; `ENOENT` if the log's directory is gone.
   */
  openNewer(last: LogFilePart | undefined, most: number): LogFilePart[] {
    const opened: LogFilePart[] = [];
    this.#lostTrack = false;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const listed = this.#newerThan(opened.at(-1) ?? last).slice(0, most - opened.length);
      const more = openUntilChanged(listed);
      this.#remember(listed.slice(0, more.length));
      opened.push(...more);
      if (more.length === listed.length) return opened;
    }
    return opened;
  }

  /** Whether the files that were opened last may not be the next ones. */
  get lostTrack(): boolean {
    return this.#lostTrack;
  }

  /**
   * Remembers the files that are older than `last`, so that they are not mistaken for newer ones when
   * that is gone. They have other identities than before if they were compressed. Where thousands of files
   * are renamed all the time it is left for the next time.
   *
   * @throws {Error} of the system call; `ENOENT` if the log's directory is gone.
   */
  noteOlder(last: LogFilePart | undefined): void {
    if (last === undefined) return;
    const listed = tryToListLogFiles(this.path, ATTEMPTS_IN_PASSING);
    if (listed === undefined) return;
    this.#forgetGone(listed);
    const at = listed.findIndex(({ id }) => id === last.id);
    if (at !== -1) this.#remember(listed.slice(at + 1));
  }

  /** Whether the file is the one that is written to, as far as its name says so. */
  isCurrent(file: LogFilePart): boolean {
    const status = fs.statSync(this.path, { throwIfNoEntry: false, bigint: true });
    return status !== undefined && identityOf(status) === file.id;
  }

  #newerThan(last: LogFilePart | undefined): ListedFile[] {
    if (last === undefined) return listLogFiles(this.path).reverse();
    if (this.isCurrent(last)) return [];
    const listed = listLogFiles(this.path, last.id);
    if (listed.at(-1)?.id === last.id) return listed.slice(0, -1).reverse();
    const twin = last instanceof PlainFile ? findGzipTwin(last, listed) : -1;
    if (twin !== -1) return listed.slice(0, twin).reverse();
    // It is gone. What was there before it is not newer.
    this.#lostTrack = true;
    this.#forgetGone(listed);
    return listed.filter(({ id }) => !this.#seen.has(id)).reverse();
  }

  #forgetGone(listed: readonly ListedFile[]): void {
    const there = new Set(listed.map(({ id }) => id));
    for (const id of this.#seen) if (!there.has(id)) this.#seen.delete(id);
  }

  #remember(listed: readonly ListedFile[]): void {
    for (const { id } of listed) this.#seen.add(id);
  }
}

/** Opens one file after the other, until one is not where it was listed. */
function openUntilChanged(listed: readonly ListedFile[]): LogFilePart[] {
  const opened: LogFilePart[] = [];
  try {
    for (const entry of listed) {
      const file = openListed(entry);
      if (file === undefined) break;
      opened.push(file);
    }
  } catch (error) {
    for (const file of opened) file.close();
    throw error;
  }
  return opened;
}

function realPath(path: string): string {
  try {
    return fs.realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") {
      throw describe(error, `Failed to open the log ${path}`);
    }
    // It may come later, where a link leads that is there already. A circle of links is another error.
    const status = fs.lstatSync(path, { throwIfNoEntry: false });
    if (!status?.isSymbolicLink()) return resolve(path);
    return realPath(resolve(fs.realpathSync(dirname(path)), fs.readlinkSync(path)));
  }
}
