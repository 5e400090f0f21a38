import type { Buffer } from "node:buffer";
import type { WallClock } from "../../sys/mod.ts";
import type { StreamName } from "../sink.ts";

/** The longest line that is put together, in bytes, unless another length is asked for: 1 MiB. */
export const DEFAULT_MAX_LINE = 1024 * 1024;

/** When something was read from the container, as the log says it. Lines may share one object. */
export interface Timestamp {
  /** RFC 3339, exactly as it is in the log. */
  readonly text: string;
  /** The same in UTC. */
  readonly time: Readonly<WallClock>;
}

/** A line of output, put together from one or more records of the log. */
export interface LogLine {
  /** When its first piece was read from the container, in UTC. */
  readonly time: Readonly<WallClock>;
  /** The same as it is in the log, RFC 3339. */
  readonly timestamp: string;
  readonly stream: StreamName;
  /**
   * The bytes of the line without its newline. They may be a view of a block of up to 256 KiB, which
   * stays in memory as long as the line does: copy what is to be kept for long.
   */
  readonly text: Buffer;
  /**
   * Whether a newline ended it. If not, then it is longer than what is put together, and the next
   * line of the stream is its next piece; or it is the end of the stream.
   */
  readonly complete: boolean;
}

/**
 * What can be wrong with a log.
 * - `malformed`: a line that is no record; it is skipped
 * - `torn`: a record without its end, which no more can follow; it is skipped
 * - `damaged`: a compressed file that cannot be unpacked any further; its rest is skipped
 * - `truncated`: a file that became shorter while it was read; what was in it and had not been read
 *   is lost, if there was any
 * - `missing`: files before this one were rotated away and deleted while the reader was too slow to open them
 */
export type LogFaultKind = "malformed" | "torn" | "damaged" | "truncated" | "missing";

/** Something wrong with a log, which reading it went over. */
export class LogFault extends Error {
  readonly kind: LogFaultKind;
  /** The file, by the name that it had when it was opened. */
  readonly file: string;
  /** Where in the file it is, in bytes; in a compressed one, in bytes of what is unpacked. */
  readonly offset: number;

  constructor(
    kind: LogFaultKind,
    file: string,
    offset: number,
    reason: string,
    options?: ErrorOptions,
  ) {
    super(`${file}, byte ${offset}: ${reason}`, options);
    this.name = "LogFault";
    this.kind = kind;
    this.file = file;
    this.offset = offset;
  }
}
