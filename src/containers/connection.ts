/** A client of a container's attach socket. */
import { attachSocketPath } from "../attach/attach-socket.ts";
import { MAX_PACKET_SIZE, type OutputStream, readPacket } from "../attach/packet.ts";
import { withShortPath } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";
import { ContainerError, reasonOf } from "./errors.ts";

/** The most bytes of input in one packet. */
const INPUT_PACKET = 32 * 1024;
/** How many packets are taken before others have their turn. */
const PACKETS_PER_TURN = 64;

/** A piece of a container's output. */
export interface OutputChunk {
  readonly stream: OutputStream;
  readonly data: Buffer;
}

/** What {@link Connection.open} can be told. */
export interface ConnectionOptions {
  /** Called when it is closed before the container's end. */
  readonly onDetach?: () => void;
  /** Closes it. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A connection to a container: its output from now on, and its standard input. What is not read waits in the
 * monitor, which neither delays the container nor anybody else. At the container's end it closes itself.
 */
export class Connection implements AsyncIterable<OutputChunk> {
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #packet = new Uint8Array(MAX_PACKET_SIZE);
  readonly #received: OutputChunk[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  #closed = false;
  #fault: Error | undefined;
  #input: Uint8Array = new Uint8Array(0);
  #onWritten: (() => void) | undefined;
  /** All that was to be written so far has been taken. */
  #written: Promise<void> = Promise.resolve();
  readonly #options: ConnectionOptions;
  readonly #onAbort = (): void => this.close();

  private constructor(fd: number, options: ConnectionOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#readiness = new sys.Readiness(fd, () => this.#onReady());
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#watch();
  }

  /**
   * Connects to the socket `attach` in a bundle.
   *
   * @throws ContainerError if nobody listens there; the signal's reason if it was aborted before
   */
  static open(bundle: string, options: ConnectionOptions = {}): Connection {
    options.signal?.throwIfAborted();
    const fd = sys.unixSocket("seqpacket");
    try {
      withShortPath(attachSocketPath(bundle), (short) => sys.connectUnix(fd, short));
      return new Connection(fd, options);
    } catch (cause) {
      sys.close(fd);
      throw new ContainerError("failed", `cannot attach to ${bundle}: ${reasonOf(cause)}`, {
        cause,
      });
    }
  }

  /**
   * Output as it comes, until the container's end or `close()`. For one loop at a time; to leave it does not
   * detach, and another loop goes on from there.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    for (;;) {
      const chunk = this.#received.shift();
      if (chunk !== undefined) {
        yield chunk;
        continue;
      }
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#ended || this.#closed) return;
      this.#watch();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /**
   * Sends input, after what was sent before. Whoever awaits it writes no faster than the container reads.
   *
   * @param data text becomes UTF-8; bytes must stay as they are until it has resolved
   * @returns resolves when it has been taken, or when nobody takes it any more
   */
  write(data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    this.#written = this.#written.then(() => this.#write(bytes));
    return this.#written;
  }

  /** There is no more input after what was sent; output goes on. Resolves when that is so. */
  endInput(): Promise<void> {
    this.#written = this.#written.then(() => {
      if (!this.#ended && !this.#closed) sys.shutdownWrite(this.#fd);
    });
    return this.#written;
  }

  /** Detaches. The container goes on. */
  close(): void {
    if (this.#closed) return;
    this.#release();
    this.#inputTaken();
    this.#wake?.();
    if (!this.#ended) this.#options.onDetach?.();
  }

  /** Lets go of the descriptor; what was received stays. */
  #release(): void {
    this.#closed = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    this.#readiness.close();
    sys.close(this.#fd);
  }

  async #write(data: Uint8Array): Promise<void> {
    if (this.#ended || this.#closed || data.length === 0) return;
    this.#input = data;
    await new Promise<void>((resolve) => {
      this.#onWritten = resolve;
      this.#send();
    });
  }

  #onReady(): void {
    this.#receive();
    if (!this.#closed && this.#onWritten !== undefined) this.#send();
    if (!this.#closed) this.#watch();
    this.#wake?.();
  }

  /** Of output that nobody takes no more than a turn's worth is here. */
  #watch(): void {
    const reads = !this.#ended && this.#received.length === 0;
    const writes = !this.#ended && this.#onWritten !== undefined;
    this.#readiness.watch((reads ? sys.READABLE : 0) + (writes ? sys.WRITABLE : 0));
  }

  #receive(): void {
    if (this.#received.length > 0) return;
    try {
      for (let turn = 0; turn < PACKETS_PER_TURN && !this.#ended; turn++) {
        const length = sys.receive(this.#fd, this.#packet);
        if (length < 0) return;
        if (length === 0) this.#end();
        else this.#keep(this.#packet.subarray(0, length));
      }
    } catch (error) {
      // A monitor that ends while input is under way resets the connection: an end like others.
      if (!sys.isSystemError(error, "ECONNRESET")) this.#fault = error as Error;
      this.#end();
    }
  }

  #keep(packet: Uint8Array): void {
    const { stream, data } = readPacket(packet);
    this.#received.push({ stream, data: Buffer.from(data) });
  }

  #send(): void {
    try {
      while (this.#input.length > 0) {
        const length = Math.min(this.#input.length, INPUT_PACKET);
        const sent = sys.send(this.#fd, this.#input, 0, length);
        if (sent < 0) {
          this.#watch();
          return;
        }
        this.#input = this.#input.subarray(sent);
      }
    } catch (error) {
      // Who reads no more has ended, or is about to; the end of the output tells.
      const gone = sys.isSystemError(error, "EPIPE") || sys.isSystemError(error, "ECONNRESET");
      if (!gone) this.#fault = error as Error;
    }
    this.#inputTaken();
  }

  #inputTaken(): void {
    const done = this.#onWritten;
    this.#onWritten = undefined;
    this.#input = new Uint8Array(0);
    done?.();
  }

  #end(): void {
    this.#ended = true;
    this.#inputTaken();
    if (!this.#closed) this.#release();
  }
}
