import { addon } from "./addon.ts";

/** There is something to read, or the end, or an error. */
export const READABLE = 1;
/** There is room to write, or an error. */
export const WRITABLE = 2;
/** The other end of a socket has closed or ended its sending direction; of a pipe: has closed. */
export const DISCONNECT = 4;
/**
 * Both directions of a connection have ended; unlike DISCONNECT not told when only one has. It is
 * libuv's UV_PRIORITIZED: epoll tells a hang-up whatever is watched, and libuv passes it on to those
 * who watch for something. (Urgent data is told as this as well; unix SEQPACKET sockets have none.)
 */
export const HANGUP = 8;

/**
 * Tells when a descriptor is ready, from libuv's event loop. It works for what can be polled:
 * sockets, pipes, fifos, terminals, eventfds, pidfds; not for regular files (EPERM).
 *
 * Events are level-triggered: `onReady` is called again as long as what it told of lasts. What it
 * throws is an uncaught exception of the process. Errors of the descriptor itself, such as a pipe
 * that nobody reads any more, are told as READABLE and WRITABLE (and DISCONNECT, if that is
 * watched), so that the next call on it shows the error.
 *
 * An open Readiness lives until it is closed, even if nobody holds it any more.
 */
export interface Readiness {
  /**
   * Watches for these events (READABLE, WRITABLE, DISCONNECT and HANGUP added up) from now on, instead of
   * those before; 0 stops watching, and then the event loop does not wait for it either.
   *
   * @throws EEXIST when another Readiness is watching the same descriptor; EBADF when the descriptor
   * is closed; an Error when this Readiness is.
   */
  watch(events: number): void;

  /**
   * Ends it for good: `onReady` is not called any more. The descriptor stays open, and may be
   * closed only after this. Again does nothing.
   */
  close(): void;

  /** The event loop goes on while it watches (as it does from the start). */
  ref(): void;

  /** The event loop may end although it watches. */
  unref(): void;
}

/** The class as the addon has it. */
export interface ReadinessClass {
  /**
   * Makes a Readiness of a descriptor, which is put into non-blocking mode. Nothing is watched until
   * `watch` is called.
   *
   * @throws EPERM for what cannot be polled, EBADF for what is not open, EEXIST as `watch` does.
   */
  Readiness: new (
    fd: number,
    onReady: (events: number) => void,
  ) => Readiness;
}

export const { Readiness }: ReadinessClass = addon;
