import * as sys from "../sys/mod.ts";

/** What the kernel says when there is no descriptor or memory left for a connection. */
const EXHAUSTED = ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"];

/** How long until the next try when there was none left. */
const RETRY_MILLISECONDS = 1000;

/** How many connections are accepted before others have their turn. */
const CONNECTIONS_PER_TURN = 64;

/** How many waiting connections are turned away at the end: more than can be waiting. */
const MOST_WAITING = 1024;

/** For whom a {@link Listener} listens, and whom it tells. */
export interface ListenerEvents {
  /** Who connects, for messages: "attach client", "shim". */
  readonly client: string;
  /** Takes over a connected descriptor. */
  onConnection(fd: number): void;
  /** `kind` is one of a few fixed names. */
  onFault(kind: string, error: Error): void;
  /**
   * There is no descriptor left: may make one free, accept one who waits, and turn him away. By default they wait.
   *
   * @returns whether somebody was accepted
   */
  onExhausted?(accept: () => number | undefined): boolean;
}

/**
 * Accepts connections on a listening socket, which it owns. When descriptors run out, it stops and
 * tries again a second later, or earlier when told to; a connection that waits meanwhile costs nothing.
 */
export class Listener {
  readonly fd: number;
  readonly #events: ListenerEvents;
  readonly #readiness: sys.Readiness;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  /** @throws a system error when the descriptor cannot be polled; it then remains the caller's. */
  constructor(fd: number, events: ListenerEvents) {
    this.fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#acceptSome());
    this.#readiness.watch(sys.READABLE);
  }

  /** A descriptor has become free: if that was what was missing, goes on. */
  retry(): void {
    if (this.#timer === undefined || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#readiness.watch(sys.READABLE);
  }

  /** Accepts nobody until `resume()`; who connects waits. */
  pause(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#closed) this.#readiness.watch(0);
  }

  /** Goes on after a `pause()`. */
  resume(): void {
    if (!this.#closed) this.#readiness.watch(sys.READABLE);
  }

  /** Accepts those that are waiting now, without waiting for the event loop to tell of them. */
  acceptWaiting(): void {
    if (this.#timer === undefined) this.#acceptSome();
  }

  /** Closes the socket, after connections that have not been accepted yet have been closed properly. */
  turnAway(): void {
    if (this.#closed) return;
    try {
      for (let n = 0; n < MOST_WAITING; n++) {
        const fd = sys.accept(this.fd);
        if (fd === undefined) break;
        sys.close(fd);
      }
    } catch {
      // They see a broken connection in place of its end. Nothing else can be done for them.
    }
    this.close();
  }

  /** Closes the socket. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#readiness.close();
    sys.close(this.fd);
  }

  #acceptSome(): void {
    for (let n = 0; n < CONNECTIONS_PER_TURN && !this.#closed; n++) {
      const fd = this.#accept();
      if (fd === undefined) return;
      if (fd !== "turned-away") this.#events.onConnection(fd);
    }
  }

  #accept(): number | "turned-away" | undefined {
    try {
      return sys.accept(this.fd);
    } catch (cause) {
      // Whoever connected has left again; if there is another one, the next event tells.
      if (sys.isSystemError(cause, "ECONNABORTED")) return undefined;
      const exhausted = EXHAUSTED.some((code) => sys.isSystemError(cause, code));
      if (exhausted && this.#events.onExhausted !== undefined) return this.#turnOneAway();
      this.#stop(cause as Error, exhausted);
      return undefined;
    }
  }

  /** The kernel says that there is no descriptor even when nobody waits for one. */
  #turnOneAway(): "turned-away" | undefined {
    try {
      if (this.#events.onExhausted?.(() => sys.accept(this.fd)) === true) return "turned-away";
      return undefined;
    } catch (cause) {
      this.#stop(cause as Error, true);
      return undefined;
    }
  }

  #stop(cause: Error, exhausted: boolean): void {
    this.#readiness.watch(0);
    const { client } = this.#events;
    const outlook = exhausted ? "trying again" : `no ${client} can connect any more`;
    const error = new Error(
      `Failed to accept a connection (${client}): ${cause.message}; ${outlook}`,
      {
        cause,
      },
    );
    this.#events.onFault(`${client} not accepted`, error);
    if (!exhausted) return;
    this.#timer = setTimeout(() => this.retry(), RETRY_MILLISECONDS);
  }
}
