import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { getSystemErrorMap, promisify } from "node:util";
import * as sys from "../sys/mod.ts";
import { endOfRecord, endOfRecordsWithin } from "./cri-framing.ts";
import { closeInThread, removeFile } from "./dropped-file.ts";
import type { Records } from "./record-framer.ts";

const { O_APPEND, O_CREAT, O_EXCL, O_NOCTTY, O_NONBLOCK, O_WRONLY } = fs.constants;
// Non-blocking so that a fifo or a terminal as the log cannot stop everything; no meaning for files.
const APPEND = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;
const MODE = 0o640;
const NOTHING = Buffer.alloc(0);
const NEWLINE = Buffer.from("\n");

const fdatasync = promisify(fs.fdatasync);

/** One for all: an error keeps the functions under way where it was made, and all that these can see. */
const NONE_YET = new Error("No failure yet");

/**
 * A file on disk that records are appended to, each ending in a newline: opened, written, kept
 * free of torn records, replaced by a fresh one. What is written and when a fresh file is due is
 * not its business.
 */
export class LogFile {
  readonly path: string;
  /** The newest failure of an `append()`. */
  failure = NONE_YET;

  #fd: number;
  #size: number;
  #regular: boolean;
  #inode: bigint;
  #closed = false;
  /** The rest of a record whose beginning is in the file and could not be cut off; of somebody else's, a newline. */
  #rest: Buffer = NOTHING;
  /** Bytes of what is appended next that are in the file already. */
  #ahead = 0;
  #syncs = 0;
  readonly #retired: number[] = [];
  readonly #onLateError: (error: Error) => void;

  /**
   * Opens the file for appending; it is made with mode 0640 if it is missing. Where it ends in a torn record, that
   * gets a newline: what is appended is not to become a part of it.
   *
   * @param path Absolute.
   * @param onLateError Told when a file that was replaced could not be closed without an error.
   * @param inherited A descriptor that is open on it already, and is this object's own from now on.
   * @throws {Error} `Failed to open log file PATH: REASON`, with the `code` of the system call.
   */
  constructor(path: string, onLateError: (error: Error) => void, inherited?: number) {
    this.path = path;
    this.#onLateError = onLateError;
    try {
      const opened = inherited === undefined ? openForAppending(path) : describeOpen(inherited);
      this.#fd = opened.fd;
      this.#size = opened.size;
      this.#regular = opened.regular;
      this.#inode = opened.inode;
    } catch (error) {
      throw describe(error, `Failed to open log file ${path}`);
    }
    // The torn end of an inherited one is its successor's to complete.
    if (inherited === undefined) this.#endTornRecord();
  }

  /** Bytes in the file, as far as is known here. */
  get size(): number {
    return this.#size;
  }

  /** Goes with every file that is or was at the path; changes when a fresh one is begun. */
  get fd(): number {
    return this.#fd;
  }

  /** The file's inode number. */
  get inode(): bigint {
    return this.#inode;
  }

  /** Bytes of our own record that are still missing at the end of the file; 0 as long as all is well. */
  get unfinished(): number {
    return this.#rest === NEWLINE ? 0 : this.#rest.length;
  }

  /** Whether it can be replaced: a device or a fifo cannot. */
  get replaceable(): boolean {
    return this.#regular;
  }

