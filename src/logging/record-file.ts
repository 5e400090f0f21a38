import { readWallClock, type WallClock } from "../sys/mod.ts";
import type { TimeZone } from "../time-zone/time-zone.ts";
import {
  DEFAULT_RECORD_SIZE,
  endOfRecord,
  endOfRecordsWithin,
  INPUT_SIZE,
  MAX_RECORD_SIZE,
} from "./cri-framing.ts";
import { asError, describe, LogFile } from "./log-file.ts";
import type { LogKeeper, LogMark } from "./log-keeper.ts";
import { Losses, reasonOf } from "./loss-notice.ts";
import { OutageWatch } from "./outage.ts";
import type { RecordFramer, Records } from "./record-framer.ts";
import { limitOf, Rotation, type RotationOptions } from "./rotation.ts";
import { countLogged, newCounters, type Sink, type SinkFault, type StreamName } from "./sink.ts";
import { WaitingOutput } from "./waiting-output.ts";

const NEWLINE = 0x0a;

/** How a {@link RecordFileSink} is to log. */
export interface RecordFileOptions extends RotationOptions {
  /** The file, absolute. It is made with mode 0640 if it is missing, else appended to. */
  readonly path: string;
  /**
   * While the file cannot be written: drop output, count it and tell it in the log; or keep it, be
   * `behind` and try again. Default: drop.
   */
  readonly onWriteError?: "drop" | "block";
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
  /** Told when `behind` is over. It must not throw. */
  readonly onRelief?: () => void;
  /** Whose local time the lines of our own have. Default: the process's. */
  readonly zone?: TimeZone | undefined;
  /** Milliseconds that `flush()` takes at most. Default 4000. */
  readonly lastPatience?: number;
}

/**
 * Logs to a file of whole records, with limits and rotation. What a record looks like is up to the framer.
 *
 * While it cannot write, it drops records and counts them, and tries again with the next; once it can
 * write again, a line in the log says what was lost (see {@link Losses}). Or, if that is asked for, it
 * keeps them and tries again after a while. Where it cannot rotate, the file outgrows its limit.
 */
export abstract class RecordFileSink implements Sink {
  readonly name: string;
  readonly counters = newCounters();

