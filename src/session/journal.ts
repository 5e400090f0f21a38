/**
 * What a session must not forget, kept by the shim.
 *
 * A memory file that is deposited with the shim: the conmond that takes over reads from it what the
 * one before it has already done, so that nothing is done twice or not at all. What is written there
 * survives a killed conmond at once.
 *
 * | from byte |                                                                        |
 * | --------- | ---------------------------------------------------------------------- |
 * | 0         | one byte for each milestone                                            |
 * | 16        | the deadline of `--timeout`, a double; 0: none                         |
 * | 24        | what the marks are about: 1 stdout, 2 stderr, 3 the text of the start   |
 * | 25        | 1: a log waits to take all of it, everybody else has it                |
 * | 32        | the marks of log files, 48 bytes each: inode (64 bits), size, done and  |
 * |           | allowance (doubles), renewing and stderrOpen (one byte each)            |
 * | 272       | how much of the text of the start counts, in bytes, a double            |
 * | 280       | when the exit command is due, a double; 0: it is not                   |
 * | 288       | counters for those who look on, see journal-counters.ts                |
 * | 512       | the console socket's path                                              |
 * | 1024      | the working directory that the caller's paths begin at                 |
 * | 5120      | what log files could not be told, 80 bytes each, see journal-losses.ts |
 * | 5520      | the same of what was dropped beyond a limit of the rate                |
 * | 5632      | why there is no container, up to the end                               |
 */
import { fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import type { LogMark } from "../logging/log-keeper.ts";
import type { UntoldLoss } from "../logging/loss-notice.ts";
import type { StreamName } from "../logging/sink.ts";
import * as sys from "../sys/mod.ts";
import {
  COUNTERS_AT,
  COUNTERS_SIZE,
  decodeCounters,
  encodeCounters,
  type SessionCounters,
} from "./journal-counters.ts";
import { decodeLoss, encodeLoss, LOSS_SIZE } from "./journal-losses.ts";

/**
 * Things that must happen once, whoever does them; the order here is their place in the file.
 * - `timed-out`: the container process is killed for the limit of its time
 * - `exit-recorded`: the exit files are in their places
 * - `start-failed`: there will be no container, for the {@link Journal.failure} that is recorded
 * - `detached`: output and clients are done with; what is in the bundle may be another session's from now on
 * - `exit-written`: the exit files are there under other names
 */
export const MILESTONES = [
  "timed-out",
  "exit-recorded",
  "start-failed",
  "detached",
  "exit-written",
] as const;

export type Milestone = (typeof MILESTONES)[number];

const DEADLINE_AT = 16;
const PIECE_AT = 24;
const WAITING_AT = 25;
const MARKS_AT = 32;
const MARK_SIZE = 48;
const CONSOLE_PATH_AT = 512;
const DIRECTORY_AT = 1024;
const LOSSES_AT = 5120;
const RATE_LOSS_AT = 5520;
const FAILURE_AT = 5632;
/** What is read of a failure's text at most, in bytes: it goes to the caller in one message. */
const FAILURE_MAX = 1024 * 1024;

/** How many log files there is room for. */
export const LOGS_MAX = 5;

const STARTUP_AT = MARKS_AT + LOGS_MAX * MARK_SIZE;
const EXIT_COMMAND_AT = STARTUP_AT + 8;

/** A piece of output that is being logged: of a stream, in transit, or what was held back at the start. */
export type Piece = StreamName | "startup";

const PIECES: readonly (Piece | undefined)[] = [undefined, "stdout", "stderr", "startup"];

/** Owns the memory file. */
export class Journal {
  readonly fd: number;
  readonly #reached = new Set<Milestone>();
  readonly #marks: (LogMark | undefined)[] = [];
  readonly #losses: (UntoldLoss | undefined)[] = [];
  /** From the marks to the counters, as it is in the file. */
  readonly #block = Buffer.alloc(COUNTERS_AT + COUNTERS_SIZE);
  /** The same; a mark is written for each read, and Buffer's functions take longer. */
  readonly #view = new DataView(this.#block.buffer, this.#block.byteOffset, this.#block.length);
  #rateLoss: UntoldLoss | undefined;
  #counters: SessionCounters | undefined;
  #piece: Piece | undefined;
  #waiting = false;
  #startupSize = 0;
  #deadline: number | undefined;
  #exitCommandDue: number | undefined;
  #consolePath = "";
  #workingDirectory = "";
  #failure: Uint8Array = new Uint8Array(0);

  private constructor(fd: number) {
    this.fd = fd;
  }

  static create(): Journal {
    return new Journal(sys.memoryFile("conmon-journal"));
  }

  /**
   * Takes over the file of the conmond before. What makes no sense in it counts as not written: so a file
   * that is damaged costs what it would have told, and nothing else.
   *
   * @throws a system error for what is no file; then it has been closed
   */
  static adopt(fd: number): Journal {
    const journal = new Journal(fd);
    let bytes: Buffer;
    try {
      bytes = readFile(fd);
    } catch (error) {
      sys.close(fd);
      throw error;
    }
    MILESTONES.forEach((milestone, index) => {
      if (bytes[index] === 1) journal.#reached.add(milestone);
    });
    bytes.copy(journal.#block);
    journal.#counters = decodeCounters(bytes);
    const deadline = bytes.readDoubleLE(DEADLINE_AT);
    if (Number.isFinite(deadline) && deadline > 0) journal.#deadline = deadline;
    journal.#piece = PIECES[bytes[PIECE_AT] ?? 0];
    journal.#waiting = bytes[WAITING_AT] === 1;
    const startupSize = bytes.readDoubleLE(STARTUP_AT);
    if (isSize(startupSize)) journal.#startupSize = startupSize;
    for (let log = 0; log < LOGS_MAX; log++) {
      journal.#marks.push(readMark(bytes, log));
      const at = LOSSES_AT + log * LOSS_SIZE;
      journal.#losses.push(decodeLoss(bytes.subarray(at, at + LOSS_SIZE)));
    }
    journal.#rateLoss = decodeLoss(bytes.subarray(RATE_LOSS_AT, RATE_LOSS_AT + LOSS_SIZE));
    const due = bytes.readDoubleLE(EXIT_COMMAND_AT);
    if (Number.isFinite(due) && due > 0) journal.#exitCommandDue = due;
    journal.#consolePath = readText(bytes, CONSOLE_PATH_AT, DIRECTORY_AT);
    journal.#workingDirectory = readText(bytes, DIRECTORY_AT, LOSSES_AT);
    journal.#failure = bytes.subarray(FAILURE_AT);
    return journal;
  }

  has(milestone: Milestone): boolean {
    return this.#reached.has(milestone);
  }

  reach(milestone: Milestone): void {
    this.#reached.add(milestone);
    writeSync(this.fd, Buffer.of(1), 0, 1, MILESTONES.indexOf(milestone));
  }

  /** What the marks of the log files are about. */
  get piece(): Piece | undefined {
    return this.#piece;
  }

  notePiece(piece: Piece): void {
    if (piece === this.#piece) return;
    this.#piece = piece;
    writeSync(this.fd, Buffer.of(PIECES.indexOf(piece)), 0, 1, PIECE_AT);
  }

  /** The piece has gone to everybody but a log that cannot take it all yet. */
  get waiting(): boolean {
    return this.#waiting;
  }

  noteWaiting(waiting: boolean): void {
    if (waiting === this.#waiting) return;
    this.#waiting = waiting;
    writeSync(this.fd, Buffer.of(waiting ? 1 : 0), 0, 1, WAITING_AT);
  }

  /** How much of the text of the start there was before the piece in transit, in bytes. */
  get startupSize(): number {
    return this.#startupSize;
  }

  noteStartupSize(size: number): void {
    this.#startupSize = size;
    this.#writeNumber(size, STARTUP_AT);
  }

  /** What the conmond before has recorded of a log file, 0 to {@link LOGS_MAX} - 1; undefined: nothing. */
  markOf(log: number): LogMark | undefined {
    return this.#marks[log];
  }

  recordMark(log: number, mark: LogMark): void {
    const { inode, size, done, allowance, renewing, stderrOpen } = mark;
    const at = MARKS_AT + log * MARK_SIZE;
    const bytes = this.#block;
    const view = this.#view;
    view.setBigUint64(at, inode, true);
    view.setFloat64(at + 8, size, true);
    view.setFloat64(at + 16, done, true);
    view.setFloat64(at + 24, allowance, true);
    view.setUint8(at + 32, renewing ? 1 : 0);
    view.setUint8(at + 33, stderrOpen ? 1 : 0);
    // The first log's mark takes the counters along: what is in between is as it is in the file.
    const end = log === 0 ? bytes.length : at + MARK_SIZE;
    writeSync(this.fd, bytes, at, end - at, at);
  }

  /** What the conmond before could not tell a log file; undefined: there was nothing. */
  lossOf(log: number): UntoldLoss | undefined {
    return this.#losses[log];
  }

  recordLoss(log: number, loss: UntoldLoss | undefined): void {
    writeSync(this.fd, encodeLoss(loss), 0, LOSS_SIZE, LOSSES_AT + log * LOSS_SIZE);
  }

  /** What the conmond before has dropped beyond a limit of the rate, and not told. */
  get rateLoss(): UntoldLoss | undefined {
    return this.#rateLoss;
  }

  recordRateLoss(loss: UntoldLoss | undefined): void {
    writeSync(this.fd, encodeLoss(loss), 0, LOSS_SIZE, RATE_LOSS_AT);
  }

  /** What the conmond before has counted. */
  get counters(): SessionCounters | undefined {
    return this.#counters;
  }

  /** Has the counters written with the next mark. */
  noteCounters(counters: SessionCounters): void {
    encodeCounters(this.#view, counters);
  }

  /** Writes the counters now. */
  writeCounters(counters: SessionCounters): void {
    encodeCounters(this.#view, counters);
    writeSync(this.fd, this.#block, COUNTERS_AT, COUNTERS_SIZE, COUNTERS_AT);
  }

  /** When the container's time is up, in seconds of the machine's monotonic clock. */
  get deadline(): number | undefined {
    return this.#deadline;
  }

  set deadline(seconds: number) {
    this.#deadline = seconds;
    this.#writeNumber(seconds, DEADLINE_AT);
  }

  /** When the exit command is to be started, in seconds of the machine's monotonic clock. */
  get exitCommandDue(): number | undefined {
    return this.#exitCommandDue;
  }

  set exitCommandDue(seconds: number) {
    this.#exitCommandDue = seconds;
    this.#writeNumber(seconds, EXIT_COMMAND_AT);
  }

  /** Where the runtime is to send the terminal; empty when there is none. */
  get consolePath(): string {
    return this.#consolePath;
  }

  set consolePath(path: string) {
    this.#consolePath = path;
    this.#writeText(path, CONSOLE_PATH_AT, DIRECTORY_AT);
  }

  /** What the caller's relative paths begin at: it may have been removed or renamed since. */
  get workingDirectory(): string {
    return this.#workingDirectory;
  }

  set workingDirectory(path: string) {
    this.#workingDirectory = path;
    this.#writeText(path, DIRECTORY_AT, LOSSES_AT);
  }

  /** Why there is no container, in the runtime's own words or ours: what the caller is told. */
  get failure(): Uint8Array {
    return this.#failure;
  }

  set failure(text: Uint8Array) {
    this.#failure = text;
    ftruncateSync(this.fd, FAILURE_AT);
    writeSync(this.fd, text, 0, text.length, FAILURE_AT);
  }

  close(): void {
    sys.close(this.fd);
  }

  #writeNumber(number: number, at: number): void {
    this.#block.writeDoubleLE(number, at);
    writeSync(this.fd, this.#block, at, 8, at);
  }

  #writeText(text: string, at: number, end: number): void {
    const bytes = Buffer.alloc(end - at);
    // One that does not fit is none: half a path is another one.
    if (Buffer.byteLength(text) < bytes.length) bytes.write(text);
    writeSync(this.fd, bytes, 0, bytes.length, at);
  }
}

function readText(bytes: Buffer, from: number, to: number): string {
  const field = bytes.subarray(from, to);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? field.length : end);
}

/** As much of it as can be ours. */
function readFile(fd: number): Buffer {
  const size = Math.min(fstatSync(fd).size, FAILURE_AT + FAILURE_MAX);
  const bytes = Buffer.alloc(Math.max(FAILURE_AT, size));
  readSync(fd, bytes, 0, bytes.length, 0);
  return bytes;
}

function readMark(bytes: Buffer, log: number): LogMark | undefined {
  const at = MARKS_AT + log * MARK_SIZE;
  const mark = {
    inode: bytes.readBigUInt64LE(at),
    size: bytes.readDoubleLE(at + 8),
    done: bytes.readDoubleLE(at + 16),
    allowance: bytes.readDoubleLE(at + 24),
    renewing: bytes[at + 32] === 1,
    stderrOpen: bytes[at + 33] === 1,
  };
  const makesSense = isSize(mark.size) && isSize(mark.done) && mark.allowance >= 0;
  return makesSense ? mark : undefined;
}

/** A number of bytes. */
function isSize(number: number): boolean {
  return Number.isSafeInteger(number) && number >= 0;
}
