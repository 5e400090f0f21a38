import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as sys from "../sys/mod.ts";
import { firstRecordSecond } from "./file-age.ts";
import { timestamp } from "./loss-notice.ts";
import type { Gathered, RecordFramer, Relayed } from "./record-framer.ts";
import type { StreamName } from "./sink.ts";
import { LocalTimestamp, TIMESTAMP_LENGTH } from "./timestamp.ts";

/** Payload bytes of the longest record, unless another size is asked for. */
export const DEFAULT_RECORD_SIZE = 16 * 1024;
/** The longest record size that can be asked for, in bytes. */
export const MAX_RECORD_SIZE = 128 * 1024;
/** Where in a record the `F` or `P` is. */
const TAG_OFFSET = TIMESTAMP_LENGTH + " stdout ".length;
/** Where in a record the payload begins. */
export const PAYLOAD_OFFSET = TAG_OFFSET + "F ".length;
/** How much can be read into {@link CriFramer.input}, in bytes. */
export const INPUT_SIZE = 128 * 1024;

const NOTHING = new Uint8Array(0);
const NEWLINE = 0x0a;
const PARTIAL = 0x50; // P

// The inner loop is WebAssembly (cri-framing.wat): with sixteen bytes at a time it takes a tenth of what
// JavaScript takes, and less than the copying to and from the kernel. Long records are not put together at all, but
// written in parts (native/addon/records.c). The memory of both:
//
//   0       the head of full records, 45 bytes
//   64      the head of pieces of lines
//   128     a newline
//   256     of what long records are made up, if they are not put together
//   4096    input, into which pipes are read
//   ...     a copy of other data to be framed
//   ...     the records; half a megabyte and the input fit into a level 2 cache
//
// Sixteen bytes behind each may be read or written, and are nobody's.
const PIECE_HEAD_AT = 64;
const NEWLINE_AT = 128;
const PARTS_AT = 256;
const SLACK = 4096;
const INPUT_AT = SLACK;
const COPY_AT = INPUT_AT + INPUT_SIZE + SLACK;
const COPY_SIZE = 2 * MAX_RECORD_SIZE;
const RECORDS_AT = COPY_AT + COPY_SIZE + SLACK;
const RECORDS_SIZE = 512 * 1024;
const PAGE = 64 * 1024;
const PAGES = Math.ceil((RECORDS_AT + RECORDS_SIZE + SLACK) / PAGE);

/** A record as long as this or longer is cheaper to write in pieces than to put together, in bytes. */
const LONG_RECORD = 4096;
/** How many records are written in pieces at a time: each has at most three. */
const MOST_LONG_RECORDS = Math.floor((SLACK - PARTS_AT) / (3 * 8));

/** What the module exports; see there. */
interface Kernel {
  frame(head: number, from: number, end: number, to: number, last: number, size: number): void;
  read(): number;
  written(): number;
  records(): number;
}

/** Long records, and where in the memory the data is that they were made of. */
interface LongRecords extends Gathered {
  count: number;
  length: number;
  start: number;
  end: number;
}

/** Where the compiled module may be: beside the bundle, or where the build puts it for the sources. */
const PLACES = ["./cri-framing.wasm", "../../dist/cri-framing.wasm"];

let compiled: WebAssembly.Module | undefined;

function compile(): WebAssembly.Module {
  const paths = PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Error(`cri-framing.wasm is missing: run \`npm run build\` (${paths.join(", ")})`);
  }
  return new WebAssembly.Module(readFileSync(path));
}

/**
 * Turns what was read from a stream into records of the CRI log format,
 * `2006-01-02T15:04:05.000000000+00:00 stdout F text\n`: `F` where the text was followed by a
 * newline in the stream, `P` where it was not, because the line was longer than the record size
 * or the read ended there. The bytes of the text are kept as they are. Nothing is remembered from
 * one read to the next.
 *
 * The records are assembled in one buffer that never grows, so a read may take several turns. Data
 * that was read into `input` is not copied before.
 *
 * @example
 * ```ts
 * const framer = new CriFramer();
 * const data = framer.input.subarray(0, readSync(pipe, framer.input));
 * framer.begin("stdout", { seconds: 0, nanoseconds: 0 });
 * for (let from = 0; from < data.length; ) {
 *   from = framer.fill(data, from, DEFAULT_RECORD_SIZE);
 *   writeSync(log, framer.bytes, 0, framer.length);
 * }
 * ```
 */
