import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";
import { LineJoiner } from "./line-joiner.ts";
import { DEFAULT_MAX_LINE, LogFault, type LogLine, type Timestamp } from "./log-line.ts";
import { MAX_WHOLE_RECORD, RawRecord } from "./raw-record.ts";
import { type Selection, timeFilter } from "./selection.ts";

const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);

/** How a {@link LogDecoder} is to read. */
export interface DecoderOptions extends Selection {
  /** Bytes of the longest line that is put together, at least 1. Default 1048576 (1 MiB). */
  readonly maxLine?: number;
  /** Told what is wrong with the log. What it throws is thrown by the decoder. */
  readonly onFault: (fault: LogFault) => void;
}

/** For each stream the place in a file that what comes before it is not wanted. */
export type StreamOffsets = Readonly<Record<StreamName, number>>;

const FROM_THE_START: StreamOffsets = { stdout: 0, stderr: 0 };

/** A record so long that it is handed on in pieces, or a line that is skipped. */
type LongRecord =
  | { readonly stream: StreamName; readonly partial: boolean; readonly timestamp: Timestamp }
  | "skipped";

/**
 * Turns the bytes of log files into lines. It is given a file in blocks, one file after the other;
 * a line may go on in the next file, a record may not.
 *
 * @example
 * ```ts
 * const decoder = new LogDecoder({ onFault: (fault) => { throw fault; } });
 * decoder.beginFile("0.log");
 * for (const block of blocks) print(decoder.push(block));
 * decoder.endFile();
 * print(decoder.finish());
 * ```
 */
export class LogDecoder {
  readonly #stream: StreamName | undefined;
  readonly #onFault: (fault: LogFault) => void;
  readonly #joiner: LineJoiner;
  readonly #record = new RawRecord();
  #file = "";
  #from = FROM_THE_START;
  /** Where in the file `#rest` begins. */
  #offset = 0;
  /** What the last block ended with that is no whole record. */
  #rest: Buffer = NOTHING;
  #long: LongRecord | undefined;

  /** @throws {RangeError} for a `maxLine` that is no whole number from 1 on. */
  constructor(options: DecoderOptions) {
    const { maxLine = DEFAULT_MAX_LINE } = options;
    if (!(Number.isInteger(maxLine) && maxLine >= 1)) {
      throw new RangeError(`The longest line must be a whole number from 1 on, got ${maxLine}`);
    }
    this.#stream = options.stream;
    this.#onFault = options.onFault;
    this.#joiner = new LineJoiner(maxLine, timeFilter(options));
  }

  /**
   * Begins a file.
   *
   * @param file Its name, for faults.
   * @param offset Where in it the next block begins: at the beginning of a record.
   * @param from Records that begin before that are skipped.
   */
  beginFile(file: string, offset = 0, from = FROM_THE_START): void {
    this.#file = file;
    this.#from = from;
    this.#offset = offset;
    this.#rest = NOTHING;
    this.#long = undefined;
  }

  /** Takes the next block, which is copied, and returns the lines that end in it. */
  push(block: Uint8Array): LogLine[] {
    const bytes = Buffer.allocUnsafeSlow(this.#rest.length + block.length);
    bytes.set(this.#rest);
    bytes.set(block, this.#rest.length);
    const lines: LogLine[] = [];
    let start = this.#long === undefined ? 0 : this.#continueLong(lines, this.#long, bytes);
    for (let end = bytes.indexOf(NEWLINE, start); end !== -1; ) {
      this.#decode(lines, bytes, start, end);
      start = end + 1;
      end = bytes.indexOf(NEWLINE, start);
    }
    if (bytes.length - start > MAX_WHOLE_RECORD) start = this.#beginLong(lines, bytes, start);
    this.#offset += start;
    // A copy, since these few bytes would keep the block in memory.
    this.#rest = start < bytes.length ? Buffer.from(bytes.subarray(start)) : NOTHING;
    return lines;
  }

  /** Where in the file what has not become a record begins, in bytes. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Forgets what the last block ended with that is no whole record.
   *
   * @returns where in the file it began, to be read again.
   */
  rewind(): number {
    this.#rest = NOTHING;
    return this.#offset;
  }

  /** Ends a file that nothing more will come of and that is not the last one. */
  endFile(): void {
    if (this.#rest.length > 0 || this.#long !== undefined) {
      this.#fault("torn", this.#offset, "the record has no end");
    }
    this.#rest = NOTHING;
    this.#long = undefined;
  }

  /**
   * Returns the lines that were not complete when the log ended, each marked as such.
   *
   * @param torn Whether what there is of a last record without its end belongs to them.
   */
  finish(torn: boolean): LogLine[] {
    const lines: LogLine[] = [];
    const record = this.#record;
    const rest = this.#rest;
    if (torn && rest.length > 0 && record.parse(rest, 0, rest.length) && this.#isWanted(0)) {
      const { stream, timestamp, bytes, start, end } = record;
      this.#joiner.add(lines, stream, true, timestamp, bytes, start, end);
    }
    this.#joiner.finish(lines);
    this.#rest = NOTHING;
    return lines;
  }

  /** Ends the lines that are not complete: what they went on with is not going to come. */
  breakOff(): LogLine[] {
    const lines: LogLine[] = [];
    this.#joiner.finish(lines);
    return lines;
  }

  #decode(lines: LogLine[], bytes: Buffer, start: number, end: number): void {
    const record = this.#record;
    if (!record.parse(bytes, start, end)) {
      const text = JSON.stringify(bytes.toString("utf8", start, Math.min(end, start + 80)));
      this.#fault("malformed", this.#offset + start, `no record of a log: ${text}`);
    } else if (this.#isWanted(start)) {
      const { stream, partial, timestamp } = record;
      this.#joiner.add(lines, stream, partial, timestamp, record.bytes, record.start, record.end);
    }
  }

  /** Whether the record is, that begins so many bytes after the rest of the last block. */
  #isWanted(start: number): boolean {
    const { stream } = this.#record;
    if (this.#stream !== undefined && stream !== this.#stream) return false;
    return this.#offset + start >= this.#from[stream];
  }

  /** Takes all there is of a record that is too long, and returns where that ends. */
  #beginLong(lines: LogLine[], bytes: Buffer, start: number): number {
    const record = this.#record;
    if (!record.parse(bytes, start, bytes.length)) {
      const text = JSON.stringify(bytes.toString("utf8", start, start + 80));
      const reason = `no record of a log, and longer than ${MAX_WHOLE_RECORD} bytes: ${text}`;
      this.#fault("malformed", this.#offset + start, reason);
      this.#long = "skipped";
    } else if (this.#isWanted(start)) {
      const { stream, partial, timestamp } = record;
      this.#long = { stream, partial, timestamp };
      this.#joiner.add(lines, stream, true, timestamp, bytes, record.start, bytes.length);
    } else {
      this.#long = "skipped";
    }
    return bytes.length;
  }

  /** Takes what belongs to the long record, and returns where the next one begins. */
  #continueLong(lines: LogLine[], long: LongRecord, bytes: Buffer): number {
    const newline = bytes.indexOf(NEWLINE);
    const end = newline === -1 ? bytes.length : newline;
    if (long !== "skipped") {
      const partial = newline === -1 || long.partial;
      this.#joiner.add(lines, long.stream, partial, long.timestamp, bytes, 0, end);
    }
    if (newline === -1) return end;
    this.#long = undefined;
    return newline + 1;
  }

  #fault(kind: "malformed" | "torn", offset: number, reason: string): void {
    this.#onFault(new LogFault(kind, this.#file, offset, reason));
  }
}
