import type { Buffer } from "node:buffer";
import type { StreamName } from "./sink.ts";
import type { LogTime } from "./timestamp.ts";

/**
 * Turns what was read from a stream into records, each of which ends in its only newline, so that
 * a file of them can be cut behind any newline.
 *
 * The records are assembled in a buffer that never grows, so a read may take several turns.
 */
export interface RecordFramer {
  /** The assembled records are its first {@link length} bytes, until the next call of a method. */
  readonly bytes: Buffer;
  /** Bytes assembled last: whole records. */
  readonly length: number;
  /** Records assembled last. */
  readonly records: number;
  /** Bytes of output, of both streams, that wait for more before they can be part of a record. */
  readonly heldBytes: number;

  /** Begins a read: its stream and time are those of all its records. */
  begin(stream: StreamName, at: LogTime): void;

  /**
   * Assembles records from `data`, beginning at `from`, until all is taken or the buffer is full.
   *
   * @param recordSize Bytes of output in the longest record.
   * @returns the position in `data` of the first byte that was not taken.
   */
  fill(data: Uint8Array, from: number, recordSize: number): number;

  /** Assembles what is held of a stream that has ended. Returns whether that was anything. */
  finish(stream: StreamName): boolean;

  /** Records and bytes of output in {@link bytes} from `start` to `end`, where records begin. */
  measure(start: number, end: number): { readonly records: number; readonly bytes: number };

  /** Whether the last of the records that end at `end` in {@link bytes} is a piece of a line. */
  endsInPiece(end: number): boolean;

  /** A record of our own: a line on stderr. */
  note(text: string, at: LogTime): Buffer;

  /**
   * The second (since 1970) of the first record in a file; `undefined` where there is none.
   *
   * @throws a system error
   */
  firstSecond(path: string): number | undefined;
}