export class CriFramer implements RecordFramer {
  /** A place to read into, of {@link INPUT_SIZE} bytes. */
  readonly input: Buffer;
  /** Bytes assembled by the last `fill()`: whole records, at least one if there was data. */
  length = 0;
  /** Records assembled by the last `fill()`. */
  records = 0;
  /** Nothing is held: bytes are kept as they are, wherever they are cut. */
  readonly heldBytes = 0;

  readonly #bytes: Buffer;
  /** The last `fill()` has found long records, which have not been put together yet. */
  #gathered: LongRecords | undefined;
  /** What that is then: one object for all, since a busy stream has thousands of them in a second. */
  readonly #long: LongRecords;
  #recordSize = DEFAULT_RECORD_SIZE;
  readonly #whole: Buffer;
  readonly #parts: Uint32Array;
  readonly #layout: Uint32Array;
  readonly #gatheredCounts = new Uint32Array(Object.keys(sys.GatheredCounts).length);
  readonly #relayedCounts = new Uint32Array(Object.keys(sys.RelayedCounts).length);
  readonly #memory: ArrayBuffer;
  readonly #kernel: Kernel;
  readonly #head: Buffer;
  readonly #copy: Buffer;
  readonly #timestamp: LocalTimestamp;
  /** Whose name is in the head. */
  #stream: StreamName = "stdout";

  constructor() {
    // It never grows, or all views of it would be lost.
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
    compiled ??= compile();
    const instance = new WebAssembly.Instance(compiled, { framing: { memory } });
    this.#kernel = instance.exports as unknown as Kernel;
    this.#memory = memory.buffer;
    this.input = Buffer.from(memory.buffer, INPUT_AT, INPUT_SIZE);
    this.#bytes = Buffer.from(memory.buffer, RECORDS_AT, RECORDS_SIZE);
    this.#whole = Buffer.from(memory.buffer);
    this.#whole[NEWLINE_AT] = NEWLINE;
    this.#parts = new Uint32Array(memory.buffer, PARTS_AT, MOST_LONG_RECORDS * 3 * 2);
    this.#layout = makeLayout();
    const none = { count: 0, length: 0, start: 0, end: 0 };
    this.#long = { memory: this.#whole, parts: this.#parts, ...none };
    this.#copy = Buffer.from(memory.buffer, COPY_AT, COPY_SIZE);
    this.#head = Buffer.from(memory.buffer, 0, PAYLOAD_OFFSET);
    this.#head.write(" stdout F ", TIMESTAMP_LENGTH, "latin1");
    this.#timestamp = new LocalTimestamp(this.#head);
  }

  /** Begins a read: its stream and time are those of all its records. */
  begin(stream: StreamName, at: sys.WallClock): void {
    const isOther = this.#timestamp.set(at);
    if (stream !== this.#stream) {
      this.#head.write(stream, TIMESTAMP_LENGTH + 1, "latin1");
      this.#stream = stream;
    } else if (!isOther) return;
    const memory = this.#whole;
    memory.copyWithin(PIECE_HEAD_AT, 0, PAYLOAD_OFFSET);
    memory[PIECE_HEAD_AT + TAG_OFFSET] = PARTIAL;
  }

  /**
   * Assembles records from `data`, beginning at `from`, until all is taken or the buffer is full. Of data
   * that is not in `input` at most 256 KiB are taken at a time; a line that is cut by that becomes pieces.
   *
   * @param recordSize Payload bytes of the longest record, 1 to {@link MAX_RECORD_SIZE}.
   * @returns the position in `data` of the first byte that was not taken.
   */
  fill(data: Uint8Array, from: number, recordSize: number): number {
    const { start, end } = this.#place(data, from);
    this.#recordSize = recordSize;
    const next = this.#gather(start, end) ?? this.#assemble(start, end);
    return from + next - start;
  }

