/** Writing to the container's stdin, at the container's pace. */
import * as sys from "../sys/mod.ts";

export interface InputEvents {
  /** What was held back has been written: more is welcome. */
  onDrained(): void;
  /** The pipe is closed, by `end()` or because nobody reads it any more. */
  onClosed(error?: Error): void;
}

/** Owns our end of the container's stdin pipe. Holds back at most one client's packet. */
export class StandardInput {
  readonly #fd: number;
  readonly #events: InputEvents;
  readonly #readiness: sys.Readiness;
  #pending: Buffer | undefined;
  #ending = false;
  #closed = false;

  /** `fd` is non-blocking. */
  constructor(fd: number, events: InputEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#flush());
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
      this.#readiness.watch(sys.WRITABLE);
    }
    return this.#pending === undefined;
  }

  /** Closes stdin once everything has been written. */
  end(): void {
    this.#ending = true;
    if (this.#pending === undefined) this.close();
  }

  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = undefined;
    this.#readiness.close();
    sys.close(this.#fd);
    this.#events.onClosed(error);
  }

  #writeSome(data: Uint8Array): Uint8Array {
    let at = 0;
    try {
      while (at < data.length) {
        const count = sys.write(this.#fd, data, at, data.length - at);
        if (count < 0) break;
        at += count;
      }
    } catch (error) {
      // EPIPE: the container has closed its stdin, which is its good right.
      const gone = (error as NodeJS.ErrnoException).code === "EPIPE";
      this.close(gone ? undefined : (error as Error));
      return new Uint8Array(0);
    }
    return data.subarray(at);
  }

  #flush(): void {
    if (this.#pending === undefined) {
      this.#readiness.watch(0);
      return;
    }
    const left = this.#writeSome(this.#pending);
    if (this.#closed) {
      this.#events.onDrained();
      return;
    }
    this.#pending = left.length > 0 ? Buffer.from(left) : undefined;
    if (this.#pending !== undefined) return;
    this.#readiness.watch(0);
    if (this.#ending) this.close();
    else this.#events.onDrained();
  }
}
