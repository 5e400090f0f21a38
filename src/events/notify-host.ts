import { failure } from "../faults/failure.ts";
import { withShortPath } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";

/**
 * The host's sd-notify socket. It may go, come back, or be full at any time. One message at a time is
 * on its way there: whoever has more to send waits until `onRoom`.
 */
export class NotifyHost {
  readonly #path: string;
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #onRoom: () => void;
  readonly #onFault: (error: Error) => void;
  #waiting: Uint8Array | undefined;

  /**
   * @param path an absolute path, or an abstract name that begins with "@"
   * @param events `onRoom`: the message that was in the way has been sent, or given up
   */
  constructor(path: string, events: { onRoom(): void; onFault(error: Error): void }) {
    this.#path = path;
    this.#onRoom = events.onRoom;
    this.#onFault = events.onFault;
    this.#fd = sys.unixSocket("dgram");
    this.#readiness = new sys.Readiness(this.#fd, () => this.#retry());
  }

  /** There is a message that the host had no room for yet. */
  get isFull(): boolean {
    return this.#waiting !== undefined;
  }

  /** Sends a message, now or when there is room; not to be called while `isFull`. */
  send(message: Uint8Array): void {
    if (this.#trySend(message)) return;
    this.#waiting = message;
    // The kernel tells of room at the socket that ours is connected to.
    this.#readiness.watch(sys.WRITABLE);
  }

  /** A message that waits is given up. */
  close(): void {
    if (this.isFull) {
      this.#onFault(new Error(`Lost an sd-notify message: ${this.#path} took none until the end`));
    }
    this.#waiting = undefined;
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #retry(): void {
    if (this.#waiting !== undefined && !this.#trySend(this.#waiting)) return;
    this.#waiting = undefined;
    this.#readiness.watch(0);
    this.#onRoom();
  }

  /** False: there is no room. A message that cannot be sent at all is reported, and done with. */
  #trySend(message: Uint8Array): boolean {
    try {
      // Each time anew: it may be another socket by now.
      withShortPath(this.#path, (short) => sys.connectUnix(this.#fd, short));
      return sys.send(this.#fd, message) >= 0;
    } catch (cause) {
      this.#onFault(failure(`Failed to pass an sd-notify message on to ${this.#path}`, cause));
      return true;
    }
  }
}