  /** The assembled records are its first {@link length} bytes, until the next `fill()`. */
  get bytes(): Buffer {
    if (this.#gathered !== undefined) this.#assemble(this.#gathered.start, this.#gathered.end);
    return this.#bytes;
  }

  get gathered(): Gathered | undefined {
    return this.#gathered;
  }

  relay(pipe: number, count: number, file: number, room: number, recordSize: number): Relayed {
    const counts = this.#relayedCounts;
    this.#layout[sys.RecordLayout.longest] = recordSize;
    // Of more the addon has no notion, nor can a pipe hold as much.
    const most = Math.min(room, 2 ** 31 - 1);
    sys.relayRecords(pipe, count, file, most, this.#whole, this.#layout, counts);
    this.#gathered = undefined;
    const { taken, written, records, lastIsFull, torn, rest, restEnd } = sys.RelayedCounts;
    const from = counts[rest];
    const end = counts[restEnd];
    return {
      taken: counts[taken] ?? 0,
      written: counts[written] ?? 0,
      records: counts[records] ?? 0,
      endsInPiece: counts[lastIsFull] === 0,
      torn: counts[torn] ?? 0,
      rest: from === end ? NOTHING : this.#whole.subarray(from, end),
    };
  }

  /** Notes what the records at `start` are made of, if they are long. Returns the end of the last such one. */
  #gather(start: number, end: number): number | undefined {
    const counts = this.#gatheredCounts;
    this.#layout[sys.RecordLayout.longest] = this.#recordSize;
    sys.gatherRecords(this.#whole, this.#layout, start, end, this.#parts, counts);
    const { next, length, records, parts } = sys.GatheredCounts;
    this.records = counts[records] ?? 0;
    if (this.records === 0) return undefined;
    this.length = counts[length] ?? 0;
    const long = this.#long;
    long.count = counts[parts] ?? 0;
    long.length = this.length;
    long.start = start;
    long.end = counts[next] ?? end;
    this.#gathered = long;
    return long.end;
  }

  /** Puts the records together, as many as there is room for. Returns the end of the last one's data. */
  #assemble(start: number, end: number): number {
    const kernel = this.#kernel;
    const last = RECORDS_AT + RECORDS_SIZE - PAYLOAD_OFFSET - this.#recordSize - 1;
    kernel.frame(0, start, end, RECORDS_AT, last, this.#recordSize);
    this.#gathered = undefined;
    this.length = kernel.written() - RECORDS_AT;
    this.records = kernel.records();
    return kernel.read();
  }

  /** Never: it keeps bytes as they are. */
  isCut(): boolean {
    return false;
  }

  finish(): boolean {
    return false;
  }

  measure(start: number, end: number): { records: number; bytes: number } {
    return measureRecords(this.bytes, start, end);
  }

  endsInPiece(end: number): boolean {
    const start = end < 2 ? 0 : this.bytes.lastIndexOf(NEWLINE, end - 2) + 1;
    return this.bytes[start + TAG_OFFSET] === PARTIAL;
  }

  note(text: string, at: sys.WallClock): Buffer {
    return Buffer.from(`${timestamp(at)} stderr F ${text}\n`);
  }

  firstSecond(path: string): number | undefined {
    return firstRecordSecond(path);
  }

  /** Where in the memory the data is, or is now. */
  #place(data: Uint8Array, from: number): { start: number; end: number } {
    if (data.buffer === this.#memory) {
      return { start: data.byteOffset + from, end: data.byteOffset + data.length };
    }
    const some = data.subarray(from, from + COPY_SIZE);
    this.#copy.set(some);
    return { start: COPY_AT, end: COPY_AT + some.length };
  }
}

/** Where all is that long records are made of; their size is not known yet. */
function makeLayout(): Uint32Array {
  const layout = new Uint32Array(Object.keys(sys.RecordLayout).length);
  const at = sys.RecordLayout;
  layout[at.fullHead] = 0;
  layout[at.pieceHead] = PIECE_HEAD_AT;
  layout[at.headLength] = PAYLOAD_OFFSET;
  layout[at.newline] = NEWLINE_AT;
  layout[at.shortest] = LONG_RECORD;
  layout[at.input] = INPUT_AT;
  layout[at.inputLength] = INPUT_SIZE;
  return layout;
}

let shared: CriFramer | undefined;

/**
 * One for all logs, since a megabyte for each container would be a waste. That is safe because between
 * `begin()` and the last use of the records no other code runs.
 */
export function sharedCriFramer(): CriFramer {
  shared ??= new CriFramer();
  return shared;
}

/** Of whole records from `start` on, the end of the last that ends within `room` bytes, else `start`. */
export function endOfRecordsWithin(records: Buffer, start: number, room: number): number {
  const found = room > 0 ? records.subarray(start, start + room).lastIndexOf(NEWLINE) : -1;
  return start + found + 1;
}

/** The end of the record that begins at, or goes through, `start`. */
export function endOfRecord(records: Buffer, start: number): number {
  return records.indexOf(NEWLINE, start) + 1;
}

/** How many whole records there are from `start` to `end`, and how many bytes of output in them. */
export function measureRecords(
  records: Buffer,
  start: number,
  end: number,
): { records: number; bytes: number } {
  const total = { records: 0, bytes: 0 };
  for (let at = start; at < end; ) {
    const next = endOfRecord(records, at);
    const newlines = records[at + TAG_OFFSET] === PARTIAL ? 0 : 1;
    total.bytes += next - 1 - (at + PAYLOAD_OFFSET) + newlines;
    total.records++;
    at = next;
  }
  return total;
}
