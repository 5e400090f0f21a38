import { Buffer } from "node:buffer";
import { closeSync, constants, openSync, readSync } from "node:fs";
import type { WallClock } from "../sys/mod.ts";
import type { RecordFramer } from "./record-framer.ts";
import type { StreamName } from "./sink.ts";
import { UTC_TIMESTAMP_LENGTH, UtcTimestamp } from "./timestamp.ts";
import { characterLength } from "./utf8.ts";

const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
/** The most bytes of JSON that one byte of output can become: `\u0000`. */
const LONGEST_ESCAPE = 6;
/** What begins each record, as one double. */
const PREFIX = '{"log":"';
/** How a line's own newline is spelled; a piece goes without. */
const ESCAPED_NEWLINE = "\\n";
const BEFORE_STREAM = '","stream":"';
const BEFORE_TIME = '","time":"';
const AFTER_TIME = '"}\n';
const STREAM_AT = ESCAPED_NEWLINE.length + BEFORE_STREAM.length;
const TIME_AT = STREAM_AT + "stdout".length + BEFORE_TIME.length;
const SUFFIX_LENGTH = TIME_AT + UTC_TIMESTAMP_LENGTH + AFTER_TIME.length;
// It is copied as eight doubles from either of two places.
const SUFFIX_ROOM = ESCAPED_NEWLINE.length + 64;
const SHORTEST_RECORD = PREFIX.length + SUFFIX_LENGTH - ESCAPED_NEWLINE.length;
const CAPACITY = 256 * 1024;
/** So that each record fits into an empty buffer, whatever its bytes are. */
const MOST_OUTPUT = Math.floor((CAPACITY - PREFIX.length - SUFFIX_ROOM) / LONGEST_ESCAPE) - 4;

/** For each byte below 0x80 that cannot stand in a string: how it is spelled. */
const ESCAPES: readonly Buffer[] = Array.from({ length: 0x80 }, (_, byte) =>
  Buffer.from(JSON.stringify(String.fromCharCode(byte)).slice(1, -1)),
);

/** The escapes of two characters, as a number to be stored at once; 0 for longer ones. */
const PAIRS = Uint16Array.from(ESCAPES, (spelled) =>
  spelled.length === 2 ? spelled.readUInt16BE() : 0,
);

// One for all framers, since between begin() and the last use of the bytes no other code runs.
let shared: { bytes: Buffer; view: DataView; sizes: Uint32Array } | undefined;

function makeShared(): NonNullable<typeof shared> {
  const bytes = Buffer.allocUnsafeSlow(CAPACITY);
  const view = new DataView(bytes.buffer, bytes.byteOffset, CAPACITY);
  return { bytes, view, sizes: new Uint32Array(Math.ceil(CAPACITY / SHORTEST_RECORD)) };
}

/** The beginning of a character at the end of what was read of a stream. */
interface Tail {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  length: number;
}

function makeTail(): Tail {
  // Room for the tail itself, at most three bytes, and as many to see whether they complete it.
  const bytes = new Uint8Array(6);
  return { bytes, view: new DataView(bytes.buffer), length: 0 };
}

/**
 * Turns what was read from a stream into records as Docker's log driver json-file has them, one JSON
 * object in each line: `{"log":"text\n","stream":"stdout","time":"2006-01-02T15:04:05.000000000Z"}`.
 * A piece of a line, because the line was longer than the record size or the read ended there, has no
 * `\n` at the end of `log`. Times are in UTC.
 *
 * It is valid JSON in UTF-8 whatever the container writes: for bytes that are no UTF-8, U+FFFD takes
 * their place. A character is never divided between two records: of one that is cut by the end of
 * a read the beginning, at most three bytes, is held until the next read or the end of the stream.
 * So a piece may be up to three bytes shorter than the record size, or longer if that is less than
 * one character.
 */
export class JsonFramer implements RecordFramer {
  readonly bytes: Buffer;
  length = 0;
  records = 0;

