/** The socket on which the runtime hands over the container's terminal. */
import { fchmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import * as sys from "../sys/mod.ts";

const SOCKET_MODE = 0o700;

/** More descriptors than any runtime sends; all but the first are closed. */
const DESCRIPTORS_MAX = 16;

const buffer = Buffer.alloc(4096);

/** Names are random: one that is taken already is bad luck, several are something else. */
const NAMES_TRIED = 8;

export interface ConsoleSocketEvents {
  /** The runtime has connected: the connection takes the place of the listening socket. */
  onConnected(connection: number): void;
  /** The terminal's master, which belongs to the receiver. Told once; the socket is closed after that. */
  onTerminal(master: number): void;
  /** No terminal will come any more. */
  onFault(error: Error): void;
}

/** What another process had opened. */
export interface ConsoleDescriptors {
  listener: number | undefined;
  connection: number | undefined;
}

/**
 * A listening stream socket that takes one connection and from it one descriptor. Its name goes away
 * with the first connection, so that nobody else can send a terminal.
 */
export class ConsoleSocket {
  readonly path: string;
  readonly #events: ConsoleSocketEvents;
  #listener: Watched | undefined;
  #connection: Watched | undefined;

  private constructor(path: string, descriptors: ConsoleDescriptors, events: ConsoleSocketEvents) {
    this.path = path;
    this.#events = events;
    const { listener, connection } = descriptors;
    if (connection !== undefined) this.#connection = watch(connection, () => this.receive());
    else if (listener !== undefined) this.#listener = watch(listener, () => this.receive());
    if (connection !== undefined && listener !== undefined) sys.close(listener);
  }

  /**
   * Listens at a fresh name in `directory`.
   *
   * @param onName told each name before it is tried
   * @throws Error that names the socket and the reason
   */
  static open(
    directory: string,
    onName: (path: string) => void,
    events: ConsoleSocketEvents,
  ): ConsoleSocket {
    for (let left = NAMES_TRIED; ; left--) {
      const path = join(directory, `conmon-term.${sys.randomName(4)}`);
      onName(path);
      const listener = sys.unixSocket("stream");
      try {
        // The mode goes with the socket into the file system, so that nobody can be too quick for it.
        fchmodSync(listener, SOCKET_MODE);
        sys.bindUnix(listener, path);
        sys.listen(listener, 1);
        return new ConsoleSocket(path, { listener, connection: undefined }, events);
      } catch (cause) {
        sys.close(listener);
        if (left > 1 && sys.isSystemError(cause, "EADDRINUSE")) continue;
        const reason = (cause as Error).message;
        throw new Error(`Failed to make the console socket ${path}: ${reason}`, { cause });
      }
    }
  }

  /** Goes on with what another process opened; `path` is where it listened. */
  static adopt(
    path: string,
    descriptors: ConsoleDescriptors,
    events: ConsoleSocketEvents,
  ): ConsoleSocket {
    return new ConsoleSocket(path, descriptors, events);
  }

  /** The listening socket, or -1 when there is none any more. It stays this object's own. */
  get listenerFd(): number {
    return this.#listener?.fd ?? -1;
  }

  /**
   * Takes what has arrived. To be called as well once the runtime has ended, whose message may be
   * here before the event loop tells of it.
   */
  receive(): void {
    try {
      if (this.#connection === undefined) this.#accept();
      if (this.#connection !== undefined) this.#takeTerminal(this.#connection.fd);
    } catch (cause) {
      this.close();
      const reason = (cause as Error).message;
      this.#events.onFault(new Error(`Failed to receive the terminal: ${reason}`, { cause }));
    }
  }

  /** Removes the socket's name and closes what is open. Again does nothing. */
  close(): void {
    rmSync(this.path, { force: true });
    this.release();
  }

  /** Closes the descriptors and leaves the name to whoever has copies of them. */
  release(): void {
    this.#listener?.close();
    this.#connection?.close();
    this.#listener = undefined;
    this.#connection = undefined;
  }

  #accept(): void {
    if (this.#listener === undefined) return;
    const fd = sys.accept(this.#listener.fd);
    if (fd === undefined) return;
    this.#connection = watch(fd, () => this.receive());
    this.#listener.close();
    this.#listener = undefined;
    this.#events.onConnected(fd);
    rmSync(this.path, { force: true });
  }

  /**
   * The message stays where it is until the receiver has what it carries: a process that is killed in
   * between would take the only copy of the terminal along.
   */
  #takeTerminal(fd: number): void {
    const message = sys.peekWithDescriptors(fd, buffer, DESCRIPTORS_MAX);
    if (message === undefined) return;
    const [master, ...rest] = message.descriptors;
    rest.forEach(sys.close);
    if (master === undefined && message.bytes > 0) {
      sys.receive(fd, buffer);
      return;
    }
    if (master !== undefined) this.#events.onTerminal(master);
    this.close();
    if (master === undefined) {
      this.#events.onFault(new Error("The runtime hung up without sending a terminal"));
    }
  }
}

/** A descriptor and the watch on it, which end together. */
interface Watched {
  readonly fd: number;
  close(): void;
}

function watch(fd: number, onReadable: () => void): Watched {
  const readiness = new sys.Readiness(fd, onReadable);
  readiness.watch(sys.READABLE);
  return {
    fd,
    close() {
      readiness.close();
      sys.close(fd);
    },
  };
}
