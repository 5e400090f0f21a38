import { Buffer } from "node:buffer";
import { MAX_WHOLE_RECORD } from "./raw-record.ts";

const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);
/** Of a line that is too long, so many bytes are kept: more than the header of a record has. */
const HEAD = 256;

/**
 * A line of a file.
 *
 * @param line Without its newline; of one that is too long only its beginning.
 * @param offset Where in the file it begins.
 * @param whole Whether `line` is all of it.
 * @param ended Whether it has a newline, which only the last line of a file may lack.
 */
export type LineVisitor = (line: Buffer, offset: number, whole: boolean, ended: boolean) => void;

/** Takes a file in blocks from its end to its beginning and finds its lines in that order. */
export class BackwardSplitter {
  readonly #visit: LineVisitor;
  /** The end of a line of which the beginning is still to come, or the beginning of that. */
  #rest: Buffer = NOTHING;
  #whole = true;
  #ended = false;

  constructor(visit: LineVisitor) {
    this.#visit = visit;
  }

  /** Takes the block that ends where the one before it began; it begins at `offset`. */
  push(block: Buffer, offset: number): void {
    let end = block.length;
    for (let newline = lastNewline(block, end); newline !== -1; ) {
      this.#prepend(block, newline + 1, end);
      this.#emit(offset + newline + 1);
      this.#ended = true;
      end = newline;
      newline = lastNewline(block, end);
    }
    this.#prepend(block, 0, end);
    // A file begins with a line without a newline before it.
    if (offset === 0) this.#emit(0);
  }

  #prepend(block: Buffer, start: number, end: number): void {
    const part = block.subarray(start, end);
    if (part.length + this.#rest.length > MAX_WHOLE_RECORD) this.#whole = false;
    const joined = this.#rest.length === 0 ? part : Buffer.concat([part, this.#rest]);
    this.#rest = this.#whole ? joined : joined.subarray(0, HEAD);
  }

  #emit(offset: number): void {
    const line = this.#rest;
    // There is no line after the newline that a file ends with.
    if (line.length > 0 || this.#ended) this.#visit(line, offset, this.#whole, this.#ended);
    this.#rest = NOTHING;
    this.#whole = true;
  }
}

function lastNewline(block: Buffer, end: number): number {
  // A negative position would be counted from the end.
  return end === 0 ? -1 : block.lastIndexOf(NEWLINE, end - 1);
}
