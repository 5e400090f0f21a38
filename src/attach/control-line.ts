/**
 * The lines that callers write into a container's control fifos.
 *
 * `ctl`:   `1 HEIGHT WIDTH` resizes the terminal, `2 NUMBER NUMBER` reopens the logs.
 * `winsz`: `HEIGHT WIDTH` resizes the terminal.
 *
 * Numbers are decimal, leading zeros included, with white space around them. Numbers beyond those
 * expected are ignored, since callers have come to rely on that; anything else is invalid.
 */

/** What a line asks for; sizes are in characters, `reason` completes "the line ...". */
export type ControlRequest =
  | { kind: "resize"; rows: number; columns: number }
  | { kind: "reopen" }
  | { kind: "invalid"; reason: string };

/** The most bytes that a control line may have, its newline not counted. */
export const MAX_CONTROL_LINE = 200;

const MAX_TERMINAL_SIZE = 1000;
const RESIZE = 1;
const REOPEN = 2;
const NEWLINE = 0x0a;

/** Parses a line of the fifo `ctl`, given without its newline. */
export function parseControlLine(line: Uint8Array): ControlRequest {
  const [type, first, second] = decimalNumbers(line);
  if (type === undefined || first === undefined || second === undefined) {
    return invalid(line, "is not three decimal numbers");
  }
  if (type === RESIZE) return resize(line, first, second);
  if (type === REOPEN) return { kind: "reopen" };
  return invalid(line, "has an unknown message type");
}

/** Parses a line of the fifo `winsz`, given without its newline. */
export function parseWindowSizeLine(line: Uint8Array): ControlRequest {
  const [rows, columns] = decimalNumbers(line);
  if (rows === undefined || columns === undefined) {
    return invalid(line, "is not two decimal numbers");
  }
  return resize(line, rows, columns);
}

/** The numbers of a line; none when anything in it is not a decimal number. */
function decimalNumbers(line: Uint8Array): number[] {
  const words =
    Buffer.from(line)
      .toString("latin1")
      .match(/[^ \t\r\v\f]+/g) ?? [];
  return words.every((word) => /^[0-9]+$/.test(word)) ? words.map(Number) : [];
}

function resize(line: Uint8Array, rows: number, columns: number): ControlRequest {
  if (rows > MAX_TERMINAL_SIZE || columns > MAX_TERMINAL_SIZE) {
    return invalid(line, `has a size that is not between 0 and ${MAX_TERMINAL_SIZE}`);
  }
  return { kind: "resize", rows, columns };
}

function invalid(line: Uint8Array, reason: string): ControlRequest {
  // As JSON, so that control characters can do no harm where the reason is shown.
  const shown = JSON.stringify(Buffer.from(line).toString());
  // These it leaves as they are, although they are such to a terminal as well.
  const harmless = shown.replace(
    /[\u007f-\u009f]/g,
    (found) => `\\u00${found.charCodeAt(0).toString(16)}`,
  );
  return { kind: "invalid", reason: `${harmless} ${reason}` };
}

/**
 * Puts lines together from the pieces in which they arrive. A line of more than
 * {@link MAX_CONTROL_LINE} bytes is dropped whole, however many pieces it comes in, and the lines
 * after it still count.
 */
export class LineAssembler {
  readonly #line = new Uint8Array(MAX_CONTROL_LINE);
  #length = 0;
  #dropping = false;

  /**
   * Takes the next piece. `onLine` gets each line that it completes, without the newline and only
   * valid during the call; `onTooLong` is called once for each line that is dropped.
   */
  push(piece: Uint8Array, onLine: (line: Uint8Array) => void, onTooLong: () => void): void {
    for (const byte of piece) {
      if (byte === NEWLINE) {
        const complete = !this.#dropping;
        const line = this.#line.subarray(0, this.#length);
        this.#length = 0;
        this.#dropping = false;
        if (complete) onLine(line);
      } else if (this.#length < MAX_CONTROL_LINE) {
        this.#line[this.#length++] = byte;
      } else if (!this.#dropping) {
        this.#dropping = true;
        onTooLong();
      }
    }
  }
}
