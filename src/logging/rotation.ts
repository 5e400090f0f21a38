import { Backups } from "./backups.ts";
import { FileAge } from "./file-age.ts";
import { asError, type LogFile } from "./log-file.ts";

/** When a fresh log file is begun, and what becomes of the old one. */
export interface RotationOptions {
  /**
   * Bytes that the file may grow to; what it holds at the start counts. A record that alone is
   * larger goes alone into a file. 0 or less, the default: no limit.
   */
  readonly maxSize?: number | undefined;
  /** Seconds after which the file is full, counted from its first record. Default: no limit. */
  readonly maxAge?: number | undefined;
  /** Keep the old content in `PATH.1`, `PATH.2`...; default: it is dropped. */
  readonly rotate?: boolean;
  /** How many backups `rotate` keeps. Default 1. */
  readonly maxFiles?: number;
  /** Compress backups, as `PATH.1.gz`... Default: none. */
  readonly compress?: "none" | "gzip";
  /**
   * Bytes of the file and its backups together: the oldest backups are deleted, and the file itself does
   * not grow larger either. Default: no limit.
   */
  readonly maxTotalSize?: number | undefined;
}

/** What somebody else has to know of a {@link Rotation}, and knows. The others may not throw. */
export interface RotationEvents {
  /** The second (since 1970) of the first record in the file, if there is one. It may throw. */
  readonly firstSecond: (path: string) => number | undefined;
  /** The file's first record is too old: it is time for a `renew()`. */
  readonly onDue: () => void;
  /** Backups could not be deleted, or leftovers not be removed. */
  readonly onFault: (error: Error) => void;
  /** A backup was compressed, or could not be, for which there is an error then. */
  readonly onCompressed: (error?: Error) => void;
}

/**
 * Replaces a {@link LogFile} by fresh ones and looks after the backups. When the file is full by its size is
 * found out by those who write to it, from {@link maxSize}.
 */
export class Rotation {
  /** Bytes that the file may grow to. */
  readonly maxSize: number;

  readonly #file: LogFile;
  readonly #events: RotationEvents;
  readonly #maxTotalSize: number;
  readonly #backups: Backups | undefined;
  readonly #age: FileAge | undefined;
  /** Bytes of all backups, where that matters. */
  #backupSize = 0;

  /** Begins to compress backups that are not, and to wait for the end of the file's time. */
  constructor(file: LogFile, options: RotationOptions, events: RotationEvents) {
    this.#file = file;
    this.#events = events;
    this.#maxTotalSize = limitOf(options.maxTotalSize);
    this.maxSize = Math.min(limitOf(options.maxSize), this.#maxTotalSize);
    const { rotate = false, maxFiles: keep = 1, maxAge } = options;
    if (!file.replaceable) return;
    if (rotate && keep > 0) {
      const compress = options.compress === "gzip";
      const onCompressed = (error?: Error): void => this.#onCompressed(error);
      this.#backups = new Backups(file.path, { keep, compress, onCompressed });
      this.#attempt(() => this.#backups?.tidy());
      this.#measureBackups();
    }
    if (maxAge !== undefined) {
      this.#age = new FileAge(maxAge, () => this.#onDue());
      this.#attempt(() => {
        if (file.size > 0) this.#age?.begin(events.firstSecond(file.path) ?? Date.now() / 1000);
      });
    }
  }

  /**
   * Begins a fresh file, see {@link LogFile.renew}.
   *
   * @throws {Error} of the system call that failed; then the old file stays in use.
   */
  renew(): void {
    const backups = this.#backups;
    this.#file.renew(backups && (() => backups.shift()));
    this.#age?.end();
    this.#measureBackups();
    backups?.compress();
  }

  /** Bytes that may be written to the file without that anything is to be done before. */
  get room(): number {
    if (!this.#file.replaceable) return Number.POSITIVE_INFINITY;
    return Math.min(this.maxSize, this.#maxTotalSize - this.#backupSize) - this.#file.size;
  }

  /** Deletes what has to go before so many more bytes may be written to the file. */
  makeRoom(bytes: number): void {
    const most = this.#maxTotalSize - this.#file.size - bytes;
    if (this.#backupSize <= most) return;
    this.#attempt(() => {
      this.#backupSize = this.#backups?.prune(Math.max(0, most)) ?? 0;
    });
  }

  /** The file has a record of that second (since 1970), perhaps its first. */
  logged(second: number): void {
    this.#age?.begin(second);
  }

  /** Ends it; a backup that is being compressed stays as it is. */
  close(): void {
    this.#age?.end();
    this.#backups?.close();
  }

  #onDue(): void {
    // Somebody else may have truncated it: then it has no first record yet.
    if (this.#file.measure() === 0) {
      this.#age?.end();
      return;
    }
    // Where it fails, it is tried again when the file has become twice as old as it should.
    this.#age?.restart();
    this.#events.onDue();
  }

  #onCompressed(error?: Error): void {
    this.#measureBackups();
    this.#events.onCompressed(error);
  }

  #measureBackups(): void {
    if (this.#maxTotalSize === Number.POSITIVE_INFINITY) return;
    this.#attempt(() => {
      this.#backupSize = this.#backups?.measure() ?? 0;
    });
  }

  #attempt(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#events.onFault(asError(error));
    }
  }
}

/** A limit of so many bytes; 0 and less stand for none. */
export function limitOf(bytes = 0): number {
  return bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
}
