/**
 * The full files of a log: `PATH.1` (the newest), `PATH.2`, ..., each of them also as `PATH.N.gz`.
 *
 * A backup is compressed into `PATH.N.gz.tmp`, which is brought to stable storage and renamed before the
 * plain file is removed. Meanwhile the log may be rotated again and again: where the file that was
 * read has moved to by then is found out by its inode, and if it is gone so is the work. Whoever is
 * killed in the middle leaves a `.tmp`, or both forms of one backup; {@link Backups.tidy} removes the one
 * and of the other the compressed form, since the plain one is known to be whole.
 *
 * Names that are no plain numbers, such as kubelet's `PATH.20060102-150405`, are somebody else's.
 */
import * as fs from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { CompressionTurns } from "./compression-turns.ts";
import { removeFile, removeInThread } from "./dropped-file.ts";
import { describe } from "./log-file.ts";

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;
const COMPRESSED = ".gz";
const UNFINISHED = ".gz.tmp";
/** As many digits as the largest number of backups has. */
const SUFFIX = /^\.([1-9]\d{0,4})(|\.gz|\.gz\.tmp)$/;
/** Compressed at a time, in bytes; between two of them everything else has its turn. */
const CHUNK_SIZE = 64 * 1024;

const turns = new CompressionTurns();

/** How backups are kept. */
export interface BackupSettings {
  /** How many, 1 or more. */
  readonly keep: number;
  readonly compress: boolean;
  /** Told when a backup cannot be compressed (it stays as it is), and with nothing when one could. */
  readonly onCompressed: (error?: Error) => void;
}

interface Entry {
  readonly number: number;
  readonly suffix: string;
  readonly path: string;
}

/** The backups of one log file. */
export class Backups {
  readonly #path: string;
  readonly #settings: BackupSettings;
  readonly #abort = new AbortController();
  #unfinished: string | undefined;

  /** @param path The log file's, absolute. */
  constructor(path: string, settings: BackupSettings) {
    this.#path = path;
    this.#settings = settings;
  }

  /**
   * Removes what a crash has left, and begins to compress what is not yet.
   *
   * @throws a system error when the directory cannot be read or a file not be removed
   */
  tidy(): void {
    const entries = this.#entries();
    const plain = new Set(
      entries.filter(({ suffix }) => suffix === "").map(({ number }) => number),
    );
    for (const { number, suffix, path } of entries) {
      const twice = suffix === COMPRESSED && plain.has(number);
      if (suffix === UNFINISHED || twice) removeFile(path);
    }
    if (plain.size > 0) this.compress();
  }

