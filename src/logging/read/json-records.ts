import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";

const NEWLINE = 0x0a;
/** What a record in JSON begins with, which no record of the CRI does. */
export const OPENING_BRACE = 0x7b;

/** One record of a log in Docker's format json-file. */
export interface JsonRecord {
  /** RFC 3339, as it is in the log. */
  readonly timestamp: string;
  readonly stream: StreamName;
  /** Whether the line goes on in the stream's next record; else a newline followed the payload. */
  readonly partial: boolean;
  /** The bytes of output, without the newline. */
  readonly payload: Buffer;
}

/**
 * Reads one record of Docker's format json-file, given without its newline:
 * `{"log":"text\n","stream":"stdout","time":"2006-01-02T15:04:05.999999999Z"}`. Other members, such
 * as `attrs`, are not looked at. The format holds text only: bytes that were no UTF-8 have been
 * replaced when it was written.
 *
 * @returns `undefined` if it is none.
 */
export function parseJsonRecord(line: Buffer): JsonRecord | undefined {
  const { log, stream, time } = parseObject(line);
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const text = Buffer.from(log);
  const partial = text.at(-1) !== NEWLINE;
  return { timestamp: time, stream, partial, payload: partial ? text : text.subarray(0, -1) };
}

function parseObject(line: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(line.toString("utf8"));
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    // No JSON has no members; that is all that matters here.
    return {};
  }
}
