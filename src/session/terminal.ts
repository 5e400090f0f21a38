/** The container's terminal, seen from its master: output, and the window's size. */
import * as sys from "../sys/mod.ts";
import { type Output, type OutputEvents, READ_SIZE } from "./output.ts";

/**
 * How long until a terminal that nobody has open is looked at again, in milliseconds. The kernel
 * does not tell when somebody opens it.
 */
const HANG_UP_PAUSE_MS = 100;

/** More than the kernel buffers for a terminal, in bytes. */
const DRAIN_MAX = 8 * READ_SIZE;

/** Owns the master of a terminal. All output counts as stdout. */
export class Terminal implements Output {
  readonly name = "stdout";
  readonly #fd: number;
  readonly #events: OutputEvents;
  readonly #readiness: sys.Readiness;
  #nextLook: NodeJS.Timeout | undefined;
  #closed = false;

  /** Takes over the master, which becomes non-blocking; nothing is read before {@link start}. */
  constructor(master: number, events: OutputEvents) {
    this.#fd = master;
    this.#events = events;
    this.#readiness = new sys.Readiness(master, () => this.#read(READ_SIZE));
  }

  start(): void {
    if (!this.#closed) this.#readiness.watch(sys.READABLE);
  }

  pause(): void {
    clearTimeout(this.#nextLook);
    if (!this.#closed) this.#readiness.watch(0);
  }

  /** Sets the size in characters; the foreground process group gets a SIGWINCH if it changed. */
  resize(rows: number, columns: number): void {
    if (!this.#closed) sys.setWindowSize(this.#fd, rows, columns);
  }

  /**
   * What is left until all that have it open are gone, or until there is nothing just now. Somebody
   * may have it open and write for ever, hence the limit.
   */
  drain(): void {
    for (let left = DRAIN_MAX; left > 0 && !this.#closed; ) {
      const count = this.#read(left);
      if (count <= 0) return;
      left -= count;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#nextLook);
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #read(most: number): number {
    if (this.#closed) return 0;
    try {
      const count = this.#events.read(this.name, this.#fd, most);
      if (count === 0) this.#hungUp();
      return count;
    } catch (error) {
      if (sys.isSystemError(error, "EIO")) {
        this.#hungUp();
      } else {
        this.close();
        this.#events.onEnd(this.name, error as Error);
      }
      return 0;
    }
  }

  /** Nobody has it open, which may change: the container is not over before its process is. */
  #hungUp(): void {
    // A hang-up is told again and again as long as it lasts: looking away is all that helps.
    this.pause();
    this.#nextLook = setTimeout(() => this.start(), HANG_UP_PAUSE_MS);
  }
}
