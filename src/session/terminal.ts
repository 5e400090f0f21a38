/** The container's terminal, seen from its master: output, and the window's size. */
import * as sys from "../sys/mod.ts";
import { Output, type OutputEvents } from "./output.ts";
import { READ_SIZE } from "./transit.ts";

/**
 * How long until a terminal that nobody has open is looked at again, in milliseconds. The kernel
 * does not tell when somebody opens it.
 */
const HANG_UP_PAUSE_MS = 100;

/** More than the kernel buffers for a terminal, in bytes. */
const DRAIN_MAX = 8 * READ_SIZE;

/** The master of a terminal. All output counts as stdout. */
export class Terminal extends Output {
  #nextLook: NodeJS.Timeout | undefined;

  /** Takes over the master, which becomes non-blocking; nothing is read before {@link start}. */
  constructor(master: number, events: OutputEvents) {
    super("stdout", master, events);
  }

  override pause(): void {
    clearTimeout(this.#nextLook);
    super.pause();
  }

  override close(): void {
    clearTimeout(this.#nextLook);
    super.close();
  }

  /** Sets the size in characters; the foreground process group gets a SIGWINCH if it changed. */
  resize(rows: number, columns: number): void {
    if (!this.closed) sys.setWindowSize(this.fd, rows, columns);
  }

  protected mostPerTurn(): number {
    return READ_SIZE;
  }

  /** The kernel does not say how much there is. */
  protected mostToDrain(): number {
    return DRAIN_MAX;
  }

  protected onRead(count: number): void {
    if (count === 0) this.#hungUp();
  }

  protected onFailed(error: Error): void {
    if (sys.isSystemError(error, "EIO")) {
      this.#hungUp();
      return;
    }
    this.close();
    this.events.onEnd(this.name, error);
  }

  /** Nobody has it open, which may change: the container is not over before its process is. */
  #hungUp(): void {
    // A hang-up is told again and again as long as it lasts: looking away is all that helps.
    this.pause();
    this.#nextLook = setTimeout(() => this.start(), HANG_UP_PAUSE_MS);
  }
}
