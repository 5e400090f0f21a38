import { addon } from "./addon.ts";

/**
 * What records are made up of, and where in the memory that is: the layout is a Uint32Array of these, in this
 * order; offsets and lengths are in bytes.
 */
export const RecordLayout = {
  /** The head of a full record. */
  fullHead: 0,
  /** The head of a piece of a line. */
  pieceHead: 1,
  /** How long each of them is, 1024 at the most. */
  headLength: 2,
  /** Where a newline is, for the end of a piece. */
  newline: 3,
  /** Bytes of output in the longest record. */
  longest: 4,
  /** Bytes of output in the shortest record, 1 or more. Shorter ones are cheaper to put together. */
  shortest: 5,
  /** Where a pipe is read to. */
  input: 6,
  /** How much is read and written at a time, 1 or more. */
  inputLength: 7,
} as const;

/** What {@link RecordCalls.gatherRecords} tells: a Uint32Array of these. */
export const GatheredCounts = {
  /** The first byte that is in no record. */
  next: 0,
  /** Bytes of all records. */
  length: 1,
  records: 2,
  parts: 3,
} as const;

/** What {@link RecordCalls.relayRecords} tells: a Uint32Array of these. */
export const RelayedCounts = {
  /** Bytes read from the pipe. */
  taken: 0,
  /** Bytes of whole records in the file. */
  written: 1,
  records: 2,
  /** 1 if the last of these records is a full one. */
  lastIsFull: 3,
  /** Bytes in the file of the records that {@link RecordCalls.gatherRecords} would find in the rest. */
  torn: 4,
  /** What has been read and is in no record begins here... */
  rest: 5,
  /** ... and ends here. */
  restEnd: 6,
} as const;

/**
 * Long records of the CRI log format, and the one exception to that nothing is decided here: to frame them is to copy,
 * and to come back to JavaScript between two calls would take as long as a good part of that. All throw a
 * TypeError or RangeError for arguments that make no sense.
 */
export interface RecordCalls {
  /**
   * Finds out what the records are made of that data becomes. Ends before a record that is too short, and where
   * there is no room for more parts.
   *
   * @param from where in the memory the data begins; it ends at `end`
   * @param parts becomes offset and length of one part after the other
   * @param counts becomes {@link GatheredCounts}
   */
  gatherRecords(
    memory: Uint8Array,
    layout: Uint32Array,
    from: number,
    end: number,
    parts: Uint32Array,
    counts: Uint32Array,
  ): void;

  /**
   * Reads output from a pipe and writes records of it to a file, until `count` bytes are done, a record is too
   * short, there is no more room, or something fails: then the next one who tries finds out why.
   *
   * @param count bytes, which have to be in the pipe
   * @param room bytes that may be written
   * @param counts becomes {@link RelayedCounts}
   */
  relayRecords(
    pipe: number,
    count: number,
    file: number,
    room: number,
    memory: Uint8Array,
    layout: Uint32Array,
    counts: Uint32Array,
  ): void;
}

export const { gatherRecords, relayRecords }: RecordCalls = addon;