  readonly #view: DataView;
  /** Bytes of output in each record that was assembled last. */
  readonly #sizes: Uint32Array;
  readonly #suffix = Buffer.from(
    `${ESCAPED_NEWLINE}${BEFORE_STREAM}stdout${BEFORE_TIME}${" ".repeat(UTC_TIMESTAMP_LENGTH)}${AFTER_TIME}`.padEnd(
      SUFFIX_ROOM,
    ),
  );
  readonly #suffixView = new DataView(this.#suffix.buffer, this.#suffix.byteOffset, SUFFIX_ROOM);
  readonly #timestamp = new UtcTimestamp(
    this.#suffix.subarray(TIME_AT, TIME_AT + UTC_TIMESTAMP_LENGTH),
  );
  readonly #prefix = new DataView(Uint8Array.from(Buffer.from(PREFIX)).buffer).getFloat64(0, true);
  readonly #tails: Readonly<Record<StreamName, Tail>> = { stdout: makeTail(), stderr: makeTail() };
  #tail = this.#tails.stdout;
  /** Where {@link #escape} has stopped in the output and in the buffer. */
  #read = 0;
  #written = 0;

  constructor() {
    shared ??= makeShared();
    this.bytes = shared.bytes;
    this.#view = shared.view;
    this.#sizes = shared.sizes;
  }

  get heldBytes(): number {
    return this.#tails.stdout.length + this.#tails.stderr.length;
  }

  isCut(stream: StreamName): boolean {
    return this.#tails[stream].length > 0;
  }

  begin(stream: StreamName, at: WallClock): void {
    this.#timestamp.set(at);
    this.#setStream(stream);
  }

  fill(data: Uint8Array, from: number, recordSize: number): number {
    const source = new DataView(data.buffer, data.byteOffset, data.byteLength);
    const most = Math.min(recordSize, MOST_OUTPUT);
    this.#read = from;
    this.#written = 0;
    let records = 0;
    while (this.#read < data.length) {
      const left = Math.min(most, data.length - this.#read);
      const worst = PREFIX.length + (left + 4) * LONGEST_ESCAPE + SUFFIX_ROOM;
      if (records > 0 && this.#written + worst > CAPACITY) break;
      const record = this.#written;
      this.#view.setFloat64(record, this.#prefix, true);
      this.#written += PREFIX.length;
      const joined = this.#tail.length > 0 ? this.#finishCharacter(data) : 0;
      const start = this.#read;
      const end = Math.min(start + Math.max(0, most - joined), data.length);
      this.#escape(source, end, joined === 0);
      const size = joined + this.#read - start;
      if (this.#read < data.length && data[this.#read] === NEWLINE) {
        this.#read++;
        this.#sizes[records++] = size + 1;
        this.#end(0);
      } else if (size > 0) {
        this.#sizes[records++] = size;
        this.#end(ESCAPED_NEWLINE.length);
      } else {
        // All that there was is held.
        this.#written = record;
      }
      if (this.#isCutCharacter(source)) this.#hold(data);
    }
    this.length = this.#written;
    this.records = records;
    return this.#read;
  }

  finish(stream: StreamName): boolean {
    this.#setStream(stream);
    const { length } = this.#tail;
    if (length === 0) return false;
    this.#view.setFloat64(0, this.#prefix, true);
    this.#written = PREFIX.length;
    this.#writeReplacement();
    this.#end(ESCAPED_NEWLINE.length);
    this.#sizes[0] = length;
    this.#tail.length = 0;
    this.length = this.#written;
    this.records = 1;
    return true;
  }

  endsInPiece(end: number): boolean {
    if (end < SUFFIX_LENGTH) return false;
    const text = end - (SUFFIX_LENGTH - ESCAPED_NEWLINE.length);
    if (this.bytes.toString("latin1", text - 2, text) !== ESCAPED_NEWLINE) return true;
    // An escaped backslash before an n looks the same, but for how many backslashes there are.
    let first = text - 2;
    while (this.bytes[first - 1] === BACKSLASH) first--;
    return (text - 1 - first) % 2 === 0;
  }

  note(text: string, at: WallClock): Buffer {
    const time = Buffer.alloc(UTC_TIMESTAMP_LENGTH);
    new UtcTimestamp(time).set(at);
    const record = { log: `${text}\n`, stream: "stderr", time: time.toString("latin1") };
    return Buffer.from(`${JSON.stringify(record)}\n`);
  }

  firstSecond(path: string): number | undefined {
    const head = Buffer.alloc(CAPACITY);
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    let length: number;
    try {
      length = readSync(file, head, 0, head.length, 0);
    } finally {
      closeSync(file);
    }
    const end = head.subarray(0, length).indexOf(NEWLINE);
    const time = / *"time":"([^"]*)"\}$/.exec(
      head.toString("latin1", Math.max(0, end - 64), end),
    )?.[1];
    const milliseconds = Date.parse(time ?? "");
    return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
  }

  measure(start: number, end: number): { records: number; bytes: number } {
    const total = { records: 0, bytes: 0 };
    let record = 0;
    for (let at = 0; at < end; record++) {
      if (at >= start) {
        total.bytes += this.#sizes[record] as number;
        total.records++;
      }
      at = this.bytes.indexOf(NEWLINE, at) + 1;
    }
    return total;
  }

  #setStream(stream: StreamName): void {
    this.#suffix.write(stream, STREAM_AT, "latin1");
    this.#tail = this.#tails[stream];
  }

  /**
   * Writes the output up to the next newline, to `end` or to the beginning of a character that goes on
   * behind `end`. With
   * `atLeastOne` the first character is written even so.
   */
  #escape(source: DataView, end: number, atLeastOne: boolean): void {
    const target = this.#view;
    const start = this.#read;
    let at = start;
    let to = this.#written;
    for (;;) {
      for (; at + 8 <= end; at += 8, to += 8) {
        const low = source.getInt32(at, true);
        const high = source.getInt32(at + 4, true);
        // Written at once, since what is too much is written over.
        target.setInt32(to, low, true);
        target.setInt32(to + 4, high, true);
        if ((specialBits(low) | specialBits(high)) !== 0) break;
      }
      let byte = 0;
      for (; at < end; at++) {
        byte = source.getUint8(at);
        if (byte < 0x20 || byte === 0x22 || byte === 0x5c || byte >= 0x80) break;
        target.setUint8(to++, byte);
      }
      if (at === end || byte === NEWLINE) break;
      if (byte < 0x80) {
        const pair = PAIRS[byte] as number;
        if (pair !== 0) target.setUint16(to, pair);
        to = pair !== 0 ? to + 2 : this.#writeLongEscape(byte, to);
        at++;
        continue;
      }
      const length = characterLength(source, at, source.byteLength);
      const bytes = Math.abs(length);
      if (length === 0 || (at + bytes > end && !(atLeastOne && at === start))) break;
      for (let n = 0; n < length; n++) target.setUint8(to++, source.getUint8(at + n));
      if (length < 0) to = this.#writeReplacementAt(to);
      at += bytes;
      if (at >= end) break;
    }
    this.#read = at;
    this.#written = to;
  }

  #writeLongEscape(byte: number, to: number): number {
    const spelled = ESCAPES[byte] as Buffer;
    for (let n = 0; n < spelled.length; n++) this.#view.setUint8(to + n, spelled[n] as number);
    return to + spelled.length;
  }

  #writeReplacement(): void {
    this.#written = this.#writeReplacementAt(this.#written);
  }

  /** U+FFFD. */
  #writeReplacementAt(to: number): number {
    this.#view.setUint8(to, 0xef);
    this.#view.setUint8(to + 1, 0xbf);
    this.#view.setUint8(to + 2, 0xbd);
    return to + 3;
  }

  /** Ends a record; `from` is where in the suffix it begins. */
  #end(from: number): void {
    const suffix = this.#suffixView;
    const target = this.#view;
    const start = this.#written;
    // Eight doubles are a good deal faster than a copy byte by byte. No eight bytes of ASCII are a NaN.
    for (let at = 0; at < 64; at += 8) {
      target.setFloat64(start + at, suffix.getFloat64(from + at, true), true);
    }
    this.#written = start + SUFFIX_LENGTH - from;
  }

  // ---- characters that are cut by the end of a read ----

  #isCutCharacter(source: DataView): boolean {
    const at = this.#read;
    return at < source.byteLength && characterLength(source, at, source.byteLength) === 0;
  }

  #hold(data: Uint8Array): void {
    this.#tail.length = data.length - this.#read;
    this.#tail.bytes.set(data.subarray(this.#read));
    this.#read = data.length;
  }

  /**
   * Writes what is held of a character with what comes first in `data`, or U+FFFD where that is not its
   * rest. Returns the bytes of output that were written: 0 if even this read does not end it.
   */
  #finishCharacter(data: Uint8Array): number {
    const tail = this.#tail;
    const held = tail.length;
    const end = held + Math.min(data.length - this.#read, tail.bytes.length - held, 3);
    tail.bytes.set(data.subarray(this.#read, this.#read + end - held), held);
    const length = characterLength(tail.view, 0, end);
    if (length === 0) {
      tail.length = end;
      this.#read += end - held;
      return 0;
    }
    tail.length = 0;
    if (length < 0) this.#writeReplacement();
    else {
      this.bytes.set(tail.bytes.subarray(0, length), this.#written);
      this.#written += length;
    }
    const size = Math.abs(length);
    this.#read += size - held;
    return size;
  }
}

/** Not zero if one of the four bytes cannot stand in a JSON string, or is not ASCII. */
function specialBits(word: number): number {
  const quote = word ^ 0x22222222;
  const backslash = word ^ 0x5c5c5c5c;
  const below =
    (((word - 0x20202020) | 0) & ~word) |
    (((quote - 0x01010101) | 0) & ~quote) |
    (((backslash - 0x01010101) | 0) & ~backslash);
  return (below | word) & 0x80808080;
}
