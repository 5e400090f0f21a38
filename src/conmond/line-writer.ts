/** Lines to a descriptor whose reader may not read. */
import { constants, fstatSync, openSync } from "node:fs";
import * as sys from "../sys/mod.ts";

const { O_APPEND, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;

/** What may wait for a reader, in bytes: an hour of an ordinary log, and little beside the process's own memory. */
const WAITING_MAX = 256 * 1024;

/**
 * Writes lines as soon as they come, and never waits. What a pipe, a socket or a terminal has no room for is kept,
 * in order, up to 256 KiB. From the first line on that is too much for that, lines are dropped and counted until all
 * that waits has been written; then `onLost` is told. A line that cannot be written (a full disk) is dropped and
 * counted as well, and told before the next one. When nobody can read any more, nothing is written any more.
 */
export class LineWriter {
  readonly #fd: number;
  /** Whether it has been opened here. */
  readonly #isOwn: boolean;
  readonly #onLost: (lines: number) => void;
  /** Only what can be waited for: a regular file has no reader who could stop. */
  readonly #readiness: sys.Readiness | undefined;
  readonly #waiting: Buffer[] = [];
  #bytes = 0;
  #lost = 0;
  #closed = false;

  /**
   * The descriptor stays open, and in the mode that it is in, if that is possible: others have it as well, who may
   * not be ready for a terminal or a pipe that does not wait.
   *
   * @param onLost how many lines are missing at this point; it may write one that says so
   */
  constructor(fd: number, onLost: (lines: number) => void) {
    const waits = canWait(fd);
    this.#fd = waits ? openForOneself(fd) : fd;
    this.#isOwn = this.#fd !== fd;
    this.#onLost = onLost;
    if (!waits) return;
    this.#readiness = new sys.Readiness(this.#fd, () => this.#onRoom());
    // Nobody stays for the sake of a log that is not read.
    this.#readiness.unref();
  }

  /** Writes or keeps a text that ends in a newline. Never throws. */
  write(text: string): void {
    if (this.#closed) return;
    if (this.#lost > 0 && this.#waiting.length === 0) this.#tellLost();
    const line = Buffer.from(text);
    if (this.#lost > 0 || this.#bytes + line.length > WAITING_MAX) {
      this.#lost++;
      return;
    }
    this.#waiting.push(line);
    this.#bytes += line.length;
    if (this.#waiting.length === 1) this.#writeWaiting();
  }

  /** Writes what there is room for by now, as one does who is about to end. */
  flush(): void {
    if (this.#waiting.length > 0) this.#onRoom();
  }

  /** Drops what waits, and writes nothing any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting.length = 0;
    this.#readiness?.close();
    if (this.#isOwn) sys.close(this.#fd);
  }

  #onRoom(): void {
    this.#writeWaiting();
    if (this.#lost > 0 && this.#waiting.length === 0) this.#tellLost();
  }

  #tellLost(): void {
    const lost = this.#lost;
    this.#lost = 0;
    this.#onLost(lost);
    // It could not be told.
    if (this.#lost > 0) this.#lost = lost;
  }

  #writeWaiting(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const count = this.#writeSome(first);
      if (count < 0) {
        this.#readiness?.watch(sys.WRITABLE);
        return;
      }
      this.#bytes -= count;
      if (count < first.length) this.#waiting[0] = first.subarray(count);
      else this.#waiting.shift();
    }
    if (!this.#closed) this.#readiness?.watch(0);
  }

  /** Returns how many bytes are done with, -1 if there is no room. */
  #writeSome(line: Buffer): number {
    try {
      return sys.write(this.#fd, line, 0, line.length);
    } catch (error) {
      // The reader has gone, and does not come back.
      if (sys.isSystemError(error, "EPIPE")) this.close();
      else this.#lost++;
      return line.length;
    }
  }
}

function canWait(fd: number): boolean {
  const status = fstatSync(fd);
  return status.isFIFO() || status.isSocket() || sys.isTerminal(fd);
}

/**
 * The same pipe or terminal once more. A socket cannot be opened, nor may everybody open what another user has made:
 * then it is the descriptor itself, and whoever else has it has to live with its not waiting.
 */
function openForOneself(fd: number): number {
  try {
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY);
  } catch {
    return fd;
  }
}
