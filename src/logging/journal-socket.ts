import { Buffer } from "node:buffer";
import * as sys from "../sys/mod.ts";

/** Where journald listens. */
export const JOURNAL_SOCKET = "/run/systemd/journal/socket";

const NOTHING = Buffer.alloc(0);

/**
 * What became of an entry: journald has it, or its queue is full and it can be tried again when there
 * is room, or it failed for a reason that {@link JournalSocket.failure} tells.
 */
export type Delivery = "sent" | "full" | "failed";

interface Connection {
  readonly fd: number;
  readonly readiness: sys.Readiness;
}

/** One for all: an error keeps the functions under way where it was made, and all that these can see. */
const NONE_YET = new Error("No failure yet");

/**
 * Our end of the socket to journald. It connects when there is something to send and again when
 * journald has been replaced, never waits and never throws.
 */
export class JournalSocket {
  /** The newest failure of a `send()`. */
  failure = NONE_YET;
  readonly #path: string;
  readonly #onRoom: () => void;
  #connection: Connection | undefined;

  /** @param onRoom Called while `watchForRoom()` is in force and journald can take more. */
  constructor(path: string, onRoom: () => void) {
    this.#path = path;
    this.#onRoom = onRoom;
  }

  /** Whether it is connected, as far as is known. */
  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** Sends the first `length` bytes as one entry. */
  send(bytes: Uint8Array, length: number): Delivery {
    if (this.#connection !== undefined) {
      const delivery = this.#try(this.#connection.fd, bytes, length);
      // The journald that it was connected to may be gone, and another one there.
      if (this.isConnected) return delivery;
    }
    this.#connection = this.#connect();
    return this.#connection ? this.#try(this.#connection.fd, bytes, length) : "failed";
  }

  /** From now on tells when there is room in journald's queue, or the connection has broken. */
  watchForRoom(): void {
    this.#connection?.readiness.watch(sys.WRITABLE);
  }

  stopWatching(): void {
    this.#connection?.readiness.watch(0);
  }

  /** Hangs up. Idempotent. */
  close(): void {
    if (this.#connection === undefined) return;
    this.#connection.readiness.close();
    sys.close(this.#connection.fd);
    this.#connection = undefined;
  }

  #connect(): Connection | undefined {
    let fd: number | undefined;
    try {
      fd = sys.unixSocket("dgram");
      sys.connectUnix(fd, this.#path);
      return { fd, readiness: new sys.Readiness(fd, this.#onRoom) };
    } catch (error) {
      if (fd !== undefined) sys.close(fd);
      this.failure = error as Error;
      return undefined;
    }
  }

  /** Where the connection is of no use any more, it is closed. */
  #try(fd: number, bytes: Uint8Array, length: number): Delivery {
    try {
      return sys.send(fd, bytes, 0, length) < 0 ? "full" : "sent";
    } catch (error) {
      if (sys.isSystemError(error, "EMSGSIZE")) return this.#tryAsFile(fd, bytes, length);
      this.failure = error as Error;
      this.close();
      return "failed";
    }
  }

  /** What is too large for a datagram goes as a file, which journald takes only if it is sealed. */
  #tryAsFile(fd: number, bytes: Uint8Array, length: number): Delivery {
    let file: number | undefined;
    try {
      file = sys.memoryFile("journal-entry");
      for (let at = 0; at < length; ) at += sys.write(file, bytes, at, length - at);
      sys.sealMemoryFile(file);
      return sys.send(fd, NOTHING, 0, 0, [file]) < 0 ? "full" : "sent";
    } catch (error) {
      this.failure = error as Error;
      return "failed";
    } finally {
      if (file !== undefined) sys.close(file);
    }
  }
}
