import type { WallClock } from "../sys/mod.ts";
import {
  type CriFramer,
  DEFAULT_RECORD_SIZE,
  endOfRecord,
  endOfRecordsWithin,
  MAX_RECORD_SIZE,
  measureRecords,
  sharedCriFramer,
} from "./cri-framing.ts";
import { asError, describe, LogFile } from "./log-file.ts";
import type { LogKeeper, LogMark } from "./log-keeper.ts";
import { OutageWatch } from "./outage.ts";
import { newCounters, type Sink, type SinkFault, type StreamName } from "./sink.ts";

/** How a {@link K8sFileSink} is to log. */
export interface K8sFileOptions {
  /** The file, absolute. It is made with mode 0640 if it is missing, else appended to. */
  readonly path: string;
  /**
   * Bytes that the file may grow to; what it holds at the start counts. A record that alone is
   * larger goes alone into a file. 0 or less, the default: no limit.
   */
  readonly maxSize?: number;
  /** At the size limit, keep the old content in `PATH.1`, `PATH.2`...; default: it is dropped. */
  readonly rotate?: boolean;
  /** How many backups `rotate` keeps. Default 1. */
  readonly maxFiles?: number;
  /**
   * Bytes that are logged altogether, whatever is rotated; what the file holds at the start
   * counts. The first record that would pass the limit and all that follow are dropped and
   * counted. 0 or less, the default: no limit.
   */
  readonly globalMaxSize?: number;
  /** Output bytes in the longest record, 1 to 131072. Default 16384. */
  readonly recordSize?: number;
  /** Keeps what a successor of this process needs to go on without a gap. Default: nobody does. */
  readonly keeper?: LogKeeper | undefined;
  /** Told when logging or rotating begins to fail and when it works again. It must not throw. */
  readonly onError?: (fault: SinkFault) => void;
}

/**
 * Logs to a file in the format of the Kubernetes CRI (see {@link CriFramer}), with limits and
 * rotation as `conmon` has them.
 *
 * While it cannot write, it drops records and counts them, and tries again with the next. Where it
 * cannot rotate, the file outgrows its limit.
 *
 * @example
 * ```ts
 * const sink = new K8sFileSink({ path: "/var/log/pods/web/0.log", maxSize: 10_000_000 });
 * sink.write("stdout", Buffer.from("ready\n"), { seconds: 1_700_000_000, nanoseconds: 0 });
 * await sink.sync();
 * sink.close();
 * ```
 */
export class K8sFileSink implements Sink {
  readonly name = "k8s-file";
  readonly counters = newCounters();
  /** Never: a write is done when it returns. */
  readonly behind = false;

