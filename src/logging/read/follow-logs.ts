import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { describe } from "../log-file.ts";
import { FileReader } from "./file-reader.ts";
import { GzipFile } from "./gzip-file.ts";
import { type DecoderOptions, LogDecoder, type StreamOffsets } from "./log-decoder.ts";
import { type LogFilePart, LogFiles } from "./log-files.ts";
import { LogFault, type LogLine } from "./log-line.ts";
import type { PlainFile } from "./plain-file.ts";
import { findStart } from "./read-logs.ts";
import { decoderOptions, type FollowOptions, tailOf } from "./read-options.ts";
import { Wakeup } from "./wakeup.ts";

/**
 * How many files are held open that are still to be read. An open file takes its room on the disk
 * even when it is deleted, and that must not grow with how slow a reader is.
 */
const MOST_FILES = 16;

/**
 * Reads a log as {@link readLogs} does, and then what is written to it, from one file to the next
 * when it is rotated, and from the beginning when it is truncated. It may also begin with a log that is
 * not there yet, if only its directory is.
 *
 * It is over when `signal` is aborted, when `ended` is resolved and everything has been read, or when
 * the log's directory has been deleted. Leaving the loop is not enough while it waits for a line.
 *
 * @param path The file that is written to.
 * @throws {Error} with the `code` of the system call: `ENOENT` if there is no such directory.
 * @throws {LogFault} where the log is faulty, unless there is an `onFault`.
 *
 * @example
 * ```ts
 * const stop = new AbortController();
 * for await (const line of followLogs(path, { tail: 0, signal: stop.signal })) {
 *   if (line.text.includes("ready")) stop.abort();
 * }
 * ```
 */
export async function* followLogs(
  path: string,
  options: FollowOptions = {},
): AsyncGenerator<LogLine, void, undefined> {
  for await (const lines of followLogBatches(path, options)) {
    for (const line of lines) {
      if (options.signal?.aborted === true) return;
      yield line;
    }
  }
}

/** The same with the lines of each block that is read in an array, for speed. */
export async function* followLogBatches(
  path: string,
  options: FollowOptions = {},
): AsyncGenerator<LogLine[], void, undefined> {
  const follower = new Follower(path, options);
  try {
    yield* follower.follow();
  } finally {
    follower.close();
  }
}

class Follower {
  readonly #options: FollowOptions;
  readonly #decoder: LogDecoder;
  readonly #reader: FileReader;
  readonly #files: LogFiles;
  readonly #wakeup = new Wakeup();
  readonly #watcher: FSWatcher;
  /** Files to read, the oldest first. Never empty again once there was one. */
  readonly #queue: LogFilePart[] = [];
  /** There were more files than could be held open. */
  #isBehind = false;
  /** Those that come after files which are missing. */
  readonly #afterGaps = new Set<LogFilePart>();
  readonly #onFault: (fault: LogFault) => void;
  /** For the files that were there at the beginning, from where on they are wanted. */
  readonly #from = new Map<LogFilePart, StreamOffsets>();
  /** Of the file that is read, when its name is not the log's any more. */
  #displaced: FSWatcher | undefined;
  #soon: NodeJS.Immediate | undefined;
  /** Whether nothing is written any more. */
  #ended = false;
  #failure: { readonly reason: unknown } | undefined;
  readonly #onAbort = () => this.#wakeup.wake();

