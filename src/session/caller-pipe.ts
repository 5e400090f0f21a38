/** The pipes on which the caller waits: `_OCI_SYNCPIPE`, `_OCI_ATTACHPIPE`. */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";

/** How long a caller that does not read may keep a message from being written, in milliseconds. */
const PATIENCE_MS = 5000;

/** What a caller is told once, whichever conmond comes to tell it; the number is the shim's. */
export const REPORT = { attachable: 0, start: 1, exit: 2 } as const;

const { EAGAIN, ECONNRESET, EPIPE } = constants.errno;

/**
 * One such pipe, which may be a SEQPACKET socket as well. It is the shim that writes: so a message is
 * written once even if we are killed before we know. Our own copy is to find out when there is room.
 */
export class CallerPipe {
  readonly #fd: number;
  readonly #slot: number;
  readonly #connection: ShimConnection;
  #lastWrite: Promise<void> = Promise.resolve();
  #answer: ((errno: number) => void) | undefined;
  #closed = false;
  /** Ends the wait for room, where somebody waits: a descriptor that is watched must not be closed. */
  #stopWaiting: ((error?: Error) => void) | undefined;

  constructor(fd: number, slot: number, connection: ShimConnection) {
    this.#fd = fd;
    this.#slot = slot;
    this.#connection = connection;
  }

  /**
   * Has one message written with one write, after those before it. Its length is below PIPE_BUF, so
   * that a pipe that is writable takes it whole without blocking.
   *
   * @returns resolves when it is written or the caller is gone; rejects when it cannot be
   */
  send(report: number, message: Uint8Array): Promise<void> {
    this.#lastWrite = this.#lastWrite
      .catch(() => undefined) // told to the sender of that message
      .then(() => this.#write(report, message));
    return this.#lastWrite;
  }

  /** The shim's answer to the message under way. */
  onReported(errno: number): void {
    this.#answer?.(errno);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopWaiting?.(this.#failure("it has been closed"));
    sys.close(this.#fd);
  }

  async #write(report: number, message: Uint8Array): Promise<void> {
    for (;;) {
      const errno = await this.#ask(report, message);
      // The caller has left: there is nobody to tell, and that is its choice.
      if (errno === 0 || errno === EPIPE || errno === ECONNRESET) return;
      if (errno !== EAGAIN) throw this.#failure(getSystemErrorMap().get(-errno)?.[1] ?? `${errno}`);
      await this.#writable();
    }
  }

  #ask(report: number, message: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#connection.report(this.#slot, report, message);
    });
  }

  #writable(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(this.#failure("it has been closed"));
        return;
      }
      const readiness = new sys.Readiness(this.#fd, () => stop());
      const timer = setTimeout(
        () => stop(this.#failure(`nobody has read from it for ${PATIENCE_MS / 1000} s`)),
        PATIENCE_MS,
      );
      const stop = (error?: Error): void => {
        this.#stopWaiting = undefined;
        clearTimeout(timer);
        readiness.close();
        if (error === undefined) resolve();
        else reject(error);
      };
      this.#stopWaiting = stop;
      readiness.watch(sys.WRITABLE);
    });
  }

  #failure(reason: string): Error {
    const name = this.#slot === SLOT.syncPipe ? "sync pipe" : "attach pipe";
    return new Error(`Failed to write to the ${name}: ${reason}`);
  }
}
