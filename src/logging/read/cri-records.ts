import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";

const NEWLINE = 0x0a;
const SPACE = 0x20;
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

/** A line of output, put together from one or more records. */
export interface OutputLine {
  /** When its first piece was read, RFC 3339. */
  readonly timestamp: string;
  readonly stream: StreamName;
  /** The bytes of the line without its newline. */
  readonly text: Buffer;
  /** Whether a newline ended it. Without one it is the end of the stream, or there is more. */
  readonly complete: boolean;
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
  const afterTime = line.indexOf(SPACE);
  const afterStream = line.indexOf(SPACE, afterTime + 1);
  const afterTag = line.indexOf(SPACE, afterStream + 1);
  if (afterTime < 1 || afterStream === -1 || afterTag === -1) return undefined;
  const stream = line.toString("latin1", afterTime + 1, afterStream);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  // The format allows more tags behind a colon. None is defined so far.
  const [tag] = line.toString("latin1", afterStream + 1, afterTag).split(":");
  if (tag !== "F" && tag !== "P") return undefined;
  return {
    timestamp: line.toString("latin1", 0, afterTime),
    stream,
    partial: tag === "P",
    payload: line.subarray(afterTag + 1),
  };
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

/** Pieces of a line that are not yet put together. */
interface Pending {
  timestamp: string;
  readonly pieces: Buffer[];
  size: number;
}

/**
 * Puts the lines of each stream together, in the order in which they end. Lines without a newline
 * come last. A line that grows beyond `maxLine` bytes is handed out in parts that are not
 * `complete`, so that memory is bounded whatever the log holds.
 *
 * @param options.maxLine Bytes, default 16777216 (16 MiB).
 */
export function* joinLines(
  records: Iterable<CriRecord>,
  { maxLine = 16 * 1024 * 1024 }: { readonly maxLine?: number } = {},
): Generator<OutputLine, void, undefined> {
  const pending: Record<StreamName, Pending> = {
    stdout: { timestamp: "", pieces: [], size: 0 },
    stderr: { timestamp: "", pieces: [], size: 0 },
  };
  for (const record of records) {
    const line = pending[record.stream];
    if (line.pieces.length === 0) line.timestamp = record.timestamp;
    if (record.payload.length > 0) line.pieces.push(record.payload);
    line.size += record.payload.length;
    if (!record.partial || line.size >= maxLine) yield take(line, record.stream, !record.partial);
  }
  for (const stream of ["stdout", "stderr"] as const) {
    if (pending[stream].pieces.length > 0) yield take(pending[stream], stream, false);
  }
}

function take(line: Pending, stream: StreamName, complete: boolean): OutputLine {
  const pieces = line.pieces.splice(0);
  line.size = 0;
  const text = pieces.length === 1 ? pieces[0] : undefined;
  return { timestamp: line.timestamp, stream, text: text ?? Buffer.concat(pieces), complete };
}
