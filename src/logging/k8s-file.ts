import type { WallClock } from "../sys/mod.ts";
import {
  CriFramer,
  DEFAULT_RECORD_SIZE,
  endOfRecord,
  endOfRecordsWithin,
  MAX_RECORD_SIZE,
} from "./cri-framing.ts";
import { asError, describe, LogFile } from "./log-file.ts";
import { OutageWatch } from "./outage.ts";
import type { RecordFramer } from "./record-framer.ts";
import { newCounters, type Sink, type SinkFault, type StreamName } from "./sink.ts";

/** How a {@link RecordFileSink} is to log. */
export interface RecordFileOptions {
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
  /** Told when logging or rotating begins to fail and when it works again. It must not throw. */
  readonly onError?: (fault: SinkFault) => void;
}

/**
 * Logs to a file of whole records, with limits and rotation as `conmon` has them. What a record
 * looks like is up to the framer.
 *
 * While it cannot write, it drops records and counts them, and tries again with the next. Where it
 * cannot rotate, the file outgrows its limit.
 */
export abstract class RecordFileSink implements Sink {
  readonly name: string;
  readonly counters = newCounters();
  /** Never: a write is done when it returns. */
  readonly behind = false;

  readonly #file: LogFile;
  readonly #framer: RecordFramer;
  readonly #recordSize: number;
  readonly #maxSize: number;
  readonly #backups: number;
  readonly #onError: (fault: SinkFault) => void;
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
   * @param name The log driver's.
   * @throws {Error} `Failed to open log file PATH: REASON`, with the `code` of the system call.
   * @throws {RangeError} for a record size out of range.
   */
  constructor(name: string, framer: RecordFramer, options: RecordFileOptions) {
    const { recordSize = DEFAULT_RECORD_SIZE, globalMaxSize = 0 } = options;
    if (!(Number.isInteger(recordSize) && recordSize >= 1 && recordSize <= MAX_RECORD_SIZE)) {
      throw new RangeError(`The record size must be 1 to ${MAX_RECORD_SIZE}, got ${recordSize}`);
    }
    this.name = name;
    this.#framer = framer;
    this.#recordSize = recordSize;
    this.#maxSize = limitOf(options.maxSize);
    this.#backups = options.rotate ? (options.maxFiles ?? 1) : 0;
    this.#onError = options.onError ?? (() => {});
    this.#file = new LogFile(options.path);
    this.#allowance = limitOf(globalMaxSize) - this.#file.size;
  }

  write(stream: StreamName, data: Uint8Array, at: WallClock): void {
    const framer = this.#framer;
    framer.begin(stream, at);
    for (let from = 0; from < data.length; ) {
      from = framer.fill(data, from, this.#recordSize);
      this.counters.records += framer.records;
      this.#log(framer.bytes, framer.length);
    }
    this.#account(data.length);
    this.#tellFaults();
  }

  /** The end of an unfinished line is in the file already, but for what the framer holds. */
  end(stream: StreamName): void {
    const framer = this.#framer;
    if (!framer.finish(stream)) return;
    this.counters.records += framer.records;
    this.#log(framer.bytes, framer.length);
    this.#account(0);
    this.#tellFaults();
  }

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
    this.end("stdout");
    this.end("stderr");
    this.#allowance = 0;
    this.#file.close();
  }

  /** Counts so many bytes more, and what was held before, as logged, but for what is held now. */
  #account(bytes: number): void {
    const { counters } = this;
    const held = this.#framer.heldBytes;
    counters.bytes += bytes + counters.pendingBytes - held;
    counters.pendingBytes = held;
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
        this.#drop(logged, end);
        return;
      }
      this.#writing.succeeded(logged - start);
      start = logged;
    }
    if (allowed < end) this.#drop(allowed, end);
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
      if (!this.#rotate()) return end;
    }
  }

  /** Returns whether there is more room than before. */
  #rotate(): boolean {
    try {
      const believed = this.#file.size;
      if (this.#file.measure() >= believed) this.#renew();
      return true;
    } catch (error) {
      this.#rotating.failed(asError(error));
      return false;
    }
  }

  #renew(): void {
    const unfinished = this.#file.unfinished;
    this.#file.renew(this.#backups);
    this.counters.rotations++;
    if (unfinished > 0) this.#moveToDropped(1, unfinished);
    this.#rotating.succeeded();
  }

  #drop(start: number, end: number): void {
    const lost = this.#framer.measure(start, end);
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

// One for all sinks, since a quarter of a megabyte for each container would be a waste. That is
// safe because between begin() and the last use of the bytes no other code runs.
let sharedFramer: CriFramer | undefined;

/** How a {@link K8sFileSink} is to log. */
export type K8sFileOptions = RecordFileOptions;

/**
 * Logs to a file in the format of the Kubernetes CRI (see {@link CriFramer}).
 *
 * @example
 * ```ts
 * const sink = new K8sFileSink({ path: "/var/log/pods/web/0.log", maxSize: 10_000_000 });
 * sink.write("stdout", Buffer.from("ready\n"), { seconds: 1_700_000_000, nanoseconds: 0 });
 * await sink.sync();
 * sink.close();
 * ```
 */
export class K8sFileSink extends RecordFileSink {
  /** Opens the file, and throws as its base class does. */
  constructor(options: K8sFileOptions) {
    sharedFramer ??= new CriFramer();
    super("k8s-file", sharedFramer, options);
  }
}

function limitOf(bytes = 0): number {
  return bytes > 0 ? bytes : Number.POSITIVE_INFINITY;
}
