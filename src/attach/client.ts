import * as sys from "../sys/mod.ts";
import { Backlog, type BacklogSettings, type PackedBacklog } from "./backlog.ts";

/** The most bytes that a client may send in one packet. */
const MAX_INPUT_PACKET = 256 * 1024;

/** How many packets are sent or received before others have their turn. */
const PACKETS_PER_TURN = 32;

/** What may still lie unread in the socket of a client that is closed, at most, in packets. */
const MOST_UNREAD_PACKETS = 1024;

/**
 * One packet from any client at a time, so that idle sessions need no memory for it. Whoever
 * is given a view of it is done with it before the next packet is received.
 */
let received: Uint8Array | undefined;

/**
 * A connected attach client: sends it packets, as fast as it takes them, and receives what it sends.
 * It owns its descriptor and what the client has not taken yet.
 *
 * Its two directions end separately. Input ends when the client half-closes; output when the client
 * is gone. What a client sent before it left is still received, so it is over only when both
 * have ended. None of the methods calls back or throws because of what the client does; a client
 * that cannot be served any longer has a `fault`.
 */
export class AttachClient {
  readonly fd: number;
  readonly #readiness: sys.Readiness;
  readonly #backlogSettings: BacklogSettings;
  #backlog: Backlog | undefined;
  #inputOpen = true;
  #outputOpen = true;
  #endTaken = false;
  #watched = 0;
  #fault: Error | undefined;

  /**
   * Takes over a connected, non-blocking SEQPACKET socket. `onReady` is called with libuv's events
   * once `watch` has been called; it hands them to `onEvents`.
   *
   * @throws a system error when the descriptor cannot be polled; it then remains the caller's.
   */
  constructor(fd: number, backlog: BacklogSettings, onReady: (events: number) => void) {
    this.fd = fd;
    this.#backlogSettings = backlog;
    this.#readiness = new sys.Readiness(fd, onReady);
  }

  /** Whether the client may still send something. */
  get inputOpen(): boolean {
    return this.#inputOpen;
  }

  /** The bytes that the client has not taken yet, as far as they are still here. */
  get pending(): number {
    return this.#backlog?.size ?? 0;
  }

  /** Goes on with what another process had yet to send; to be called before anything is delivered. */
  resume(backlog: Backlog): void {
    this.#backlog = backlog;
  }

  /**
   * What the client has not taken yet, for another process; only to be released then. Undefined if that is nothing.
   *
   * @throws a system error
   */
  packBacklog(): PackedBacklog | undefined {
    return this.pending > 0 ? this.#backlog?.pack() : undefined;
  }

  /** Whether there is nothing more to get from the client or to give to it. */
  get isOver(): boolean {
    return !this.#inputOpen && !this.#outputOpen;
  }

  /** Why the client cannot be served any longer, if it is not just because it left. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /** Whether the input has ended since this was last asked. */
  takeInputEnd(): boolean {
    const ended = !this.#inputOpen && !this.#endTaken;
    this.#endTaken ||= ended;
    return ended;
  }

