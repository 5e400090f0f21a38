import { Buffer } from "node:buffer";
import type { WallClock } from "../../sys/mod.ts";
import type { PluginRecord } from "../plugin-api.ts";
import type { StreamName } from "../sink.ts";
import { UTC_TIMESTAMP_LENGTH, UtcTimestamp } from "../timestamp.ts";

/** Bytes of output in the longest record, without its newline. */
const PIECE_SIZE = 16 * 1024;
const NEWLINE = 0x0a;

const formatted = Buffer.alloc(UTC_TIMESTAMP_LENGTH);
const timestamp = new UtcTimestamp(formatted);

function format(at: WallClock): string {
  timestamp.set(at);
  return formatted.toString("latin1");
}

/** What {@link LineSplitter} has put together. */
export interface Records {
  readonly list: PluginRecord[];
  /** Bytes of output in them, newlines included. */
  bytes: number;
}

/**
 * Puts the lines of one stream together. A line is held until it is complete, or until it is longer
 * than {@link PIECE_SIZE}; then it becomes pieces, none of which ends within a character.
 */
export class LineSplitter {
  readonly #stream: StreamName;
  /** The beginning of a line, in the first {@link #held} bytes; a byte more than the longest piece. */
  #line: Buffer | undefined;
  #held = 0;
  #time = "";

  constructor(stream: StreamName) {
    this.#stream = stream;
  }

  /** Takes what was read; what becomes of it is appended to `records`. */
  push(data: Buffer, at: WallClock, records: Records): void {
    const now = format(at);
    for (let from = 0; from < data.length; ) {
      const newline = data.indexOf(NEWLINE, from);
      const end = newline === -1 ? data.length : newline;
      if (this.#held === 0) {
        this.#time = now;
        if (newline !== -1 && end - from <= PIECE_SIZE) {
          this.#emit(data, from, end, false, records);
          from = end + 1;
          continue;
        }
      }
      from += this.#hold(data, from, end);
      if (this.#held > PIECE_SIZE) this.#emitPiece(now, records);
      else if (from === newline) {
        this.#emitHeld(false, records);
        from++;
      }
    }
  }

  /** What is held has no end: appends it to `records`. */
  finish(records: Records): void {
    if (this.#held > 0) this.#emitHeld(true, records);
  }

  #hold(data: Buffer, from: number, end: number): number {
    this.#line ??= Buffer.allocUnsafeSlow(PIECE_SIZE + 1);
    const count = data.copy(this.#line, this.#held, from, end);
    this.#held += count;
    return count;
  }

  /** One byte is there that does not fit: all before it, or before its character, is a piece. */
  #emitPiece(now: string, records: Records): void {
    const line = this.#line as Buffer;
    let cut = PIECE_SIZE;
    while (cut > PIECE_SIZE - 3 && isContinuation(line[cut])) cut--;
    // Bytes that are no text at all are cut anywhere.
    if (isContinuation(line[cut])) cut = PIECE_SIZE;
    this.#emit(line, 0, cut, true, records);
    this.#held = line.copy(line, 0, cut, this.#held);
    this.#time = now;
  }

  #emitHeld(partial: boolean, records: Records): void {
    this.#emit(this.#line as Buffer, 0, this.#held, partial, records);
    this.#held = 0;
  }

  #emit(bytes: Buffer, start: number, end: number, partial: boolean, records: Records): void {
    const text = bytes.toString("utf8", start, end);
    records.list.push({ stream: this.#stream, time: this.#time, text, partial });
    records.bytes += end - start + (partial ? 0 : 1);
  }
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80;
}
