/** One end of the connection between two conmonds. */
import * as sys from "../../sys/mod.ts";
import { decodeHandOver, HAND_OVER_MAX, type HandOverMessage } from "./messages.ts";

/** What comes on such a connection. */
export interface HandOverEvents {
  /** Descriptors belong to the receiver. What it throws is told by `onLost`. */
  onMessage(message: HandOverMessage, descriptors: number[]): void;
  /** The other one has ended, or does not say what it should. */
  onLost(error?: Error): void;
}

/** Owns the socket. */
export class HandOverConnection {
  readonly #fd: number;
  readonly #events: HandOverEvents;
  readonly #readiness: sys.Readiness;
  readonly #buffer = Buffer.alloc(HAND_OVER_MAX);
  #closed = false;

  constructor(fd: number, events: HandOverEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#receive());
    this.#readiness.watch(sys.READABLE);
  }

  /** @throws a system error when the other one has gone */
  send(message: Buffer, descriptors: readonly number[] = []): void {
    if (sys.send(this.#fd, message, 0, message.length, descriptors) < 0) {
      throw new Error("the other conmond does not take any more messages");
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #receive(): void {
    if (this.#closed) return;
    try {
      const received = sys.receiveWithDescriptors(this.#fd, this.#buffer, 2);
      if (received === undefined) return;
      if (received.bytes === 0) {
        // The end; or an empty packet, which looks the same but for what may have come along.
        received.descriptors.forEach(sys.close);
        this.#lose();
      } else this.#events.onMessage(this.#decode(received), received.descriptors);
    } catch (error) {
      this.#lose(error as Error);
    }
  }

  #decode({ bytes, descriptors, truncated }: sys.ReceivedMessage): HandOverMessage {
    try {
      if (truncated) throw new Error("a message arrived cut");
      return decodeHandOver(this.#buffer.subarray(0, bytes));
    } catch (error) {
      for (const fd of descriptors) sys.close(fd);
      throw error;
    }
  }

  #lose(error?: Error): void {
    this.close();
    this.#events.onLost(error);
  }
}