  readonly #file: LogFile;
  readonly #framer: RecordFramer;
  readonly #recordSize: number;
  readonly #keeper: LogKeeper | undefined;
  readonly #zone: TimeZone | undefined;
  readonly #rotation: Rotation;
  /** There with the policy `block`. */
  readonly #waiting: WaitingOutput | undefined;
  readonly #losses = new Losses();
  /** The keeper has losses that were not told. */
  #lossRecorded = false;
  /** The newest record of stderr in the log is a piece of a line. */
  #stderrOpen = false;
  /** Whose record is torn, if one is. */
  #tornStream: StreamName = "stdout";
  readonly #onError: (fault: SinkFault) => void;
  /** Bytes of the present piece of output that are in the log, or dropped. */
  #done = 0;
  /** In what was read last there were no long records: there may be some in what is read next. */
  #isShort = false;
  /** Bytes that may still be written in the whole run. */
  #allowance: number;
  /** To be told when the shared buffer is free again. */
  readonly #faults: SinkFault[] = [];
  readonly #writing = new OutageWatch("write", this.counters, (fault) => this.#faults.push(fault));
  readonly #rotating = new OutageWatch("rotate", this.counters, (fault) =>
    this.#faults.push(fault),
  );
  readonly #compressing = new OutageWatch("compress", this.counters, (fault) =>
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
    this.#recordSize = recordSize;
    this.#onError = options.onError ?? (() => {});
    this.name = name;
    this.#framer = framer;
    this.#keeper = options.keeper;
    this.#zone = options.zone;
    this.#file = this.#open(options);
    const { mark: before, loss } = options.keeper?.inherited ?? {};
    if (loss !== undefined) this.#losses.inherit(loss, options.zone);
    this.#lossRecorded = loss !== undefined;
    this.#stderrOpen = before?.stderrOpen ?? false;
    this.#allowance = before?.allowance ?? limitOf(globalMaxSize) - this.#file.size;
    // Whoever finds the descriptor has to find a mark as well; one that is there says more than a new one.
    if (before === undefined) this.#record(false);
    if (before?.inode !== this.#file.inode) this.#keeper?.keep(this.#file.fd);
    this.#rotation = new Rotation(this.#file, options, {
      firstSecond: (path) => this.#framer.firstSecond(path),
      onDue: () => {
        this.#rotate();
        this.#tellFaults();
      },
      onFault: (error) => this.#rotating.failed(error),
      onCompressed: (error) => {
        if (error === undefined) this.#compressing.succeeded();
        else this.#compressing.failed(error);
        this.#tellFaults();
      },
    });
    this.#waiting = this.#makeWaiting(options);
    this.#tellFaults();
  }

  /** Only with the policy `block`: otherwise a write is done when it returns. */
  get behind(): boolean {
    return this.#waiting !== undefined && this.#waiting.size > 0;
  }

  begin(): void {
    this.#isShort = false;
    this.#done = 0;
    if (this.#keeper !== undefined) this.#measure();
    this.#record(false);
  }

  resume(stream: StreamName, data: Uint8Array, at: WallClock): number {
    const mark = this.#keeper?.inherited?.mark;
    const before = mark && this.#takeStock(mark, stream, data, at);
    const { logged, kept } = before ?? { logged: 0, kept: 0 };
    this.#done = kept;
    if (stream === "stderr" && kept > 0) this.#stderrOpen = data[kept - 1] !== NEWLINE;
    this.#record(false);
    if (kept < data.length) this.#writeFrom(kept, stream, data, at);
    return logged === data.length ? logged : startOfPart(logged);
  }

  write(stream: StreamName, data: Uint8Array, at: WallClock): void {
    this.#writeFrom(0, stream, data, at);
  }

  relay(stream: StreamName, pipe: number, count: number, at: WallClock): number {
    const framer = this.#framer;
    const room = Math.min(this.#allowance, this.#rotation.room);
    if (framer.relay === undefined || room <= 0 || !this.#isUntroubled()) return 0;
    // It would go the usual way, only later.
    if (this.#isShort) return 0;
    framer.begin(stream, at);
    const relayed = framer.relay(pipe, count, this.#file.fd, room, this.#recordSize);
    const { taken, written, records, rest } = relayed;
    this.#file.noteAppended(written, relayed.torn);
    this.#isShort = records === 0;
    if (records > 0) {
      const bytes = taken - rest.length;
      this.#allowance -= written;
      this.#done += bytes;
      countLogged(this.counters, stream, records, bytes);
      if (stream === "stderr") this.#stderrOpen = relayed.endsInPiece;
      this.#rotation.logged(at.seconds);
    }
    if (rest.length > 0) this.write(stream, rest, at);
    return taken;
  }

  isCut(stream: StreamName): boolean {
    return this.#framer.isCut(stream);
  }

  /** The end of an unfinished line is in the file already, but for what the framer holds. */
  end(stream: StreamName): void {
    const framer = this.#framer;
    const held = framer.heldBytes;
    if (!framer.finish(stream)) return;
    const at = this.#now();
    countLogged(this.counters, stream, framer.records, held - framer.heldBytes);
    this.#log(stream, framer, framer.length, at);
    this.#countPending();
    this.#tellFaults();
  }

  async flush(): Promise<void> {
    await this.#waiting?.flush();
    this.#countPending();
    this.#tellLastLosses();
    this.#recordLoss();
    this.#tellFaults();
  }

  reopen(): void {
    try {
      this.#renew();
    } catch (error) {
      throw describe(error, `Failed to reopen log file ${this.#file.path}`);
    }
    // The fresh file may be on another file system.
    this.#waiting?.retry();
    this.#countPending();
    this.#tellFaults();
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  close(): void {
    this.end("stdout");
    this.end("stderr");
    this.#waiting?.retry();
    this.#waiting?.drop();
    this.#countPending();
    this.#tellLastLosses();
    this.#recordLoss();
    this.#tellFaults();
    this.#allowance = 0;
    this.#rotation.close();
    this.#file.close();
  }

  // ---- writing ----

  /** Writing works, nothing waits and nothing is to be told. */
  #isUntroubled(): boolean {
    const { ongoing } = this.#writing;
    return this.#file.takesRecords && !ongoing && !this.#losses.any && this.#waiting === undefined;
  }

  #writeFrom(start: number, stream: StreamName, data: Uint8Array, at: WallClock): void {
    for (let from = start; from < data.length; from = endOfPart(from, data)) {
      const part = partOf(data, from);
      if (this.#waiting === undefined) this.#write(stream, part, at);
      else this.#waiting.write(stream, part, at);
    }
    if (this.#losses.any || this.#lossRecorded) {
      // What is lost has been done with: a successor is not to count it again, nor to tell it.
      this.#record(false);
      this.#recordLoss();
    }
    this.#countPending();
    this.#tellFaults();
  }

  /** Returns how many bytes are done with: all, or with the policy `block` what could be written. */
  #write(stream: StreamName, data: Uint8Array, at: WallClock): number {
    const framer = this.#framer;
    framer.begin(stream, at);
    const { droppedRecords } = this.counters;
    const base = this.#done;
    const held = framer.heldBytes;
    let done = 0;
    while (done < data.length) {
      this.#done = base + done;
      const next = framer.fill(data, done, this.#recordSize);
      countLogged(this.counters, stream, framer.records, next - done);
      const left = this.#log(stream, framer, framer.length, at);
      done = next - left;
      if (left > 0) break;
    }
    this.#done = base + done;
    // What the framer holds is not in the log yet.
    if (framer.heldBytes !== held) countLogged(this.counters, stream, 0, held - framer.heldBytes);
    if (stream === "stderr" && done > 0 && this.counters.droppedRecords === droppedRecords) {
      this.#stderrOpen = data[done - 1] !== NEWLINE;
    }
    if (this.#file.size > 0) this.#rotation.logged(at.seconds);
    return done;
  }

  /**
   * Logs records of `end` bytes, as far as limits and faults let it. Returns how many bytes of output are left
   * to be written later.
   */
  #log(stream: StreamName, records: Records, end: number, at: WallClock): number {
    const allowed = this.#allowedEnd(records, end);
    let start = 0;
    while (start < allowed) {
      const fitting = this.#fittingEnd(records, start, allowed);
      const logged = this.#file.append(records, start, fitting);
      this.#allowance -= logged - start;
      if (logged < fitting) {
        const failed = endOfRecord(records.bytes, logged) - logged;
        this.#writing.failed(this.#file.failure, failed);
        return this.#keepOrDrop(stream, logged, end, at);
      }
      this.#writing.succeeded(logged - start);
      if (this.#losses.any && !this.#writing.ongoing) {
        if (stream === "stderr") this.#stderrOpen = this.#framer.endsInPiece(logged);
        this.#tellLosses(at);
      }
      start = logged;
    }
    if (allowed < end) this.#drop(stream, allowed, end);
    return 0;
  }

  /** What to do with records that cannot be written. Returns bytes of output as `#log()` does. */
  #keepOrDrop(stream: StreamName, start: number, end: number, at: WallClock): number {
    if (this.#file.unfinished > 0) this.#tornStream = stream;
    if (stream === "stderr" && start > 0) this.#stderrOpen = this.#framer.endsInPiece(start);
    const failed = this.#framer.measure(start, end);
    if (this.#waiting === undefined) {
      this.#countDropped(stream, failed.records, failed.bytes);
      this.#losses.add(failed.records, failed.bytes, at, reasonOf(this.#file.failure));
      return 0;
    }
    countLogged(this.counters, stream, -failed.records, -failed.bytes);
    return failed.bytes;
  }

  /** Says in the log what is missing from it. If that fails, it is said when it works again. */
  #tellLosses(at: WallClock): void {
    // A piece would be put together with what comes next, so its line is ended.
    if (this.#stderrOpen && !this.#appendOwn(this.#framer.note("", at))) return;
    this.#stderrOpen = false;
    if (this.#appendOwn(this.#framer.note(this.#losses.text(), at))) this.#losses.clear();
  }

  /** Appends a record that is not the container's. Returns whether it is done with. */
  #appendOwn(bytes: Buffer): boolean {
    const record = { bytes };
    // Beyond the limit for the whole run nothing needs to be said any more.
    if (this.#allowedEnd(record, bytes.length) === 0) return true;
    this.#fittingEnd(record, 0, bytes.length);
    const logged = this.#file.append(record, 0, bytes.length);
    this.#allowance -= logged;
    if (logged === bytes.length) return true;
    this.#writing.failed(this.#file.failure, bytes.length);
    return false;
  }

  /** Nothing more may come that would be a reason to. */
  #tellLastLosses(): void {
    if (!this.#losses.any) return;
    const now = this.#now();
    const lost = this.#losses.text();
    this.#tellLosses(now);
    if (this.#losses.any) {
      this.#faults.push({ state: "failing", task: "write", error: new Error(lost) });
      this.#losses.clear();
    } else {
      this.#writing.succeeded(Number.POSITIVE_INFINITY);
    }
  }

  /** Where the limit for the whole run ends the records. */
  #allowedEnd(records: Records, end: number): number {
    if (end <= this.#allowance) return end;
    const allowed = endOfRecordsWithin(records.bytes, 0, this.#allowance);
    // A shorter record that would still fit is not to follow one that is missing.
    this.#allowance = Math.min(this.#allowance, allowed);
    return allowed;
  }

  /** Up to where the records go into the file, after a fresh one was begun if it was due. */
  #fittingEnd(records: Records, start: number, allowed: number): number {
    // While it may fail, one at a time: so it is clear what a loss came before.
    const end = this.#writing.ongoing ? endOfRecord(records.bytes, start) : allowed;
    for (;;) {
      const room = this.#rotation.maxSize - this.#file.size;
      if (!this.#file.replaceable) return end;
      if (end - start <= room) {
        this.#rotation.makeRoom(end - start);
        return end;
      }
      const fitting = endOfRecordsWithin(records.bytes, start, room);
      const next = fitting > start ? fitting : endOfRecord(records.bytes, start);
      if (fitting > start || this.#file.size === 0) {
        this.#rotation.makeRoom(next - start);
        return next;
      }
      // Where no fresh file can be had, too large a log is better than none.
      if (!this.#rotate(this.#framer.measure(0, start).bytes)) return end;
    }
  }

  #now(): WallClock {
    const now = { seconds: 0, nanoseconds: 0, zone: this.#zone };
    readWallClock(now);
    return now;
  }

  // ---- fresh files ----

  /**
   * Returns whether there is more room than before.
   *
   * @param logged bytes of output that are in the log since `#done` was set
   */
  #rotate(logged = 0): boolean {
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
      this.#rotation.renew();
      this.#keeper?.keep(this.#file.fd);
    } finally {
      this.#record(false);
      this.#done = done;
    }
    this.counters.rotations++;
    if (unfinished > 0) this.#countDropped(this.#tornStream, 1, unfinished);
    this.#rotating.succeeded();
  }

  #makeWaiting(options: RecordFileOptions): WaitingOutput | undefined {
    if (options.onWriteError !== "block") return undefined;
    const { onRelief = () => {}, lastPatience } = options;
    return new WaitingOutput({
      write: (stream, data, at) => this.#write(stream, data, at),
      drop: (stream, data, at) => this.#giveUp(stream, data, at),
      onAttempt: () => {
        this.#countPending();
        this.#tellFaults();
      },
      onRelief,
      ...(lastPatience === undefined ? {} : { lastPatience }),
    });
  }

  // ---- what a successor needs ----

  #open({ path, keeper }: RecordFileOptions): LogFile {
    const inherited = keeper?.inherited;
    const onLateError = (error: Error): void => {
      this.#rotating.failed(error);
      this.#tellFaults();
    };
    if (inherited === undefined) return new LogFile(path, onLateError);
    const file = new LogFile(path, onLateError, inherited.fd);
    // It was about to be replaced, and has been: the fresh one is at the path, or was about to be.
    const replaced = inherited.mark.renewing && inherited.mark.inode === file.inode && file.isAway;
    if (!replaced) return file;
    try {
      const fresh = new LogFile(path, onLateError);
      file.close();
      return fresh;
    } catch {
      // Its directory has gone: the old file is better than none, as it is when a rotation fails.
      return file;
    }
  }

  /**
   * How many bytes of a piece of output the process before had logged, of the last part all or nothing, and how many of
   * them are still there.
   */
  #takeStock(
    mark: LogMark,
    stream: StreamName,
    data: Uint8Array,
    at: WallClock,
  ): { logged: number; kept: number } {
    const none = { logged: mark.done, kept: mark.done };
    // A fresh file was begun after the mark: nothing of what follows it is there yet.
    if (mark.inode !== this.#file.inode) return none;
    const more = this.#file.measure() - mark.size;
    if (more <= 0) return none;
    const { end, length } = this.#framedWithin(more, mark.done, stream, data, at);
    if (end === data.length && length === more) return { logged: end, kept: end };
    // It was killed in the middle of writing: what is there is logged anew, as a whole.
    if (this.#file.cutTo(mark.size)) return { logged: end, kept: mark.done };
    // Or, where that stays, gone on with. What is behind all of the piece is somebody else's.
    if (end < data.length) this.#file.goOnWithin(more - length);
    return { logged: end, kept: end };
  }

  /**
   * How much of what is from `start` on makes records of at most so many bytes, part by part; whatever the time, they
   * have the same length.
   */
  #framedWithin(
    most: number,
    start: number,
    stream: StreamName,
    data: Uint8Array,
    at: WallClock,
  ): { end: number; length: number } {
    let length = 0;
    let end = start;
    this.#framer.begin(stream, at);
    while (end < data.length) {
      const longer = length + this.#framedLength(partOf(data, end));
      if (longer > most) break;
      length = longer;
      end = endOfPart(end, data);
    }
    return { end, length };
  }

  #framedLength(part: Uint8Array): number {
    let length = 0;
    for (let from = 0; from < part.length; ) {
      from = this.#framer.fill(part, from, this.#recordSize);
      length += this.#framer.length;
    }
    return length;
  }

  /**
   * Others may have truncated the file or written to it, and a successor takes what is behind the mark for a part of
   * the piece.
   */
  #measure(): void {
    try {
      this.#file.measure();
    } catch {
      // Nothing that fails here lets a write succeed, which will tell why.
    }
  }

  #record(renewing: boolean): void {
    this.#keeper?.record({
      inode: this.#file.inode,
      size: this.#file.size,
      done: this.#done,
      renewing,
      allowance: this.#allowance,
      stderrOpen: this.#stderrOpen,
    });
  }

  #recordLoss(): void {
    const { any } = this.#losses;
    if (any || this.#lossRecorded) this.#keeper?.recordLoss(any ? this.#losses : undefined);
    this.#lossRecorded = any;
  }

  // ---- losses ----

  #countPending(): void {
    this.counters.pendingBytes = (this.#waiting?.size ?? 0) + this.#framer.heldBytes;
  }

  #drop(stream: StreamName, start: number, end: number): void {
    const lost = this.#framer.measure(start, end);
    this.#countDropped(stream, lost.records, lost.bytes);
  }

  /** What was counted as logged is lost. */
  #countDropped(stream: StreamName, records: number, bytes: number): void {
    countLogged(this.counters, stream, -records, -bytes);
    this.counters.droppedRecords += records;
    this.counters.droppedBytes += bytes;
  }

  /** Output that has waited in vain. */
  #giveUp(stream: StreamName, data: Uint8Array, at: WallClock): void {
    let records = 0;
    this.#framer.begin(stream, at);
    for (let from = 0; from < data.length; records += this.#framer.records) {
      from = this.#framer.fill(data, from, this.#recordSize);
    }
    this.counters.droppedRecords += records;
    this.counters.droppedBytes += data.length;
    this.#losses.add(records, data.length, at, reasonOf(this.#file.failure));
  }

  #tellFaults(): void {
    if (this.#faults.length === 0) return;
    for (const fault of this.#faults.splice(0)) this.#onError(fault);
  }
}

/**
 * Where the part begins in which `at` is. Whoever logs a piece of output divides it at the same places, whether it is
 * handed out as a whole or in parts: a line that is divided takes more records, and by their length a successor
 * finds out what is in the log.
 */
function startOfPart(at: number): number {
  return at - (at % INPUT_SIZE);
}

function endOfPart(at: number, data: Uint8Array): number {
  return Math.min(startOfPart(at) + INPUT_SIZE, data.length);
}

/** From `from` to the end of its part. */
function partOf(data: Uint8Array, from: number): Uint8Array {
  const end = endOfPart(from, data);
  return from === 0 && end === data.length ? data : data.subarray(from, end);
}
