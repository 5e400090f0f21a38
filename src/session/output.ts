/** Reading what the container writes: one stream, one pipe. */
import { INPUT_SIZE } from "../logging/cri-framing.ts";
import type { StreamName } from "../logging/sink.ts";
import * as sys from "../sys/mod.ts";
import { fairReadSize } from "./fair-turn.ts";

/**
 * Bytes taken per read at the most: enough that what a turn costs besides copying does not matter, and
 * little enough that the data is still in the processor's cache when it is framed and written.
 */
export const READ_SIZE = INPUT_SIZE;

/** What a pipe holds when it is new, in bytes. */
const PIPE_SIZE = 65536;

/** What a busy one is made to hold: as much as anybody may ask for (/proc/sys/fs/pipe-max-size). */
const BUSY_PIPE_SIZE = 1024 * 1024;

export interface OutputEvents {
  /**
   * Reads once from `fd`, at most so many bytes, and does with them what is to be done.
   *
   * @returns the bytes read; 0 at the end; -1 when there is nothing just now
   * @throws a system error
   */
  read(stream: StreamName, fd: number, most: number): number;
  /** The container writes faster than we read. */
  onBusy(): void;
  /** All writers have closed it, or it cannot be read any more (`error`). */
  onEnd(stream: StreamName, error?: Error): void;
}

/** Something that the container's output is read from. */
export interface Output {
  readonly name: StreamName;
  start(): void;
  /** Reads nothing until the next `start()`: the container waits when there is no more room. */
  pause(): void;
  /** Takes what is there at this moment, and no more. */
  drain(): void;
  close(): void;
}

/** Owns our end of one of the container's output pipes. */
export class OutputStream implements Output {
  readonly name: StreamName;
  readonly fd: number;
  readonly #events: OutputEvents;
  readonly #readiness: sys.Readiness;
  #closed = false;
  /** Nothing has been done yet about how much the pipe holds. */
  #small = true;

  /** `fd` is non-blocking; nothing is read before {@link start}. */
  constructor(name: StreamName, fd: number, events: OutputEvents) {
    this.name = name;
    this.fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#read());
  }

  /** Begins to read, or goes on after a {@link pause}. */
  start(): void {
    if (!this.#closed) this.#readiness.watch(sys.READABLE);
  }

  pause(): void {
    if (!this.#closed) this.#readiness.watch(0);
  }

  /** Somebody may hold the other end open and write for ever: hence no more than is there now. */
  drain(): void {
    if (this.#closed) return;
    for (let left = sys.bytesReadable(this.fd); left > 0 && !this.#closed; ) {
      const count = this.#read(left);
      if (count <= 0) return;
      left -= count;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.fd);
  }

  /**
   * The pipe was full: the container writes faster than we read, and with more room both wait less
   * for each other. Pipes that are never full keep their size, and the kernel its memory.
   */
  #enlarge(): void {
    this.#small = false;
    try {
      if (!this.#closed) sys.setPipeSize(this.fd, BUSY_PIPE_SIZE);
      this.#events.onBusy();
    } catch {
      // The user has too much in pipes already, or the limit is lower here: it works as it is.
    }
  }

  /** One read per turn: sessions that write much take turns with all others. */
  #read(most = fairReadSize()): number {
    if (this.#closed) return 0;
    let count: number;
    try {
      count = this.#events.read(this.name, this.fd, most);
    } catch (error) {
      this.close();
      this.#events.onEnd(this.name, error as Error);
      return 0;
    }
    if (count === 0) {
      this.close();
      this.#events.onEnd(this.name);
    }
    if (this.#small && count === PIPE_SIZE) this.#enlarge();
    return count;
  }
}
