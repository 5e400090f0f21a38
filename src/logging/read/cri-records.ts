import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";

const NEWLINE = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;
const FULL = 0x46;
const PARTIAL = 0x50;
const [S, T, D, O, U, E, R] = [0x73, 0x74, 0x64, 0x6f, 0x75, 0x65, 0x72];
/** Bytes. RFC 3339 with nanoseconds takes 35; this leaves room for finer ones. */
const MAX_TIMESTAMP = 64;
const NEWLINE_BYTES = Buffer.from("\n");

/** One record of a log in the format of the Kubernetes CRI. */
export interface CriRecord {
  /** RFC 3339, as it is in the log. */
  readonly timestamp: string;
  readonly stream: StreamName;
  /** Whether the line goes on in the stream's next record; else a newline followed the payload. */
  readonly partial: boolean;
  /** The bytes of output. A view of the log's bytes, not a copy. */
  readonly payload: Buffer;
}

/** A line of a log that is no record. */
export class CriFormatError extends Error {
  /** Where the line begins, in bytes. */
  readonly offset: number;

  constructor(line: Buffer, offset: number) {
    const start = JSON.stringify(line.toString("utf8", 0, 80));
    super(`Byte ${offset} of the log begins no CRI record ("TIME STREAM TAG TEXT"): ${start}`);
    this.name = "CriFormatError";
    this.offset = offset;
  }
}

/**
 * Reads the records of a log. A last line without a newline is one that is just being written, or
 * was torn by a crash: it is left out.
 *
 * @throws {CriFormatError} for a whole line that is no record.
 *
 * @example
 * ```ts
 * for (const record of readCriRecords(readFileSync("0.log"))) {
 *   if (record.stream === "stderr") process.stderr.write(record.payload);
 * }
 * ```
 */
export function* readCriRecords(log: Uint8Array): Generator<CriRecord, void, undefined> {
  const bytes = Buffer.from(log.buffer, log.byteOffset, log.byteLength);
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
    const line = bytes.subarray(start, end);
    const record = parseCriRecord(line);
    if (record === undefined) throw new CriFormatError(line, start);
    yield record;
    start = end + 1;
  }
}

/** Reads one record, given without its newline; `undefined` if it is none. */
export function parseCriRecord(line: Buffer): CriRecord | undefined {
  const header = new CriHeader();
  if (!header.parse(line, 0, line.length)) return undefined;
  return {
    timestamp: line.toString("latin1", 0, header.timestampEnd),
    stream: header.stream,
    partial: header.partial,
    payload: line.subarray(header.payload),
  };
}

/** Takes the header of one record after the other apart, without making anything for it. */
export class CriHeader {
  /** Where the timestamp ends, which the record begins with. */
  timestampEnd = 0;
  stream: StreamName = "stdout";
  /** Whether the line goes on in the stream's next record. */
  partial = false;
  /** Where the payload begins, which goes up to the record's newline. */
  payload = 0;

  /**
   * Reads the header of the record that is in the buffer from `start` up to `end`, which is its
   * newline, or where the buffer ends before that.
   *
   * @returns whether it is one; if not, then the fields say nothing.
   */
  parse(bytes: Uint8Array, start: number, end: number): boolean {
    const limit = Math.min(end, start + MAX_TIMESTAMP + 1);
    let at = start;
    while (at < limit && bytes[at] !== SPACE) at++;
    if (at === start || at === limit) return false;
    this.timestampEnd = at;
    const afterStream = this.#parseStream(bytes, at + 1);
    if (afterStream === 0 || bytes[afterStream] !== SPACE) return false;
    const tag = bytes[afterStream + 1];
    if (tag !== FULL && tag !== PARTIAL) return false;
    this.partial = tag === PARTIAL;
    at = afterStream + 2;
    // The format allows more tags behind a colon. None is defined so far.
    if (bytes[at] === COLON) while (at < end && bytes[at] !== SPACE) at++;
    this.payload = at + 1;
    return at < end && bytes[at] === SPACE;
  }

  /** Returns where the name of the stream ends, or 0 if there is none. */
  #parseStream(bytes: Uint8Array, at: number): number {
    if (bytes[at] !== S || bytes[at + 1] !== T || bytes[at + 2] !== D) return 0;
    if (bytes[at + 3] === O && bytes[at + 4] === U && bytes[at + 5] === T) this.stream = "stdout";
    else if (bytes[at + 3] === E && bytes[at + 4] === R && bytes[at + 5] === R) {
      this.stream = "stderr";
    } else return 0;
    return at + "stdout".length;
  }
}

/** All that a log holds of one stream, exactly as the container wrote it. */
export function readOutput(log: Uint8Array, stream: StreamName): Buffer {
  const pieces: Buffer[] = [];
  for (const record of readCriRecords(log)) {
    if (record.stream !== stream) continue;
    pieces.push(record.payload);
    if (!record.partial) pieces.push(NEWLINE_BYTES);
  }
  return Buffer.concat(pieces);
}
