/** Reading what the container writes: one stream, one pipe. */
import type { StreamName } from "../logging/sink.ts";
import * as sys from "../sys/mod.ts";

/** Bytes taken per read; as much as a pipe holds unless it is enlarged. */
export const READ_SIZE = 65536;

/**
 * One buffer serves all sessions: what is read is logged and sent on before anything
 * else is read.
 */
const shared = Buffer.allocUnsafeSlow(READ_SIZE);

export interface OutputEvents {
  /** `data` is only valid during the call. */
  onData(stream: StreamName, data: Uint8Array): void;
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

/**
 * Reads once into the shared buffer and hands the data on.
 *
 * @returns the bytes read; 0 at the end; -1 when there is nothing just now
 * @throws a system error
 */
export function readOnce(fd: number, most: number, onData: (data: Uint8Array) => void): number {
  const count = sys.read(fd, shared, 0, Math.min(most, READ_SIZE));
  if (count > 0) onData(shared.subarray(0, count));
  return count;
}

/** Owns our end of one of the container's output pipes. */
export class OutputStream implements Output {
  readonly name: StreamName;
  readonly fd: number;
  readonly #events: OutputEvents;
  readonly #readiness: sys.Readiness;
  #closed = false;

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

  /** One read per turn: sessions that write much take turns with all others. */
  #read(most = READ_SIZE): number {
    if (this.#closed) return 0;
    let count: number;
    try {
      count = readOnce(this.fd, most, (data) => this.#events.onData(this.name, data));
    } catch (error) {
      this.close();
      this.#events.onEnd(this.name, error as Error);
      return 0;
    }
    if (count === 0) {
      this.close();
      this.#events.onEnd(this.name);
    }
    return count;
  }
}
