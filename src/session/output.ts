/** Reading what the container writes. */
import type { StreamName } from "../logging/sink.ts";
import * as sys from "../sys/mod.ts";
import { READ_SIZE } from "./transit.ts";

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

/** Something that the container's output is read from. Owns its descriptor. */
export abstract class Output {
  readonly name: StreamName;
  readonly fd: number;
  protected readonly events: OutputEvents;
  readonly #readiness: sys.Readiness;
  #paused = true;
  #closed = false;

  /** `fd` becomes non-blocking; nothing is read before {@link start}. */
  constructor(name: StreamName, fd: number, events: OutputEvents) {
    this.name = name;
    this.fd = fd;
    this.events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#readOn(this.mostPerTurn()));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Begins to read, or goes on after a {@link pause}. */
  start(): void {
    this.#paused = false;
    if (!this.#closed) this.#readiness.watch(sys.READABLE);
  }

  /** Reads nothing until the next `start()`: the container waits when there is no more room. */
  pause(): void {
    this.#paused = true;
    if (!this.#closed) this.#readiness.watch(0);
  }

  /** Takes what is there at this moment. Somebody may write for ever: hence no more than that. */
  drain(): void {
    for (let left = this.#closed ? 0 : this.mostToDrain(); left > 0 && !this.#closed; ) {
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

  /** Bytes to be read in one turn of the event loop. */
  protected abstract mostPerTurn(): number;
  /** At least the bytes that there are at this moment. */
  protected abstract mostToDrain(): number;
  /** So many bytes have been read; 0: there is no writer. */
  protected abstract onRead(count: number): void;
  /** It cannot be read. Nothing happens any more once it is closed. */
  protected abstract onFailed(error: Error): void;

  /** Goes on as long as there is as much as can be read at a time: to come back for it takes longer. */
  #readOn(most: number): void {
    for (let left = most; left > 0 && !this.#paused; ) {
      const size = Math.min(left, READ_SIZE);
      const count = this.#read(size);
      if (count < size) return;
      left -= count;
    }
  }

  #read(most: number): number {
    if (this.#closed) return 0;
    let count: number;
    try {
      count = this.events.read(this.name, this.fd, most);
    } catch (error) {
      this.onFailed(error as Error);
      return 0;
    }
    this.onRead(count);
    return count;
  }
}
