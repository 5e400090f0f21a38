import { failure } from "../faults/failure.ts";
import { FaultLimit } from "../faults/fault-limit.ts";
import * as sys from "../sys/mod.ts";
import { linesForHost } from "./notify-filter.ts";
import { NotifyHost } from "./notify-host.ts";
import { notifySocketPath, openNotifySocket, removeNotifySocket } from "./notify-socket.ts";

/** The longest message from a container in bytes: sixteen times what systemd takes. */
export const MAX_NOTIFY_MESSAGE = 65536;

/** How many messages are taken before others have their turn. */
const MESSAGES_PER_TURN = 16;

/** How many messages are looked for at the end: more than can be waiting on most hosts. */
const MOST_WAITING = 512;

/** What a {@link NotifyProxy} stands between, and whom it tells of faults. */
export interface NotifyProxyOptions {
  /** An absolute path; the socket is in its directory `notify`. */
  readonly bundle: string;
  /** The host's socket: an absolute path, or an abstract name that begins with "@". */
  readonly host: string;
  /** A message could not be passed on; the first of a kind at once, more of it counted. */
  onFault(error: Error): void;
}

/** One message at a time is under way, in all of the process. */
const message = new Uint8Array(MAX_NOTIFY_MESSAGE);

/**
 * Passes on a container's sd-notify messages to the host, those lines of them that a container may
 * say. While the host's socket is full no more are taken, so that they wait in the kernel, and
 * then with the container; while it is away they are lost.
 *
 * Descriptors that come along are never received, so the kernel closes them.
 */
export class NotifyProxy {
  readonly #options: NotifyProxyOptions;
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #host: NotifyHost;
  readonly #faults: FaultLimit;
  #closed = false;

  private constructor(fd: number, options: NotifyProxyOptions) {
    this.#options = options;
    this.#fd = fd;
    this.#faults = new FaultLimit((error) => options.onFault(error));
    this.#readiness = new sys.Readiness(fd, () => this.#take(MESSAGES_PER_TURN));
    try {
      this.#host = new NotifyHost(options.host, {
        onRoom: () => {
          if (!this.#closed) this.#readiness.watch(sys.READABLE);
        },
        onFault: (error) => this.#faults.add("sd-notify message not passed on", error),
      });
      this.#readiness.watch(sys.READABLE);
    } catch (error) {
      this.#readiness.close();
      throw error;
    }
  }

  /**
   * Makes the socket in place of an old one.
   *
   * @throws Error that names the socket and the reason
   */
  static open(options: NotifyProxyOptions): NotifyProxy {
    if (options.host === notifySocketPath(options.bundle)) {
      throw new Error(`The sd-notify socket ${options.host} would pass messages on to itself`);
    }
    const fd = openNotifySocket(options.bundle);
    try {
      return new NotifyProxy(fd, options);
    } catch (error) {
      sys.close(fd);
      throw error;
    }
  }

  /**
   * Goes on with a socket that another process opened; messages that came meanwhile are in it.
   *
   * @throws a system error when it cannot be polled; it then remains the caller's
   */
  static adopt(fd: number, options: NotifyProxyOptions): NotifyProxy {
    return new NotifyProxy(fd, options);
  }

  /** The socket; it stays this object's own. */
  get fd(): number {
    return this.#fd;
  }

  /** The container has ended: passes on what it has sent, as far as there is room, and ends the service. */
  finish(): void {
    if (this.#closed) return;
    this.#take(MOST_WAITING);
    this.close();
    try {
      removeNotifySocket(this.#options.bundle);
    } catch (error) {
      this.#options.onFault(error as Error);
    }
  }

  /** Closes the descriptors and leaves the socket to whoever has a copy. Again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.close();
    this.#faults.close();
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #take(most: number): void {
    for (let n = 0; n < most && !this.#host.isFull; n++) {
      const length = this.#receive();
      if (length < 0) return;
      this.#passOn(length);
    }
    if (this.#host.isFull) this.#readiness.watch(0);
  }

  #passOn(length: number): void {
    if (length > message.length) {
      const limit = `longer than ${message.length} bytes`;
      this.#faults.add(
        "sd-notify message too long",
        new Error(`Lost an sd-notify message of ${length} bytes: it is ${limit}`),
      );
      return;
    }
    const lines = linesForHost(message.subarray(0, length));
    if (lines !== undefined) this.#host.send(lines);
  }

  /** The length of the next message, which may be 0; negative: there is none. */
  #receive(): number {
    try {
      return sys.receive(this.#fd, message);
    } catch (cause) {
      this.#readiness.watch(0);
      const what = "Failed to receive sd-notify messages, which are ignored from now on";
      this.#faults.add("sd-notify socket failed", failure(what, cause));
      return -1;
    }
  }
}