  /** Looks up the size, which is another than was known if somebody else has truncated the file. */
  measure(): number {
    if (this.#regular) this.#size = sys.seekEnd(this.#fd);
    return this.#size;
  }

  /**
   * Appends records. When that fails in the middle, then no torn record stays behind. Never
   * throws.
   *
   * @returns the position of the first record that is not in the file: `end` if all went well,
   *   else `failure` tells why not.
   */
  append(records: Records, start: number, end: number): number {
    if (this.#closed) {
      this.failure = new Error(`The log file ${this.path} is closed`);
      return start;
    }
    if (!this.#finishRecord()) return start;
    const from =
      start +
      (this.#takeAhead(end - start) || (start === 0 ? this.#writeGathered(records, end) : 0));
    // What is still in pieces is only put together if there is a need.
    const reached = from === end ? end : this.#write(records.bytes, from, end);
    if (reached === end) return end;
    const { bytes } = records;
    const whole = endOfRecordsWithin(bytes, start, reached - start);
    return this.#cut(reached - whole) ? whole : this.#keepRest(bytes, reached);
  }

  /** Whether records may be written to {@link fd} by somebody else, who tells so by {@link noteAppended}. */
  get takesRecords(): boolean {
    return !this.#closed && this.#rest.length === 0;
  }

  /**
   * Somebody else has appended whole records.
   *
   * @param torn bytes behind them of the records that are appended next
   */
  noteAppended(bytes: number, torn: number): void {
    this.#size += bytes;
    this.#ahead = torn;
  }

  /**
   * Begins a fresh file at the path: `PATH.tmp` is made and renamed. If the file was renamed away or
   * removed, then the path is only opened anew.
   *
   * @param moveAway Called in between if this file is still at its path, to make a backup of it; without
   *   it the file is dropped.
   * @throws {Error} of the system call that failed; then the old file stays in use.
   */
  renew(moveAway?: () => void): void {
    if (this.#closed) throw new Error(`The log file ${this.path} is closed`);
    const opened =
      this.#regular && this.#isAtPath()
        ? replaceFile(this.path, moveAway)
        : openForAppending(this.path);
    this.#retire((fd) => this.#closeLater(fd));
    this.#fd = opened.fd;
    this.#size = opened.size;
    this.#regular = opened.regular;
    this.#inode = opened.inode;
    this.#rest = NOTHING;
    this.#ahead = 0;
    this.#endTornRecord();
  }

  /**
   * Drops what is behind `size`: a process that was killed had not come to the end of it.
   *
   * @returns whether that was possible: it is not where a file can only be appended to
   */
  cutTo(size: number): boolean {
    return this.#cut(this.#size - size);
  }

  /** So many bytes at the end of the file are the beginning of what is appended next, but for the times. */
  goOnWithin(bytes: number): void {
    this.#ahead = bytes;
    this.#size -= bytes;
  }

  /** Another file is at the path, or none. */
  get isAway(): boolean {
    return this.#regular && !this.#isAtPath();
  }

  /** Resolves when the data of the present file is on stable storage. */
  async sync(): Promise<void> {
    if (this.#closed || !this.#regular) return;
    this.#syncs++;
    try {
      await fdatasync(this.#fd);
    } catch (error) {
      throw describe(error, `Failed to sync log file ${this.path}`);
    } finally {
      this.#syncs--;
      if (this.#syncs === 0) for (const fd of this.#retired.splice(0)) this.#closeLater(fd);
    }
  }

  /** Closes the file. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#retire(fs.closeSync);
  }

  /** Gives the descriptor up, but not under the feet of a sync, which would then hit another file. */
  #retire(close: (fd: number) => void): void {
    if (this.#syncs > 0) this.#retired.push(this.#fd);
    else close(this.#fd);
  }

  #closeLater(fd: number): void {
    closeInThread(fd, (error) =>
      this.#onLateError(describe(error, `Failed to close the old log file of ${this.path}`)),
    );
  }

  #isAtPath(): boolean {
    // Inode numbers of overlay file systems are too large for a double.
    const there = fs.statSync(this.path, { throwIfNoEntry: false, bigint: true });
    const ours = fs.fstatSync(this.#fd, { bigint: true });
    return there !== undefined && there.dev === ours.dev && there.ino === ours.ino;
  }

  #takeAhead(most: number): number {
    const bytes = Math.min(this.#ahead, most);
    this.#ahead -= bytes;
    this.#size += bytes;
    return bytes;
  }

  /** Returns how many bytes were written, which may be none: why not comes out with the next attempt. */
  #writeGathered({ gathered }: Records, end: number): number {
    if (gathered?.length !== end) return 0;
    try {
      const { memory, parts, count } = gathered;
      const written = Math.max(0, sys.writeGathered(this.#fd, memory, parts, count));
      this.#size += written;
      return written;
    } catch {
      return 0;
    }
  }

  /** Writes as much as possible and returns where it stopped. */
  #write(bytes: Buffer, start: number, end: number): number {
    let at = start;
    try {
      while (at < end) {
        const count = fs.writeSync(this.#fd, bytes, at, end - at);
        if (count === 0) throw new Error(`Nothing can be written to ${this.path}`);
        at += count;
      }
    } catch (error) {
      this.failure = asError(error);
    }
    this.#size += at - start;
    return at;
  }

  /** Takes the newest bytes off the file again. */
  #cut(bytes: number): boolean {
    if (bytes === 0) return true;
    try {
      // Not the size known here: if that were too large, then the file would be filled with zeros.
      const size = Math.max(0, fs.fstatSync(this.#fd).size - bytes);
      fs.ftruncateSync(this.#fd, size);
      this.#size = size;
      return true;
    } catch {
      // No regular file, or one that can only be appended to. The record is completed later.
      return false;
    }
  }

  /** Whoever wrote to the file before, or the machine, may have been killed in the middle of a record. */
  #endTornRecord(): void {
    if (!this.#regular || this.#size === 0 || lastByte(this.#fd, this.#size) === NEWLINE[0]) return;
    // What cannot be written now is with the next record.
    if (this.#write(NEWLINE, 0, NEWLINE.length) === 0) this.#rest = NEWLINE;
  }

  #keepRest(records: Buffer, reached: number): number {
    const end = endOfRecord(records, reached);
    this.#rest = Buffer.from(records.subarray(reached, end));
    return end;
  }

  #finishRecord(): boolean {
    if (this.#rest.length === 0) return true;
    const reached = this.#write(this.#rest, 0, this.#rest.length);
    if (reached > 0) this.#rest = this.#rest.subarray(reached);
    return this.#rest.length === 0;
  }
}

interface OpenFile {
  readonly fd: number;
  readonly size: number;
  readonly regular: boolean;
  readonly inode: bigint;
}

function openForAppending(path: string): OpenFile {
  return describeOpen(fs.openSync(path, APPEND, MODE));
}

function describeOpen(fd: number): OpenFile {
  const status = fs.fstatSync(fd, { bigint: true });
  const regular = status.isFile();
  return { fd, size: regular ? Number(status.size) : 0, regular, inode: status.ino };
}

/** Of a file that is open for writing only. A newline if it may not be read: then nothing can be known. */
function lastByte(fd: number, size: number): number | undefined {
  try {
    const reader = fs.openSync(`/proc/self/fd/${fd}`, fs.constants.O_RDONLY);
    try {
      const byte = Buffer.alloc(1);
      return fs.readSync(reader, byte, 0, 1, size - 1) === 1 ? byte[0] : NEWLINE[0];
    } finally {
      fs.closeSync(reader);
    }
  } catch {
    return NEWLINE[0];
  }
}

/** Puts an empty file in the place of the one at `path`. */
function replaceFile(path: string, moveAway?: () => void): OpenFile {
  const temporary = `${path}.tmp`;
  // First, so that where it fails nothing has been moved yet.
  const fd = createAfresh(temporary);
  try {
    moveAway?.();
    fs.renameSync(temporary, path);
  } catch (error) {
    fs.closeSync(fd);
    removeFile(temporary);
    throw error;
  }
  return describeOpen(fd);
}

/** Makes a file that nobody else has open or has prepared; one left over by a crash is replaced. */
function createAfresh(path: string): number {
  removeFile(path);
  return fs.openSync(path, APPEND | O_EXCL, MODE);
}

/** The same error under a sentence that says what was being done; `code` and the rest stay. */
export function describe(cause: unknown, doing: string): Error {
  const { code, errno, syscall, path } = cause as NodeJS.ErrnoException;
  const reason = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  const text = reason ?? asError(cause).message;
  const message = `${doing}: ${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  return Object.assign(new Error(message, { cause }), { code, errno, syscall, path });
}

/** What was thrown, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
