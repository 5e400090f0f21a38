import type { StreamName } from "../sink.ts";

/**
 * How far before the last record that is known of a line its beginning is looked for, in bytes,
 * where nothing else is to be looked for. A line that ends a minute after it began may have
 * gigabytes of the other stream in between, and where it has not, this is how often one reads all
 * of a log in vain.
 */
const DEFAULT_LOOK_BACK = 1024 * 1024;

/** A place in a log, counted in bytes back from its end. */
export type Distance = number;

interface FoundLine {
  readonly stream: StreamName;
  /** Of the first record that is known. */
  start: Distance;
  /** Whether the time of that record is wanted. */
  wanted: boolean;
  /** Whether the record is the first one of the line. */
  settled: boolean;
}

/**
 * Finds where the last lines of a log begin, going backwards over its records. A line counts where
 * its last record is: a line that is not complete at the end of the log is older than all that
 * follow in the other stream.
 */
export class TailSearch {
  readonly #count: number;
  readonly #lookBack: number;
  /** The newest first, without those that are known not to be wanted. */
  readonly #lines: FoundLine[] = [];
  readonly #open: Record<StreamName, FoundLine | undefined> = {
    stdout: undefined,
    stderr: undefined,
  };
  /** Of the lines, so many at the beginning are settled. */
  #settled = 0;

  /**
   * @param count How many lines are wanted.
   * @param lookBack Bytes, see {@link DEFAULT_LOOK_BACK}.
   */
  constructor(count: number, lookBack = DEFAULT_LOOK_BACK) {
    this.#count = count;
    this.#lookBack = lookBack;
  }

  /**
   * Takes the next older record.
   *
   * @param wanted Whether a line that begins with this record is wanted by its time.
   * @param distance Where the record begins.
   */
  add(stream: StreamName, partial: boolean, wanted: boolean, distance: Distance): void {
    const newer = this.#open[stream];
    if (partial && newer !== undefined) {
      newer.start = distance;
      newer.wanted = wanted;
      return;
    }
    if (newer !== undefined) this.#settle(newer);
    const line = { stream, start: distance, wanted, settled: false };
    this.#open[stream] = line;
    this.#lines.push(line);
  }

  /** Whether all is found, when all records up to that distance have been added. */
  isDone(distance: Distance): boolean {
    if (this.#count === 0) return true;
    if (this.#lines.length < this.#count) return false;
    let found = this.#skipSettled();
    for (let at = this.#settled; at < this.#lines.length && found < this.#count; at++) {
      const line = this.#lines[at];
      if (line === undefined) break;
      if (!line.settled && distance - line.start < this.#lookBack) return false;
      if (line.wanted) found++;
    }
    return found >= this.#count;
  }

  /** For each stream where the first of its wanted lines begins; `undefined` if it has none. */
  starts(): Record<StreamName, Distance | undefined> {
    const starts: Record<StreamName, Distance | undefined> = {
      stdout: undefined,
      stderr: undefined,
    };
    const wanted = this.#lines.filter((line) => line.wanted).slice(0, this.#count);
    for (const line of wanted) starts[line.stream] = line.start;
    return starts;
  }

  #settle(line: FoundLine): void {
    line.settled = true;
    // What is not wanted must not pile up. It is at the end, or only the other stream's is behind.
    if (!line.wanted) this.#lines.splice(this.#lines.lastIndexOf(line), 1);
  }

  #skipSettled(): number {
    while (this.#lines[this.#settled]?.settled) this.#settled++;
    return this.#settled;
  }
}
