/** Writing to the container's stdin, at the container's pace. */
import * as sys from "../sys/mod.ts";

export interface InputEvents {
  /** What was held back has been written: more is welcome. */
  onDrained(): void;
  /** The descriptor is closed, by `end()` or because nobody reads it any more. */
  onClosed(error?: Error): void;
}

/**
 * Owns our end of the container's stdin, which may come later than the first input. Holds back at
 * most one client's packet.
 */
export class StandardInput {
  readonly #events: InputEvents;
  readonly #isTerminal: boolean;
  #fd = -1;
  #readiness: sys.Readiness | undefined;
  #pending: Buffer | undefined;
  #ending = false;
  #closed = false;

  /** `isTerminal`: stdin is a terminal's master, which has no end and may have no reader just now. */
  constructor(events: InputEvents, isTerminal = false) {
    this.#events = events;
    this.#isTerminal = isTerminal;
  }

  /** Takes over the descriptor, which is non-blocking, and writes to it what came before it. */
  connect(fd: number): void {
    if (this.#closed) {
      sys.close(fd);
      this.#events.onClosed();
      return;
    }
    this.#readiness = new sys.Readiness(fd, () => this.#flush());
    this.#fd = fd;
    if (this.#pending !== undefined) this.#flush();
    else if (this.#ending) this.close();
  }

  /**
   * Writes, or holds back what does not fit. False: wait for `onDrained` before the next
   * write. Data for a stdin that is closed goes nowhere, as with any closed pipe.
   */
  write(data: Uint8Array): boolean {
    if (this.#closed || this.#ending) return true;
    const left = this.#pending === undefined ? this.#writeSome(data) : data;
    if (left.length > 0 && !this.#closed) {
      this.#pending = Buffer.concat([this.#pending ?? Buffer.alloc(0), left]);
      this.#readiness?.watch(sys.WRITABLE);
    }
    return this.#pending === undefined;
  }

  /** What is held back; undefined if nothing is. It is written first when another one begins with it. */
  get pending(): Uint8Array | undefined {
    return this.#pending;
  }

  /** Closes stdin once everything has been written. A terminal has no end that could be told. */
  end(): void {
    if (this.#isTerminal) return;
    this.#ending = true;
    if (this.#pending === undefined && this.#readiness !== undefined) this.close();
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = undefined;
    if (this.#readiness === undefined) return;
    this.#readiness.close();
    sys.close(this.#fd);
    this.#events.onClosed(error);
  }

  /** Returns what is left. */
  #writeSome(data: Uint8Array): Uint8Array {
    let at = 0;
    try {
      while (this.#fd >= 0 && at < data.length) {
        const count = sys.write(this.#fd, data, at, data.length - at);
        if (count < 0) break;
        at += count;
      }
    } catch (error) {
      // Nobody has the terminal open just now: what is typed then is lost, as on any terminal.
      const unheard = this.#isTerminal && sys.isSystemError(error, "EIO");
      // EPIPE: the container has closed its stdin, which is its good right.
      if (!unheard) this.close(sys.isSystemError(error, "EPIPE") ? undefined : (error as Error));
      return new Uint8Array(0);
    }
    return data.subarray(at);
  }

  #flush(): void {
    if (this.#pending === undefined) {
      this.#readiness?.watch(0);
      return;
    }
    const left = this.#writeSome(this.#pending);
    if (this.#closed) {
      this.#events.onDrained();
      return;
    }
    this.#pending = left.length > 0 ? Buffer.from(left) : undefined;
    this.#readiness?.watch(this.#pending === undefined ? 0 : sys.WRITABLE);
    if (this.#pending !== undefined) return;
    if (this.#ending) this.close();
    else this.#events.onDrained();
  }
}
