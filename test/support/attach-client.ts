import { readPacket } from "../../src/attach/mod.ts";
import * as sys from "../../src/sys/mod.ts";
import type { Scratch } from "./scratch.ts";
import { inTime } from "./waiting.ts";

/** The longest packet that callers have room for, in bytes. */
const PACKET_MAX = 8193;

/** How much is sent in one packet, in bytes. */
const SEND_SIZE = 30_000;

/** A client at an attach socket, as podman is one. */
export class AttachClient {
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #packet = Buffer.alloc(PACKET_MAX);
  readonly #got: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  readonly #toSend: Uint8Array[] = [];
  #halfClose = false;
  #isPaused = false;
  #wake: () => void = () => {};
  #ended = false;
  #closed = false;
  #fault: unknown;

  /** Connects to a socket at once. It is closed at the end of the test. */
  constructor(scratch: Scratch, path: string) {
    this.#fd = sys.unixSocket("seqpacket");
    sys.connectUnix(this.#fd, path);
    this.#readiness = new sys.Readiness(this.#fd, (events) => this.#onReady(events));
    this.#watch();
    scratch.atEnd(() => this.close());
  }

  /** What has come so far. */
  output(stream: "stdout" | "stderr" = "stdout"): Buffer {
    return Buffer.concat(this.#got[stream]);
  }

  /** Reads no more for now. */
  pause(): void {
    this.#isPaused = true;
    this.#watch();
  }

  resume(): void {
    this.#isPaused = false;
    this.#watch();
  }

  /** Sends input, as fast as it is taken. */
  send(data: Uint8Array | string): void {
    const bytes = Buffer.from(data);
    for (let at = 0; at < bytes.length; at += SEND_SIZE) {
      this.#toSend.push(bytes.subarray(at, at + SEND_SIZE));
    }
    this.#watch();
  }

  /** Half-closes when all has been sent. */
  end(): void {
    this.#halfClose = true;
    this.#sendSome();
    this.#watch();
  }

  /** Resolves when stdout so far is acceptable. */
  async until(accept: (text: string) => boolean): Promise<void> {
    const got = () => this.output().toString("latin1");
    const what = () => `the right output; so far: ${JSON.stringify(got().slice(-500))}`;
    await this.#wait(() => accept(got()), what);
  }

  /** Resolves when the monitor has closed the connection. */
  async ended(): Promise<void> {
    await this.#wait(() => this.#ended, "the end of what the client reads");
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.#fd);
  }

  async #wait(done: () => boolean, what: string | (() => string)): Promise<void> {
    while (!done()) {
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#ended) throw new Error(`the connection ended without ${what}`);
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await inTime(news, what);
    }
  }

  #watch(): void {
    if (this.#ended || this.#closed) return;
    const sending = this.#toSend.length > 0 ? sys.WRITABLE : 0;
    this.#readiness.watch((this.#isPaused ? 0 : sys.READABLE) | sending);
  }

  #onReady(events: number): void {
    try {
      if ((events & sys.READABLE) !== 0) this.#receive();
      if ((events & sys.WRITABLE) !== 0) this.#sendSome();
      this.#watch();
    } catch (error) {
      this.#fault = error;
      this.#readiness.watch(0);
    }
    this.#wake();
  }

  #receive(): void {
    const count = sys.receive(this.#fd, this.#packet);
    if (count < 0) return;
    if (count === 0) {
      this.#ended = true;
      this.#readiness.watch(0);
      return;
    }
    const { stream, data } = readPacket(this.#packet.subarray(0, count));
    this.#got[stream].push(Buffer.from(data));
  }

  #sendSome(): void {
    for (let next = this.#toSend[0]; next !== undefined; next = this.#toSend[0]) {
      if (sys.send(this.#fd, next) < 0) return;
      this.#toSend.shift();
    }
    if (this.#halfClose) sys.shutdownWrite(this.#fd);
    this.#halfClose = false;
  }
}