  /**
   * Sends the first `length` bytes of `packet`, or keeps a copy until the client can take it.
   *
   * @returns whether something changed, so that `isOver` and `watch` are to be looked after.
   */
  deliver(packet: Uint8Array, length: number): boolean {
    if (!this.#outputOpen) return false;
    if (this.pending === 0 && this.#send(packet, 0, length)) return false;
    // Sending has shown that the client is gone.
    if (!this.#outputOpen) return true;
    const first = this.pending === 0;
    this.#queue(packet, length);
    return first || !this.#outputOpen;
  }

  /**
   * Does what these events call for, except receiving.
   *
   * @returns whether there may be something to receive.
   */
  onEvents(events: number): boolean {
    // What is not being watched is told all the same when the connection has failed.
    const failed = (events & ~this.#watched) !== 0;
    if (failed || (events & sys.HANGUP) !== 0) this.#endOutput();
    if ((events & sys.WRITABLE) !== 0) this.#flush();
    return (events & this.#watched & sys.READABLE) !== 0;
  }

  /**
   * Hands packets to `onData`, which tells whether it wants the next one. A turn is limited; the
   * rest comes with the next event.
   */
  receive(onData: (data: Uint8Array) => boolean): void {
    received ??= new Uint8Array(MAX_INPUT_PACKET);
    for (let n = 0; n < PACKETS_PER_TURN && this.#inputOpen; n++) {
      const length = this.#receiveInto(received);
      if (length < 0) return;
      if (length === 0) this.#inputOpen = false;
      else if (length > received.length) this.#fail(tooLong(length));
      else if (!onData(received.subarray(0, length))) return;
    }
  }

  /** Sets what is watched for, by what is open and whether input is wanted just now. */
  watch(inputWanted: boolean): void {
    let events = 0;
    if (this.#inputOpen && inputWanted) events |= sys.READABLE;
    if (this.#outputOpen) events |= sys.HANGUP;
    if (this.#outputOpen && this.pending > 0) events |= sys.WRITABLE;
    this.#readiness.watch(events);
    this.#watched = events;
  }

  /** Ends the connection; the client reads what has been sent to it, then the end. */
  close(): void {
    this.#endOutput();
    this.#inputOpen = false;
    this.#readiness.close();
    this.#hangUp();
    sys.close(this.fd);
  }

  /** Closes the descriptor and nothing else: where there is a copy of it, the connection lasts. */
  release(): void {
    this.#endOutput();
    this.#inputOpen = false;
    this.#readiness.close();
    sys.close(this.fd);
  }

  /** Whether it has been sent; if not, it would block or the client is gone. */
  #send(bytes: Uint8Array, offset: number, length: number): boolean {
    try {
      return sys.send(this.fd, bytes, offset, length) >= 0;
    } catch (error) {
      if (isGone(error)) this.#endOutput();
      else this.#fail(error);
      return false;
    }
  }

  #queue(packet: Uint8Array, length: number): void {
    try {
      this.#backlog ??= new Backlog(this.#backlogSettings);
      this.#backlog.push(packet, length);
    } catch (cause) {
      const message = `it has ${this.pending} bytes yet to read and no more can be kept for it`;
      this.#fail(new Error(`${message}: ${(cause as Error).message}`, { cause }));
    }
  }

  #flush(): void {
    try {
      for (let n = 0; n < PACKETS_PER_TURN && this.#outputOpen; n++) {
        const packet = this.#backlog?.front();
        if (packet === undefined) return;
        if (!this.#send(packet.bytes, packet.offset, packet.length)) return;
        this.#backlog?.shift();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** As sys.receive, with the end in place of a connection that is broken. */
  #receiveInto(buffer: Uint8Array): number {
    try {
      return sys.receive(this.fd, buffer);
    } catch (error) {
      if (sys.isSystemError(error, "ECONNRESET")) return this.#receiveAfterReset(buffer);
      if (isGone(error)) return 0;
      this.#fail(error);
      return -1;
    }
  }

  /**
   * The client left without reading everything. The kernel tells so once, before it gives out what
   * the client sent.
   */
  #receiveAfterReset(buffer: Uint8Array): number {
    this.#endOutput();
    try {
      return sys.receive(this.fd, buffer);
    } catch (error) {
      if (isGone(error)) return 0;
      this.#fail(error);
      return -1;
    }
  }

  #endOutput(): void {
    this.#outputOpen = false;
    this.#backlog?.close();
    this.#backlog = undefined;
  }

  #fail(cause: unknown): void {
    this.#fault ??= cause instanceof Error ? cause : new Error(String(cause));
    this.#endOutput();
    this.#inputOpen = false;
  }

  /**
   * Shuts the connection down and empties it. A socket that is closed with something unread in it
   * would take from the client what it has not read yet.
   */
  #hangUp(): void {
    received ??= new Uint8Array(MAX_INPUT_PACKET);
    try {
      sys.shutdownBoth(this.fd);
      for (let n = 0; n < MOST_UNREAD_PACKETS; n++) if (sys.receive(this.fd, received) <= 0) return;
    } catch {
      // No connection any more: there is nothing left that could be read or be lost.
    }
  }
}

function isGone(error: unknown): boolean {
  return ["EPIPE", "ECONNRESET", "ENOTCONN"].some((code) => sys.isSystemError(error, code));
}

function tooLong(length: number): Error {
  return new Error(`it sent a packet of ${length} bytes, more than ${MAX_INPUT_PACKET}`);
}
