import { Buffer } from "node:buffer";
import type { StreamName } from "./sink.ts";

/** Each segment's stream, one byte, and length, four bytes, before its data. */
const HEADER_SIZE = 5;
const FIRST_SIZE = 64 * 1024;
const NOTHING = Buffer.alloc(0);
const STREAMS: readonly StreamName[] = ["stdout", "stderr"];

/** What comes next in an {@link OutputQueue}: `bytes` from `start` to `end`, of one stream. */
export interface QueuedOutput {
  stream: StreamName;
  bytes: Uint8Array;
  start: number;
  /** Where `start` is, for a mark that the stream has ended. */
  end: number;
}

/**
 * Output of both streams in the order in which it was read, as it was read. Its memory is bounded,
 * and none while the queue is empty.
 */
export class OutputQueue {
  /** The most bytes of output that fit at once, into an empty queue. */
  readonly largest: number;
  readonly #limit: number;
  #bytes = NOTHING;
  /** Where the first segment begins, and the last; where the next one will. */
  #head = 0;
  #last = 0;
  #tail = 0;
  #size = 0;
  readonly #front: QueuedOutput = { stream: "stdout", bytes: NOTHING, start: 0, end: 0 };

  /** @param limit The most bytes of memory. */
  constructor(limit: number) {
    this.#limit = limit;
    this.largest = limit - HEADER_SIZE;
  }

  /** Bytes of output that wait. */
  get size(): number {
    return this.#size;
  }

  /** Whether nothing waits, not even a stream's end. */
  get isEmpty(): boolean {
    return this.#head === this.#tail;
  }

  /** Whether so many more bytes of one stream fit, or for 0 the mark of its end. */
  fits(length: number): boolean {
    return this.#tail - this.#head + HEADER_SIZE + length <= this.#limit;
  }

  /** Appends a copy of output, which has to fit; at least one byte. */
  push(stream: StreamName, data: Uint8Array, from: number, end: number): void {
    const length = end - from;
    this.#require(HEADER_SIZE + length);
    const last = this.#last;
    const index = STREAMS.indexOf(stream);
    const lastLength = this.isEmpty ? 0 : this.#bytes.readUInt32LE(last + 1);
    if (lastLength > 0 && this.#bytes[last] === index) {
      this.#bytes.writeUInt32LE(lastLength + length, last + 1);
    } else {
      this.#begin(index, length);
    }
    this.#bytes.set(data.subarray(from, end), this.#tail);
    this.#tail += length;
    this.#size += length;
  }

  /** Appends the mark that a stream has ended, which has to fit. */
  pushEnd(stream: StreamName): void {
    this.#require(HEADER_SIZE);
    this.#begin(STREAMS.indexOf(stream), 0);
  }

  /** What comes next, undefined for nothing. The same object each time, valid until the next call. */
  front(): QueuedOutput | undefined {
    if (this.isEmpty) return undefined;
    const data = this.#head + HEADER_SIZE;
    this.#front.stream = STREAMS[this.#bytes[this.#head] as number] as StreamName;
    this.#front.bytes = this.#bytes;
    this.#front.start = data;
    this.#front.end = data + this.#bytes.readUInt32LE(this.#head + 1);
    return this.#front;
  }

  /** Takes so many bytes of what comes next; 0 takes the mark of a stream's end. */
  take(length: number): void {
    const rest = this.#bytes.readUInt32LE(this.#head + 1) - length;
    this.#size -= length;
    if (rest > 0) {
      this.#shorten(length, rest);
      return;
    }
    this.#head += HEADER_SIZE + length;
    if (this.isEmpty) this.#reset();
  }

  /** Moves the first segment's header up to the rest of its data, so that the memory is free again. */
  #shorten(by: number, rest: number): void {
    const moved = this.#head + by;
    this.#bytes[moved] = this.#bytes[this.#head] as number;
    this.#bytes.writeUInt32LE(rest, moved + 1);
    if (this.#last === this.#head) this.#last = moved;
    this.#head = moved;
  }

  #reset(): void {
    this.#head = 0;
    this.#last = 0;
    this.#tail = 0;
    this.#bytes = NOTHING;
    this.#front.bytes = NOTHING;
  }

  #begin(stream: number, length: number): void {
    this.#last = this.#tail;
    this.#bytes[this.#tail] = stream;
    this.#bytes.writeUInt32LE(length, this.#tail + 1);
    this.#tail += HEADER_SIZE;
  }

  /** Makes sure that there is room behind the tail. */
  #require(bytes: number): void {
    if (this.#tail + bytes <= this.#bytes.length) return;
    const used = this.#tail - this.#head;
    if (used + bytes > this.#limit) throw new Error("the output does not fit into the queue");
    const wanted = Math.max(used + bytes, FIRST_SIZE, 2 * this.#bytes.length);
    const target =
      used + bytes <= this.#bytes.length
        ? this.#bytes
        : Buffer.allocUnsafeSlow(Math.min(wanted, this.#limit));
    this.#bytes.copy(target, 0, this.#head, this.#tail);
    this.#bytes = target;
    this.#last -= this.#head;
    this.#tail = used;
    this.#head = 0;
  }
}