  readonly #file: LogFile;
  readonly #framer: CriFramer;
  readonly #recordSize: number;
  readonly #keeper: LogKeeper | undefined;
  readonly #maxSize: number;
  readonly #backups: number;
  readonly #onError: (fault: SinkFault) => void;
  /** Bytes of the present piece of output that are in the log, or dropped. */
  #done = 0;
  /** Bytes that may still be written in the whole run. */
  #allowance: number;
  /** To be told when the shared buffer is free again. */
  readonly #faults: SinkFault[] = [];
  readonly #writing = new OutageWatch("write", this.counters, (fault) => this.#faults.push(fault));
  readonly #rotating = new OutageWatch("rotate", this.counters, (fault) =>
    this.#faults.push(fault),
  );

  /**
   * Opens the file.
   *
   * @throws {Error} `Failed to open log file PATH: REASON`, with the `code` of the system call.
   * @throws {RangeError} for a record size out of range.
   */
  constructor(options: K8sFileOptions) {
    const { recordSize = DEFAULT_RECORD_SIZE, globalMaxSize = 0 } = options;
    if (!(Number.isInteger(recordSize) && recordSize >= 1 && recordSize <= MAX_RECORD_SIZE)) {
      throw new RangeError(`The record size must be 1 to ${MAX_RECORD_SIZE}, got ${recordSize}`);
    }
    this.#recordSize = recordSize;
    this.#maxSize = limitOf(options.maxSize);
    this.#backups = options.rotate ? (options.maxFiles ?? 1) : 0;
    this.#onError = options.onError ?? (() => {});
    this.#keeper = options.keeper;
    this.#file = this.#open(options);
    const before = options.keeper?.inherited?.mark;
    this.#allowance = before?.allowance ?? limitOf(globalMaxSize) - this.#file.size;
    // Whoever finds the descriptor has to find a mark as well; one that is there says more than a new one.
    if (before === undefined) this.#record(false);
    if (before?.inode !== this.#file.inode) this.#keeper?.keep(this.#file.fd);
    this.#framer = sharedCriFramer();
  }

  begin(): void {
    this.#done = 0;
    this.#record(false);
  }

  resume(stream: StreamName, data: Uint8Array, at: WallClock): boolean {
    const mark = this.#keeper?.inherited?.mark;
    const done = mark === undefined ? 0 : this.#doneBefore(mark, stream, data, at);
    const missing = data.subarray(done);
    this.#done = done;
    this.#record(false);
    if (missing.length > 0) this.#write(stream, missing, at);
    return missing.length > 0;
  }

  write(stream: StreamName, data: Uint8Array, at: WallClock): void {
    this.#done = 0;
    this.#write(stream, data, at);
  }

  #write(stream: StreamName, data: Uint8Array, at: WallClock): void {
    const base = this.#done;
    const framer = this.#framer;
    framer.begin(stream, at);
    this.counters.bytes += data.length;
    for (let from = 0; from < data.length; ) {
      this.#done = base + from;
      from = framer.fill(data, from, this.#recordSize);
      this.counters.records += framer.records;
      this.#log(framer.bytes, framer.length);
    }
    this.#done = base + data.length;
    this.#tellFaults();
  }

  /** Nothing to do: the end of an unfinished line is in the file already. */
  end(): void {}

  async flush(): Promise<void> {}

  reopen(): void {
    try {
      this.#renew();
    } catch (error) {
      throw describe(error, `Failed to reopen log file ${this.#file.path}`);
    }
    this.#tellFaults();
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  close(): void {
    this.#allowance = 0;
    this.#file.close();
  }

  /** Logs the records of which `bytes` holds `end` bytes, as far as limits and faults let it. */
  #log(bytes: Buffer, end: number): void {
    const allowed = this.#allowedEnd(bytes, end);
    let start = 0;
    while (start < allowed) {
      const fitting = this.#fittingEnd(bytes, start, allowed);
      const logged = this.#file.append(bytes, start, fitting);
      this.#allowance -= logged - start;
      if (logged < fitting) {
        const failed = endOfRecord(bytes, logged) - logged;
        this.#writing.failed(this.#file.failure, failed);
        this.#drop(bytes, logged, end);
        return;
      }
      this.#writing.succeeded(logged - start);
      start = logged;
    }
    if (allowed < end) this.#drop(bytes, allowed, end);
  }

  /** Where the limit for the whole run ends the records. */
  #allowedEnd(bytes: Buffer, end: number): number {
    if (end <= this.#allowance) return end;
    const allowed = endOfRecordsWithin(bytes, 0, this.#allowance);
    // A shorter record that would still fit is not to follow one that is missing.
    this.#allowance = Math.min(this.#allowance, allowed);
    return allowed;
  }

  /** Up to where the records go into the file, after a fresh one was begun if it was due. */
  #fittingEnd(bytes: Buffer, start: number, end: number): number {
    for (;;) {
      const room = this.#maxSize - this.#file.size;
      if (end - start <= room || !this.#file.replaceable) return end;
      const fitting = endOfRecordsWithin(bytes, start, room);
      if (fitting > start) return fitting;
      if (this.#file.size === 0) return endOfRecord(bytes, start);
      // Where no fresh file can be had, too large a log is better than none.
      if (!this.#rotate(measureRecords(bytes, 0, start).bytes)) return end;
    }
  }

  /**
   * Returns whether there is more room than before.
   *
   * @param logged bytes of output that are in the log since `#done` was set
   */
  #rotate(logged: number): boolean {
    try {
      const believed = this.#file.size;
      if (this.#file.measure() >= believed) this.#renew(logged);
      return true;
    } catch (error) {
      this.#rotating.failed(asError(error));
      return false;
    }
  }

  #renew(logged = 0): void {
    const unfinished = this.#file.unfinished;
    const done = this.#done;
    this.#done += logged;
    this.#record(true);
    try {
      this.#file.renew(this.#backups);
      this.#keeper?.keep(this.#file.fd);
    } finally {
      this.#record(false);
      this.#done = done;
    }
    this.counters.rotations++;
    if (unfinished > 0) this.#moveToDropped(1, unfinished);
    this.#rotating.succeeded();
  }

  #open({ path, keeper }: K8sFileOptions): LogFile {
    const inherited = keeper?.inherited;
    if (inherited === undefined) return new LogFile(path);
    const file = new LogFile(path, inherited.fd);
    // It was about to be replaced, and has been: the fresh one is at the path, or was about to be.
    const replaced = inherited.mark.renewing && inherited.mark.inode === file.inode && file.isAway;
    if (!replaced) return file;
    file.close();
    return new LogFile(path);
  }

  /** How many bytes of a piece of output the process before had logged. */
  #doneBefore(mark: LogMark, stream: StreamName, data: Uint8Array, at: WallClock): number {
    // A fresh file was begun after the mark: nothing of what follows it is there yet.
    if (mark.inode !== this.#file.inode) return mark.done;
    const more = this.#file.measure() - mark.size;
    if (more <= 0) return mark.done;
    if (more === this.#framedLength(stream, data.subarray(mark.done), at)) return data.length;
    // It was killed in the middle of writing: what is there is logged anew, as a whole.
    this.#file.cutTo(mark.size);
    return mark.done;
  }

  /** How long the records of this are; whatever the time, they have the same length. */
  #framedLength(stream: StreamName, data: Uint8Array, at: WallClock): number {
    let length = 0;
    this.#framer.begin(stream, at);
    for (let from = 0; from < data.length; ) {
      from = this.#framer.fill(data, from, this.#recordSize);
      length += this.#framer.length;
    }
    return length;
  }

  #record(renewing: boolean): void {
    this.#keeper?.record({
      inode: this.#file.inode,
      size: this.#file.size,
      done: this.#done,
      renewing,
      allowance: this.#allowance,
    });
  }

  #drop(bytes: Buffer, start: number, end: number): void {
    const lost = measureRecords(bytes, start, end);
    this.#moveToDropped(lost.records, lost.bytes);
  }

  #moveToDropped(records: number, bytes: number): void {
    const { counters } = this;
    counters.records -= records;
    counters.bytes -= bytes;
    counters.droppedRecords += records;
    counters.droppedBytes += bytes;
  }

  #tellFaults(): void {
    if (this.#faults.length === 0) return;
    for (const fault of this.#faults.splice(0)) this.#onError(fault);
  }
}

function limitOf(bytes = 0): number {
  return bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
}