  /**
   * Moves PATH to PATH.1, .1 to .2 and so on, whichever form they have; the last one goes. A gap in the
   * numbers ends it, so that attempts which fail half-way and are repeated do not push one backup
   * after the other out.
   *
   * @throws a system error
   */
  shift(): void {
    let free = 1;
    while (free < this.#settings.keep && this.#suffixOf(free) !== undefined) free++;
    for (let to = free; to > 1; to--) {
      const suffix = this.#suffixOf(to - 1) ?? "";
      this.#replace(`${this.#path}.${to - 1}${suffix}`, to, suffix);
    }
    this.#replace(this.#path, 1, "");
  }

  /** Bytes of all backups. */
  measure(): number {
    return this.#finished().reduce((sum, { path }) => sum + sizeOf(path), 0);
  }

  /**
   * Deletes the oldest backups until the rest has no more than so many bytes.
   *
   * @returns the bytes of those that are left
   * @throws a system error
   */
  prune(most: number): number {
    const sized = this.#finished().map(({ number, path }) => ({
      number,
      path,
      size: sizeOf(path),
    }));
    sized.sort((one, other) => other.number - one.number);
    let sum = sized.reduce((total, { size }) => total + size, 0);
    for (const { path, size } of sized) {
      if (sum <= most) break;
      removeInThread(path, () => removeFile(path));
      sum -= size;
    }
    return sum;
  }

  /** Has the backups compressed, when it is this log's turn. */
  compress(): void {
    if (!this.#settings.compress || this.#abort.signal.aborted) return;
    turns.request(this, () => this.#compressNewest());
  }

  /** Ends it. A backup that is being compressed stays as it is. */
  close(): void {
    this.#abort.abort();
    if (this.#unfinished === undefined) return;
    try {
      // At once: from here on another conmond may look after these files.
      removeFile(this.#unfinished);
    } catch (error) {
      const doing = `Failed to remove the unfinished backup ${this.#unfinished}`;
      this.#settings.onCompressed(describe(error, doing));
    }
  }

  // ---- compressing ----

  /** The newest first, since it will be there longest. Returns whether there may be more to do. */
  async #compressNewest(): Promise<boolean> {
    try {
      if (this.#abort.signal.aborted) return false;
      const plain = this.#finished().filter(({ suffix }) => suffix === "");
      plain.sort((one, other) => one.number - other.number);
      const [newest] = plain;
      if (newest === undefined) return false;
      await this.#compressOne(newest);
      this.#settings.onCompressed();
      return plain.length > 1;
    } catch (error) {
      if (this.#abort.signal.aborted) return false;
      this.#settings.onCompressed(describe(error, `Failed to compress a backup of ${this.#path}`));
      return false;
    }
  }

  async #compressOne({ path }: Entry): Promise<void> {
    const unfinished = `${path}${UNFINISHED}`;
    // Loaded when they are needed: conmond has to start fast.
    const { open } = await import("node:fs/promises");
    // Non-blocking, so that a fifo of that name does not take a thread away for ever.
    const source = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    let target: FileHandle | undefined;
    try {
      if (this.#abort.signal.aborted) return;
      if (!fs.fstatSync(source.fd).isFile()) throw new Error(`${path} is no regular file`);
      removeFile(unfinished);
      this.#unfinished = unfinished;
      // Without a wait in between, so that a close() finds either nothing or the whole truth.
      fs.closeSync(fs.openSync(unfinished, O_WRONLY | O_CREAT | O_EXCL, 0o600));
      target = await open(unfinished, O_WRONLY | O_NOFOLLOW);
      await gzip(source, target, this.#abort.signal);
      if (!this.#abort.signal.aborted) this.#putInPlace(source, unfinished);
    } finally {
      const left = this.#unfinished;
      this.#unfinished = undefined;
      await source.close();
      await target?.close();
      if (left !== undefined && !this.#abort.signal.aborted) removeFile(left);
    }
  }

  /** Puts the compressed file where its source is now, if that is still there. */
  #putInPlace(source: FileHandle, unfinished: string): void {
    const { dev, ino } = fs.fstatSync(source.fd, { bigint: true });
    const current = this.#finished().find(({ path, suffix }) => {
      const there = fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return suffix === "" && there?.dev === dev && there.ino === ino;
    });
    if (current === undefined) return;
    fs.renameSync(unfinished, `${current.path}${COMPRESSED}`);
    // It is freed when its source is closed, which is in a thread.
    fs.rmSync(current.path);
  }

  // ---- names ----

  #replace(from: string, number: number, suffix: string): void {
    const target = `${this.#path}.${number}`;
    const other = suffix === "" ? COMPRESSED : "";
    // First, so that there are never two backups of the same number.
    removeFile(`${target}${other}`);
    removeInThread(`${target}${suffix}`, () => fs.renameSync(from, `${target}${suffix}`));
  }

  #suffixOf(number: number): string | undefined {
    return ["", COMPRESSED].find((suffix) => fs.existsSync(`${this.#path}.${number}${suffix}`));
  }

  #finished(): Entry[] {
    return this.#entries().filter(({ suffix }) => suffix !== UNFINISHED);
  }

  #entries(): Entry[] {
    const directory = dirname(this.#path);
    const name = basename(this.#path);
    return fs.readdirSync(directory).flatMap((file) => {
      if (!file.startsWith(name)) return [];
      const [, number, suffix = ""] = SUFFIX.exec(file.slice(name.length)) ?? [];
      if (number === undefined) return [];
      return [{ number: Number(number), suffix, path: `${this.#path}.${number}${suffix}` }];
    });
  }
}

/** Copies mode and time of change as well: the content is as old as it was. */
async function gzip(source: FileHandle, target: FileHandle, signal: AbortSignal): Promise<void> {
  const [{ pipeline }, { createGzip }] = await Promise.all([
    import("node:stream/promises"),
    import("node:zlib"),
  ]);
  await pipeline(chunksOf(source), createGzip({ chunkSize: CHUNK_SIZE }), into(target), { signal });
  const { mode, atime, mtime } = await source.stat();
  await target.chmod(mode & 0o777);
  await target.utimes(atime, mtime);
  await target.datasync();
}

async function* chunksOf(source: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const { bytesRead, buffer } = await source.read(Buffer.alloc(CHUNK_SIZE), 0, CHUNK_SIZE);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

function into(target: FileHandle): (chunks: AsyncIterable<Buffer>) => Promise<void> {
  return async (chunks) => {
    // In order: each write waits for the one before.
    for await (const chunk of chunks) await target.writeFile(chunk);
  };
}

function sizeOf(path: string): number {
  return fs.lstatSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