  constructor(path: string, options: FollowOptions) {
    tailOf(options);
    const decoding: DecoderOptions = decoderOptions(options);
    this.#options = options;
    this.#onFault = decoding.onFault;
    this.#decoder = new LogDecoder(decoding);
    this.#reader = new FileReader(this.#decoder, decoding.onFault, options.signal);
    this.#files = new LogFiles(path);
    this.#watcher = this.#watchDirectory();
    options.signal?.addEventListener("abort", this.#onAbort);
    options.ended?.then(
      () => this.#end(),
      (reason: unknown) => this.#fail(reason),
    );
  }

  async *follow(): AsyncGenerator<LogLine[], void, undefined> {
    await this.#begin();
    for (;;) {
      // Before anything is read: what comes later wakes it up again.
      this.#wakeup.reset();
      this.#discover();
      if (this.#failure !== undefined) throw this.#failure.reason;
      const ended = this.#ended;
      const [file, next] = this.#queue;
      // Before the file is read, so that what is read then is all.
      const isFinal = file !== undefined && this.#isFinal(file, next, ended);
      if (file !== undefined) yield* this.#reader.read(file, Number.POSITIVE_INFINITY);
      if (this.#isAborted) return;
      if (isFinal && next !== undefined) {
        const broken = this.#goOnTo(next);
        if (broken.length > 0) yield broken;
      } else if (ended && next === undefined) break;
      else if (file === undefined || this.#isWatched(file)) await this.#wakeup.wait();
    }
    yield this.#decoder.finish(this.#options.torn === "deliver");
  }

  close(): void {
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#watcher.close();
    this.#displaced?.close();
    if (this.#soon !== undefined) clearImmediate(this.#soon);
    for (const file of this.#queue.splice(0)) file.close();
  }

  get #isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  async #begin(): Promise<void> {
    const files = this.#files.openAll();
    this.#queue.push(...files);
    const last = files.at(-1);
    if (last === undefined) return;
    const tail = tailOf(this.#options);
    const end = tail === Number.POSITIVE_INFINITY ? 0 : await last.length();
    // What is torn now will be whole later.
    const start = await findStart(files, end, tail, { ...this.#options, torn: "skip" });
    for (const file of this.#queue.splice(0, start.index)) file.close();
    start.from.forEach((from, index) => {
      const file = files[index];
      if (file !== undefined) this.#from.set(file, from);
    });
    const [first] = this.#queue;
    if (first !== undefined) this.#reader.begin(first, start.offset, this.#from.get(first));
  }

  /**
   * Whether nothing more can come of a file. A writer writes to one file at a time, so it has left
   * the old one when there is something in a newer one; that this one exists is not enough, since
   * somebody else may have made it.
   */
  #isFinal(file: LogFilePart, next: LogFilePart | undefined, ended: boolean): boolean {
    if (next === undefined) return false;
    if (ended || file instanceof GzipFile || next instanceof GzipFile) return true;
    return this.#queue.length > 2 || next.size > 0;
  }

  /** Returns lines whose ends are missing. */
  #goOnTo(next: LogFilePart): LogLine[] {
    this.#decoder.endFile();
    const isAfterGap = this.#afterGaps.delete(next);
    const lines = isAfterGap ? this.#decoder.breakOff() : [];
    if (isAfterGap) {
      const reason = "files before this one were deleted before they could be read";
      this.#onFault(new LogFault("missing", next.path, 0, reason));
    }
    this.#displaced?.close();
    this.#displaced = undefined;
    const file = this.#queue.shift();
    if (file !== undefined) {
      this.#from.delete(file);
      file.close();
    }
    this.#reader.begin(next, 0, this.#from.get(next));
    return lines;
  }

  // ---- being told of changes ----

  #watchDirectory(): FSWatcher {
    const directory = dirname(this.#files.path);
    const base = basename(this.#files.path);
    try {
      const watcher = watch(directory, (event, name) => {
        // The directory itself goes by its own name.
        const concerns = name === null || name.startsWith(base) || name === basename(directory);
        if (!concerns) return;
        if (event === "rename") this.#discoverSoon();
        this.#wakeup.wake();
      });
      watcher.on("error", (error) => this.#fail(error));
      return watcher;
    } catch (error) {
      throw describe(error, `Failed to watch the directory ${directory} of a log`);
    }
  }

  /**
   * Whether changes of the file are told. Those in the log's directory are; of one that was moved or
   * deleted they are from the next round on.
   */
  #isWatched(file: LogFilePart): boolean {
    if (this.#displaced !== undefined || this.#files.isCurrent(file)) return true;
    if (file instanceof GzipFile) return true;
    this.#displaced = this.#watchDisplaced(file);
    return false;
  }

  #watchDisplaced(file: PlainFile): FSWatcher {
    const watcher = watch(file.descriptorPath, () => this.#wakeup.wake());
    watcher.on("error", (error) => this.#fail(error));
    return watcher;
  }

  /**
   * Soon, and not when the reader comes to it: a file may be gone by then. Once for all that has
   * happened, since a rotation renames many files.
   */
  #discoverSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#discover({ thoroughly: true });
    });
  }

  /** Opens what is newer than the last file that is known, and remembers what is older if asked to. */
  #discover({ thoroughly = false } = {}): void {
    try {
      if (thoroughly) this.#files.noteOlder(this.#queue.at(-1));
      const room = MOST_FILES - this.#queue.length;
      if (room <= 0) {
        this.#isBehind = true;
        return;
      }
      const isFirst = this.#queue.length === 0;
      const newer = this.#files.openNewer(this.#queue.at(-1), room);
      const [oldest] = newer;
      // Who is not behind has been told of each new file while the one before it was there.
      if (oldest !== undefined && this.#isBehind && this.#files.lostTrack)
        this.#afterGaps.add(oldest);
      if (newer.length < room) this.#isBehind = false;
      this.#queue.push(...newer);
      const [first] = this.#queue;
      if (isFirst && first !== undefined) this.#reader.begin(first);
    } catch (error) {
      // The directory is gone, and with it all that could be written.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") this.#end();
      else this.#fail(error);
    }
  }

  #end(): void {
    this.#ended = true;
    this.#wakeup.wake();
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#wakeup.wake();
  }
}
