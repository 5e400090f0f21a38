import { Buffer } from "node:buffer";
import type { StreamName } from "../sink.ts";
import type { LogLine, Timestamp } from "./log-line.ts";

const NOTHING = Buffer.alloc(0);
/** What a stream keeps between two lines, in bytes. */
const KEPT_ROOM = 64 * 1024;

/** What there is of a line that goes on in the stream's next record. */
interface OpenLine {
  /** Of its first piece; `undefined` if no line is open. */
  timestamp: Timestamp | undefined;
  wanted: boolean;
  /** The first `length` bytes are what is not handed out yet. */
  bytes: Buffer;
  length: number;
}

/**
 * Puts the lines of each stream together, in the order in which they end. A line longer than
 * `maxLine` bytes is handed out in pieces of that size, so that memory is bounded whatever the log
 * holds.
 */
export class LineJoiner {
  readonly #maxLine: number;
  readonly #wanted: (timestamp: Timestamp) => boolean;
  readonly #open: Readonly<Record<StreamName, OpenLine>> = { stdout: noLine(), stderr: noLine() };

  /**
   * @param maxLine Bytes, at least 1.
   * @param wanted Says by the time of a line's first piece whether it is to be handed out.
   */
  constructor(maxLine: number, wanted: (timestamp: Timestamp) => boolean) {
    this.#maxLine = maxLine;
    this.#wanted = wanted;
  }

  /**
   * Takes what a record holds, which is in `bytes` from `start` up to `end`, and adds what has
   * become a line, or a piece of one, to `lines`. Its text may be a view of `bytes`.
   */
  add(
    lines: LogLine[],
    stream: StreamName,
    partial: boolean,
    timestamp: Timestamp,
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const open = this.#open[stream];
    if (open.timestamp === undefined) {
      const wanted = this.#wanted(timestamp);
      if (!partial && end - start <= this.#maxLine) {
        if (wanted) lines.push(lineOf(stream, timestamp, bytes.subarray(start, end), true));
        return;
      }
      open.timestamp = timestamp;
      open.wanted = wanted;
    }
    if (open.wanted) this.#append(lines, stream, open.timestamp, bytes.subarray(start, end));
    if (!partial) this.#end(lines, stream, true);
  }

  /** Hands out what there is of lines that nothing more will come of. */
  finish(lines: LogLine[]): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const open = this.#open[stream];
      if (open.length > 0) this.#end(lines, stream, false);
      open.timestamp = undefined;
    }
  }

  #append(lines: LogLine[], stream: StreamName, timestamp: Timestamp, text: Buffer): void {
    const open = this.#open[stream];
    for (let from = 0; from < text.length; ) {
      // Only when there is more: a line of just that length is no piece.
      if (open.length === this.#maxLine) {
        lines.push(lineOf(stream, timestamp, take(open), false));
      }
      const count = Math.min(text.length - from, this.#maxLine - open.length);
      makeRoom(open, count, this.#maxLine);
      text.copy(open.bytes, open.length, from, from + count);
      open.length += count;
      from += count;
    }
  }

  #end(lines: LogLine[], stream: StreamName, complete: boolean): void {
    const open = this.#open[stream];
    const { timestamp, wanted } = open;
    open.timestamp = undefined;
    if (timestamp !== undefined && wanted) {
      lines.push(lineOf(stream, timestamp, take(open), complete));
    }
    if (open.bytes.length > KEPT_ROOM) open.bytes = NOTHING;
  }
}

function noLine(): OpenLine {
  return { timestamp: undefined, wanted: false, bytes: NOTHING, length: 0 };
}

function lineOf(
  stream: StreamName,
  { text: timestamp, time }: Timestamp,
  text: Buffer,
  complete: boolean,
): LogLine {
  return { time, timestamp, stream, text, complete };
}

function take(open: OpenLine): Buffer {
  const text = Buffer.from(open.bytes.subarray(0, open.length));
  open.length = 0;
  return text;
}

/**
 * The pieces are copied, not kept as views: one byte of this stream in each block of the other
 * would keep all the blocks.
 */
function makeRoom(open: OpenLine, count: number, most: number): void {
  const needed = open.length + count;
  if (needed <= open.bytes.length) return;
  const room = Math.min(most, Math.max(needed, open.bytes.length * 2, 4096));
  const larger = Buffer.allocUnsafeSlow(room);
  open.bytes.copy(larger, 0, 0, open.length);
  open.bytes = larger;
}
