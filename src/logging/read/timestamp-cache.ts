import type { Buffer } from "node:buffer";
import type { Timestamp } from "./log-line.ts";
import { parseRfc3339 } from "./rfc3339.ts";

const NONE = new Uint8Array(0);

/**
 * Reads timestamps, and hands out the last one again when the same comes once more: all records
 * that were read from the container at once have the same.
 */
export class TimestampCache {
  #last: Timestamp | undefined;
  /** A copy: a view would keep its block in memory. */
  #bytes: Uint8Array = NONE;

  /** Returns `undefined` if these bytes are no time of RFC 3339. */
  read(bytes: Buffer, start: number, end: number): Timestamp | undefined {
    if (this.#isLast(bytes, start, end)) return this.#last;
    const time = parseRfc3339(bytes, start, end);
    if (time === undefined) return undefined;
    this.#bytes = Uint8Array.prototype.slice.call(bytes, start, end);
    this.#last = { text: bytes.toString("latin1", start, end), time };
    return this.#last;
  }

  #isLast(bytes: Buffer, start: number, end: number): boolean {
    const last = this.#bytes;
    if (last.length !== end - start) return false;
    // From the end, where times differ.
    for (let at = last.length - 1; at >= 0; at--) {
      if (last[at] !== bytes[start + at]) return false;
    }
    return true;
  }
}
