/**
 * Output on its way to a plug-in: entries one behind the other, each with a stream, a time and bytes
 * as they were read. An entry without bytes is the end of its stream.
 */
import { Buffer } from "node:buffer";
import type { WallClock } from "../../sys/mod.ts";
import type { StreamName } from "../sink.ts";

/** Stream (1 byte), seconds (8), nanoseconds (4), bytes of output (4). */
const ENTRY_HEADER = 17;
/** The most bytes of a batch: a read fits, and many small ones. */
const BATCH_SIZE = 128 * 1024;
const FIRST_SIZE = 4096;
const NEWLINE = 0x0a;
const STREAMS: readonly StreamName[] = ["stdout", "stderr"];

/** One entry; the object and its data are only valid until the next one is asked for. */
export interface Entry {
  readonly stream: StreamName;
  readonly at: WallClock;
  /** Empty: the stream has ended. */
  readonly data: Buffer;
}

/** The entries of a batch, in order. */
export function* readEntries(bytes: Uint8Array, length: number): Generator<Entry, void, undefined> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, length);
  for (let at = 0; at < length; ) {
    const stream = STREAMS[buffer.readUInt8(at)] ?? "stdout";
    const time = { seconds: buffer.readDoubleLE(at + 1), nanoseconds: buffer.readUInt32LE(at + 9) };
    const start = at + ENTRY_HEADER;
    const end = start + buffer.readUInt32LE(at + 13);
    yield { stream, at: time, data: buffer.subarray(start, end) };
    at = end;
  }
}

/** Entries that are being collected. Its memory grows as it is needed. */
export class Batch {
  /** The entries are its first {@link length} bytes. */
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_SIZE);
  length = 0;
  /** Bytes of output in it. */
  output = 0;
  /** What came before it has been dropped. */
  afterGap = false;

  /** How many bytes of output one more entry may have; less than 1 if it is full. */
  get room(): number {
    return BATCH_SIZE - this.length - ENTRY_HEADER;
  }

  /** Appends `data` from `from` to `end`, for which there has to be room. */
  append(stream: StreamName, at: WallClock, data: Uint8Array, from: number, end: number): void {
    const size = end - from;
    this.#require(this.length + ENTRY_HEADER + size);
    const { bytes, length } = this;
    bytes.writeUInt8(STREAMS.indexOf(stream), length);
    bytes.writeDoubleLE(at.seconds, length + 1);
    bytes.writeUInt32LE(at.nanoseconds, length + 9);
    bytes.writeUInt32LE(size, length + 13);
    bytes.set(data.subarray(from, end), length + ENTRY_HEADER);
    this.length += ENTRY_HEADER + size;
    this.output += size;
  }

  /** Lines that end in it, and one more for each stream that is in mid-line at its end. */
  countRecords(): number {
    let records = 0;
    const unfinished = { stdout: 0, stderr: 0 };
    for (const { stream, data } of readEntries(this.bytes, this.length)) {
      if (data.length > 0) unfinished[stream] = data[data.length - 1] === NEWLINE ? 0 : 1;
      // A call for each line would take longer, where lines are short.
      for (let at = 0; at < data.length; at++) if (data[at] === NEWLINE) records++;
    }
    return records + unfinished.stdout + unfinished.stderr;
  }

  /** Makes it as good as new, but for its memory. */
  clear(): void {
    this.length = 0;
    this.output = 0;
    this.afterGap = false;
  }

  #require(size: number): void {
    if (size <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(
      Math.min(BATCH_SIZE, Math.max(size, 2 * this.bytes.length)),
    );
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}
