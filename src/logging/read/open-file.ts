import type { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { identityOf, type ListedFile } from "./directory-listing.ts";
import { GzipFile } from "./gzip-file.ts";
import { PlainFile } from "./plain-file.ts";

const { O_NOCTTY, O_NONBLOCK, O_RDONLY } = fs.constants;

/** A part of a file that begins at `offset`, in bytes. */
export interface Block {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** What the files of a log, compressed or not, have in common. Offsets are in unpacked bytes. */
export interface OpenFile {
  readonly compressed: boolean;
  /** The name that it was opened by. */
  readonly path: string;
  /** The same for the same file, whatever it is renamed to. */
  readonly id: string;
  /** Bytes in the file at present. */
  length(): Promise<number>;
  /** A block of a size that suits the file, which ends at `end`; it is the caller's to keep. */
  blockBefore(end: number): Promise<Block>;
  /** Closes the file, which must not be read at the time. */
  close(): void;
}

/**
 * Opens a file of a log.
 *
 * @returns `undefined` if another file has its name by now, or none.
 * @throws {Error} with the `code` of the system call.
 */
export function openListed({ path, file, id }: ListedFile): PlainFile | GzipFile | undefined {
  const fd = openForReading(path);
  if (fd === undefined) return undefined;
  try {
    if (identityOf(fs.fstatSync(fd, { bigint: true })) === id) {
      return file.compressed ? new GzipFile(path, id, fd) : new PlainFile(path, id, fd);
    }
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  fs.closeSync(fd);
  return undefined;
}

function openForReading(path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
