import { Buffer } from "node:buffer";
import type { EntryBuffer } from "./journal-entry.ts";

const NEWLINE = 0x0a;
const LESS_THAN = 0x3c;
const GREATER_THAN = 0x3e;
const DIGIT_0 = 0x30;
const PREFIX_LENGTH = "<6>".length;
const NOTHING = Buffer.alloc(0);
/** A longer line is faster found and copied by the C library, call and view included. */
const SHORT_LINE = 128;
const SMALLEST_HOLD = 256;
/** What is held beyond that is given back when the line is done. */
const KEPT_HOLD = 4096;

/** How a {@link LineFramer} makes messages of a stream. */
export interface LineFramerSettings {
  /** The priority of lines that do not name their own, 0 to 7. */
  readonly priority: number;
  /** Bytes of the longest message without its newline. */
  readonly pieceSize: number;
  /** Mark pieces of lines as such. */
  readonly markPartials: boolean;
}

/**
 * Turns one stream into messages for the journal: lines with their newline. A line that is longer
 * than the piece size becomes several messages, all but the last of them marked. A line that is not
 * complete yet is held. `<0>` to `<7>` at the beginning of a line is its priority and is taken off;
 * all pieces of the line have it.
 *
 * Framing and taking are two steps, so that an entry which cannot be sent now can be framed anew
 * later: `frame()` changes nothing but the entry, `commit()` says that the entry is done with.
 *
 * @example
 * ```ts
 * for (let from = 0; from < data.length; ) {
 *   const next = framer.frame(data, from, data.length, entry);
 *   if (next === -1) return framer.hold(data, from, data.length);
 *   if (!send(entry)) return waitFor(data.subarray(from));
 *   framer.commit();
 *   from = next;
 * }
 * ```
 */
export class LineFramer {
  /** Bytes of output in the entry that was framed last. */
  framedBytes = 0;

  readonly #settings: LineFramerSettings;
  #held = NOTHING;
  #heldLength = 0;
  /** The beginning of this line has been a message already, with that priority. */
  #continued: { readonly priority: number } | undefined;
  #framedPriority = 0;
  #framedPartial = false;

  constructor(settings: LineFramerSettings) {
    this.#settings = settings;
  }

  /** Bytes of an unfinished line that are held. */
  get heldBytes(): number {
    return this.#heldLength;
  }

  /**
   * Assembles the next message from what is held and from `data` between `from` and `end`.
   *
   * @param entry After its `begin()`, with room for the piece size and a newline.
   * @returns the position in `data` behind the message; -1 if there is none yet: then the rest is to be
   *   given to `hold()`.
   */
  frame(data: Uint8Array, from: number, end: number, entry: EntryBuffer): number {
    const room = this.#settings.pieceSize - this.#heldLength;
    const limit = Math.min(from + room, end);
    const start = entry.textStart;
    this.#held.copy(entry.bytes, start, 0, this.#heldLength);
    const lineEnd = copyLine(data, from, limit, entry.bytes, start + this.#heldLength);
    if (lineEnd === end) return -1;
    const complete = data[lineEnd] === NEWLINE;
    let length = this.#heldLength + lineEnd - from;
    if (complete) entry.bytes[start + length++] = NEWLINE;
    this.#finish(entry, length, !complete);
    return complete ? lineEnd + 1 : lineEnd;
  }

  /**
   * Assembles a message from what is held, for no more will come.
   *
   * @returns whether there is one.
   */
  frameRest(entry: EntryBuffer): boolean {
    if (this.#heldLength === 0) return false;
    this.#held.copy(entry.bytes, entry.textStart, 0, this.#heldLength);
    this.#finish(entry, this.#heldLength, true);
    return true;
  }

  /** The message that was framed last has been sent, or is not to be sent at all. */
  commit(): void {
    this.#continued = this.#framedPartial ? { priority: this.#framedPriority } : undefined;
    this.#heldLength = 0;
    if (this.#held.length > KEPT_HOLD) this.#held = NOTHING;
  }

  /** Holds a copy of the beginning of a line, of which `frame()` could not make a message. */
  hold(data: Uint8Array, from: number, end: number): void {
    const length = this.#heldLength + end - from;
    if (length > this.#held.length) this.#growHold(length);
    this.#held.set(data.subarray(from, end), this.#heldLength);
    this.#heldLength = length;
  }

  #growHold(length: number): void {
    const size = Math.max(length, SMALLEST_HOLD, 2 * this.#held.length);
    const held = Buffer.allocUnsafeSlow(Math.min(size, this.#settings.pieceSize));
    this.#held.copy(held, 0, 0, this.#heldLength);
    this.#held = held;
  }

  #finish(entry: EntryBuffer, length: number, partial: boolean): void {
    this.framedBytes = length;
    this.#framedPartial = partial;
    const named = this.#continued ? -1 : namedPriority(entry.bytes, entry.textStart, length);
    this.#framedPriority =
      this.#continued?.priority ?? (named === -1 ? this.#settings.priority : named);
    let textLength = length;
    if (named !== -1) {
      const { bytes, textStart } = entry;
      bytes.copyWithin(textStart, textStart + PREFIX_LENGTH, textStart + length);
      textLength -= PREFIX_LENGTH;
    }
    entry.finish(textLength, this.#framedPriority, partial && this.#settings.markPartials);
  }
}

/** The N of `<N>` at the beginning of a line, or -1. */
function namedPriority(bytes: Uint8Array, start: number, length: number): number {
  if (length < PREFIX_LENGTH || bytes[start] !== LESS_THAN || bytes[start + 2] !== GREATER_THAN) {
    return -1;
  }
  const priority = (bytes[start + 1] as number) - DIGIT_0;
  return priority >= 0 && priority <= 7 ? priority : -1;
}

/** Copies up to the next newline or `end`, and returns where it stopped. */
function copyLine(
  data: Uint8Array,
  from: number,
  end: number,
  target: Uint8Array,
  to: number,
): number {
  const near = Math.min(from + SHORT_LINE, end);
  let at = from;
  for (let put = to; at < near; at++, put++) {
    const byte = data[at] as number;
    if (byte === NEWLINE) return at;
    target[put] = byte;
  }
  if (at === end) return end;
  // Buffer's search is memchr(3), that of a plain Uint8Array goes byte by byte.
  const found = Buffer.prototype.indexOf.call(data, NEWLINE, at);
  const lineEnd = found === -1 ? end : Math.min(found, end);
  target.set(data.subarray(at, lineEnd), to + at - from);
  return lineEnd;
}
