import { GzipFile, isDamage } from "./gzip-file.ts";
import type { DecoderOptions, LogDecoder, StreamOffsets } from "./log-decoder.ts";
import type { LogFilePart } from "./log-files.ts";
import { LogFault, type LogLine } from "./log-line.ts";
import { BLOCK_SIZE, type PlainFile } from "./plain-file.ts";

/** Reads the files of a log, one after the other, into a decoder. */
export class FileReader {
  readonly #decoder: LogDecoder;
  readonly #onFault: DecoderOptions["onFault"];
  readonly #signal: AbortSignal | undefined;
  #file = "";
  #position = 0;
  /** Whether a compressed file has been read, which does not change. */
  #isUnpacked = false;

  constructor(
    decoder: LogDecoder,
    onFault: DecoderOptions["onFault"],
    signal: AbortSignal | undefined,
  ) {
    this.#decoder = decoder;
    this.#onFault = onFault;
    this.#signal = signal;
  }

  /** Begins a file at a record, in bytes; see {@link LogDecoder.beginFile} for `from`. */
  begin(file: LogFilePart, offset = 0, from?: StreamOffsets): void {
    this.#file = file.path;
    this.#position = offset;
    this.#isUnpacked = false;
    this.#decoder.beginFile(file.path, offset, from);
  }

  /**
   * Reads what there is up to `end`. It can be called again when there is more.
   *
   * @throws {Error} of the system call; what `onFault` throws.
   */
  async *read(file: LogFilePart, end: number): AsyncGenerator<LogLine[], void, undefined> {
    yield* file instanceof GzipFile ? this.#readPacked(file) : this.#readPlain(file, end);
  }

  async *#readPlain(file: PlainFile, end: number): AsyncGenerator<LogLine[], void, undefined> {
    // A record without its end may yet be cut off by its writer, so it is never put together from two
    // reads between which that could happen. Only one that is larger than a block is.
    this.#position = this.#decoder.rewind();
    while (this.#signal?.aborted !== true) {
      const start = this.#position;
      const block = await file.read(start, end);
      const truncation = file.truncation(start);
      if (truncation !== undefined) {
        this.#goBack(truncation);
        continue;
      }
      const lines = this.#decoder.push(block);
      this.#position = start + block.length;
      const isLast = block.length < BLOCK_SIZE || this.#position >= end;
      if (!isLast && this.#decoder.offset > start) this.#position = this.#decoder.rewind();
      if (lines.length > 0) yield lines;
      if (isLast) return;
    }
  }

  /** Goes on at `size`, which the file was truncated to. */
  #goBack(size: number): void {
    const offset = this.#decoder.rewind();
    this.#position = Math.min(size, offset);
    // Else only a record without its end is gone, which its writer has cut off.
    if (size >= offset) return;
    this.#decoder.beginFile(this.#file, size);
    this.#onFault(
      new LogFault("truncated", this.#file, offset, `the file was cut to ${size} bytes`),
    );
  }

  async *#readPacked(file: GzipFile): AsyncGenerator<LogLine[], void, undefined> {
    if (this.#isUnpacked) return;
    let skip = this.#position;
    try {
      for await (const block of file.blocks()) {
        if (this.#signal?.aborted === true) return;
        const count = Math.min(skip, block.length);
        skip -= count;
        const lines = this.#decoder.push(block.subarray(count));
        if (lines.length > 0) yield lines;
      }
      this.#isUnpacked = true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#isUnpacked = true;
      const reason = `it cannot be unpacked any further: ${String(error)}`;
      const { offset } = this.#decoder;
      this.#onFault(new LogFault("damaged", this.#file, offset, reason, { cause: error }));
    }
  }
}
