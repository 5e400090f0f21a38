import type { Buffer } from "node:buffer";
import { BackwardSplitter } from "./backward-splitter.ts";
import { OPENING_BRACE } from "./json-records.ts";
import type { StreamOffsets } from "./log-decoder.ts";
import type { OpenFile } from "./open-file.ts";
import { RawRecord } from "./raw-record.ts";
import { type Selection, timeFilter } from "./selection.ts";
import { type Distance, TailSearch } from "./tail-search.ts";

/** Which lines are looked for from the end. */
export interface TailOptions extends Selection {
  /** How many lines. */
  readonly tail: number;
  /** Bytes, see {@link TailSearch}. */
  readonly lookBack?: number;
  /** Whether a last record without its end counts. */
  readonly torn: boolean;
}

/** Where reading begins so that the last lines come. */
export interface TailStart {
  /** Which of the files it is, and where in it, in bytes. */
  readonly index: number;
  readonly offset: number;
  /** For each file, from where on the records of each stream are wanted. */
  readonly from: readonly StreamOffsets[];
}

/** A part of the log that has been searched. */
interface Searched {
  /** Its end, as seen from the end of the log. */
  readonly distance: Distance;
  /** Bytes. */
  readonly length: number;
}

/**
 * Finds where the last lines of a log begin, without reading more of it than it must.
 *
 * @param files The oldest first, at least one.
 * @param end Bytes of the last file that belong to the log.
 */
export async function findTailStart(
  files: readonly OpenFile[],
  end: number,
  options: TailOptions,
): Promise<TailStart> {
  const scan = new TailScan(options);
  const last = files.length - 1;
  for (let index = last; index >= 0 && !scan.isDone; index--) {
    const file = files[index];
    if (file !== undefined) await scan.search(file, index === last ? end : await file.length());
  }
  return scan.start(files.length);
}

class TailScan {
  readonly #search: TailSearch;
  readonly #options: TailOptions;
  readonly #isWanted: ReturnType<typeof timeFilter>;
  readonly #record = new RawRecord();
  /** The newest first. */
  readonly #searched: Searched[] = [];
  #distance: Distance = 0;
  /** Where the last whole record ends in the last file. */
  #endOfRecords: number | undefined;

  constructor(options: TailOptions) {
    this.#options = options;
    this.#search = new TailSearch(options.tail, options.lookBack);
    this.#isWanted = timeFilter(options);
  }

  /** Where the newest file's last record ends has to be known in any case. */
  get isDone(): boolean {
    return this.#endOfRecords !== undefined && this.#search.isDone(this.#distance);
  }

  async search(file: OpenFile, length: number): Promise<void> {
    const ends = this.#distance;
    const splitter = new BackwardSplitter((line, offset, whole, ended) => {
      if (!ended && this.#searched.length === 0) this.#endOfRecords = offset;
      this.#endOfRecords ??= offset + line.length + 1;
      const counts = ended || (this.#searched.length === 0 && this.#options.torn);
      if (counts) this.#add(line, ends + length - offset, whole, !ended);
    });
    for (let end = length; end > 0 && !this.isDone; ) {
      const block = await file.blockBefore(end);
      splitter.push(block.bytes, block.offset);
      this.#distance = ends + length - block.offset;
      end = block.offset;
    }
    this.#endOfRecords ??= 0;
    this.#searched.push({ distance: ends, length });
    this.#distance = ends + length;
  }

  start(files: number): TailStart {
    const starts = this.#search.starts();
    const stdout = this.#placeOf(starts.stdout, files);
    const stderr = this.#placeOf(starts.stderr, files);
    const from = Array.from({ length: files }, (_, index) => ({
      stdout: offsetIn(index, stdout),
      stderr: offsetIn(index, stderr),
    }));
    const isStdoutFirst =
      stdout.index < stderr.index ||
      (stdout.index === stderr.index && stdout.offset <= stderr.offset);
    return { ...(isStdoutFirst ? stdout : stderr), from };
  }

  #add(line: Buffer, distance: Distance, whole: boolean, torn: boolean): void {
    const record = this.#record;
    // Without its end, only the header of a record of the CRI can be read.
    const isRecord = (whole || line[0] !== OPENING_BRACE) && record.parse(line, 0, line.length);
    if (!isRecord) return;
    const { stream, partial, timestamp } = record;
    if (this.#options.stream !== undefined && stream !== this.#options.stream) return;
    this.#search.add(stream, partial || torn, this.#isWanted(timestamp), distance);
  }

  #placeOf(start: Distance | undefined, files: number): { index: number; offset: number } {
    // Not even the torn record that could be delivered, or all from that on, which will be whole.
    const end = this.#options.torn ? this.#searched[0]?.length : this.#endOfRecords;
    const last = { index: files - 1, offset: end ?? 0 };
    if (start === undefined) return last;
    const back = this.#searched.findIndex(({ distance, length }) => start <= distance + length);
    const searched = this.#searched[back];
    if (searched === undefined) return last;
    return { index: last.index - back, offset: searched.distance + searched.length - start };
  }
}

function offsetIn(index: number, start: { index: number; offset: number }): number {
  if (index === start.index) return start.offset;
  return index < start.index ? Number.POSITIVE_INFINITY : 0;
}
