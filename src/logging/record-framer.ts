import type { Buffer } from "node:buffer";
import type { StreamName } from "./sink.ts";
import type { LogTime } from "./timestamp.ts";

/** Records that can be written to a file. */
export interface Records {
  /** One record behind the other, from the first byte on; put together when it is asked for. */
  readonly bytes: Buffer;
  /** The same, to be written without that. */
  readonly gathered?: Gathered | undefined;
}

/** Records that are still in the pieces that they are made of. */
export interface Gathered {
  readonly memory: Uint8Array;
  /** Offset and length in the memory, in bytes, of one piece after the other. */
  readonly parts: Uint32Array;
  /** How many pieces. */
  readonly count: number;
  /** Bytes in all pieces. */
  readonly length: number;
}

/** What has become of output that was written to a file without being handed out. */
export interface Relayed {
  /** Bytes of output read from the pipe, {@link rest} among them. */
  readonly taken: number;
  /** Bytes written: whole records. */
  readonly written: number;
  /** How many records. */
  readonly records: number;
  /** Whether the last of them is a piece of a line. */
  readonly endsInPiece: boolean;
  /** What was read and is in none of them, for `fill()`: valid until the next call of a method. */
  readonly rest: Uint8Array;
  /** Bytes of the first records of the rest that are in the file nevertheless. */
  readonly torn: number;
}

/**
 * Turns what was read from a stream into records, each of which ends in its only newline, so that
 * a file of them can be cut behind any newline.
 *
 * The records are assembled in a buffer that never grows, so a read may take several turns.
 */
export interface RecordFramer extends Records {
  /** The assembled records are its first {@link length} bytes, until the next call of a method. */
  readonly bytes: Buffer;
  /** Bytes assembled last: whole records. */
  readonly length: number;
  /** Records assembled last. */
  readonly records: number;
  /** Bytes of output, of both streams, that wait for more before they can be part of a record. */
  readonly heldBytes: number;

  /** Whether some of these are of this stream: the beginning of a character, whose rest is going to come. */
  isCut(stream: StreamName): boolean;

  /** Begins a read: its stream and time are those of all its records. */
  begin(stream: StreamName, at: LogTime): void;

  /**
   * Assembles records from `data`, beginning at `from`, until all is taken or the buffer is full.
   *
   * @param recordSize Bytes of output in the longest record.
   * @returns the position in `data` of the first byte that was not taken.
   */
  fill(data: Uint8Array, from: number, recordSize: number): number;

  /**
   * Reads from a pipe and writes records to a file by itself, as long as they are long, there is room and nothing
   * fails. Only for framers that can.
   *
   * @param pipe has at least `count` bytes, which may be more than are taken
   * @param room bytes that may be written
   */
  relay?(pipe: number, count: number, file: number, room: number, recordSize: number): Relayed;

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
