import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";
import { CriHeader } from "./cri-records.ts";
import { OPENING_BRACE, parseJsonRecord } from "./json-records.ts";
import type { Timestamp } from "./log-line.ts";
import { TimestampCache } from "./timestamp-cache.ts";

/**
 * The most bytes of a line of the file that are looked at as a whole. That is more than any record
 * in JSON needs; of a longer one of the CRI the payload is handed on as it comes.
 */
export const MAX_WHOLE_RECORD = 1024 * 1024;

const NOTHING = { text: "", time: { seconds: 0, nanoseconds: 0 } };

/**
 * Reads the records of a log, whichever of the two formats each is in, into fields that are
 * overwritten by the next.
 */
export class RawRecord {
  stream: StreamName = "stdout";
  /** Whether the line goes on in the stream's next record; else a newline followed the payload. */
  partial = false;
  timestamp: Timestamp = NOTHING;
  /** What the payload is in, from `start` up to `end`. */
  bytes: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;

  readonly #header = new CriHeader();
  readonly #timestamps = new TimestampCache();

  /**
   * Reads the line of the file that is in `bytes` from `start` up to `end`, without its newline. Of
   * a record of the CRI the end of the payload may be missing.
   *
   * @returns whether it is a record; if not, then the fields say nothing.
   */
  parse(bytes: Buffer, start: number, end: number): boolean {
    return bytes[start] === OPENING_BRACE
      ? this.#parseJson(bytes.subarray(start, end))
      : this.#parseCri(bytes, start, end);
  }

  #parseCri(bytes: Buffer, start: number, end: number): boolean {
    const header = this.#header;
    if (!header.parse(bytes, start, end)) return false;
    const timestamp = this.#timestamps.read(bytes, start, header.timestampEnd);
    if (timestamp === undefined) return false;
    this.stream = header.stream;
    this.partial = header.partial;
    this.timestamp = timestamp;
    this.bytes = bytes;
    this.start = header.payload;
    this.end = end;
    return true;
  }

  #parseJson(line: Buffer): boolean {
    if (line.length > MAX_WHOLE_RECORD) return false;
    const record = parseJsonRecord(line);
    if (record === undefined) return false;
    const time = Buffer.from(record.timestamp);
    const timestamp = this.#timestamps.read(time, 0, time.length);
    if (timestamp === undefined) return false;
    this.stream = record.stream;
    this.partial = record.partial;
    this.timestamp = timestamp;
    this.bytes = record.payload;
    this.start = 0;
    this.end = record.payload.length;
    return true;
  }
}
