/** What the container writes to one of its streams, read from a pipe. */
import * as sys from "../sys/mod.ts";
import { FairTurn } from "./fair-turn.ts";
import { Output } from "./output.ts";

/** What a pipe holds when it is new, in bytes. */
const PIPE_SIZE = 65536;

/** What a busy one is made to hold: as much as anybody may ask for (/proc/sys/fs/pipe-max-size). */
const BUSY_PIPE_SIZE = 1024 * 1024;

/** Our end of one of the container's output pipes. */
export class OutputStream extends Output {
  /** Nothing has been done yet about how much the pipe holds. */
  #small = true;
  readonly #turn = new FairTurn();

  /** Sessions that write much take turns with all others. */
  protected mostPerTurn(): number {
    return this.#turn.turnSize();
  }

  protected mostToDrain(): number {
    return sys.bytesReadable(this.fd);
  }

  protected onRead(count: number): void {
    if (count === 0) this.#end();
    if (this.#small && count === PIPE_SIZE) this.#enlarge();
  }

  protected onFailed(error: Error): void {
    this.#end(error);
  }

  #end(error?: Error): void {
    this.close();
    this.events.onEnd(this.name, error);
  }

  /**
   * The pipe was full: the container writes faster than we read, and with more room both wait less
   * for each other. Pipes that are never full keep their size, and the kernel its memory.
   */
  #enlarge(): void {
    this.#small = false;
    try {
      if (!this.closed) sys.setPipeSize(this.fd, BUSY_PIPE_SIZE);
      this.events.onBusy();
    } catch {
      // The user has too much in pipes already, or the limit is lower here: it works as it is.
    }
  }
}
