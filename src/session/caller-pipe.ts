/** The pipes on which the caller waits: `_OCI_SYNCPIPE`, `_OCI_ATTACHPIPE`. */
import * as sys from "../sys/mod.ts";

/** How long a caller that does not read may keep a message from being written, in milliseconds. */
const PATIENCE_MS = 5000;

/** Owns our end of such a pipe, which may be a SEQPACKET socket as well. */
export class CallerPipe {
  readonly #fd: number;
  readonly #name: string;
  #lastWrite: Promise<void> = Promise.resolve();
  #closed = false;

  /** `name` is for messages, such as "sync pipe". */
  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.#name = name;
  }

  /**
   * Writes one message with one write, after those before it. Its length is below
   * PIPE_BUF, so that a pipe that is writable takes it whole without blocking us.
   *
   * @returns resolves when it is written or the caller is gone; rejects when it cannot be
   */
  send(message: Uint8Array): Promise<void> {
    this.#lastWrite = this.#lastWrite
      .catch(() => undefined) // told to the sender of that message
      .then(() => this.#write(message));
    return this.#lastWrite;
  }

  /** Closes it after the messages under way. */
  async close(): Promise<void> {
    await this.#lastWrite.catch(() => undefined);
    if (this.#closed) return;
    this.#closed = true;
    sys.close(this.#fd);
  }

  async #write(message: Uint8Array): Promise<void> {
    if (this.#closed) return;
    try {
      await this.#writable();
      const written = sys.write(this.#fd, message, 0, message.length);
      if (written !== message.length) {
        throw new Error(
          `the ${this.#name} took ${Math.max(written, 0)} of ${message.length} bytes`,
        );
      }
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      // The caller has left: there is nobody to tell, and that is its choice.
      if (code !== "EPIPE" && code !== "ECONNRESET") throw error;
    }
  }

  #writable(): Promise<void> {
    return new Promise((resolve, reject) => {
      let readiness: sys.Readiness | undefined;
      const timer = setTimeout(() => {
        readiness?.close();
        reject(new Error(`the ${this.#name} took no message for ${PATIENCE_MS / 1000} s`));
      }, PATIENCE_MS);
      const done = (): void => {
        clearTimeout(timer);
        readiness?.close();
        resolve();
      };
      try {
        readiness = new sys.Readiness(this.#fd, done);
        readiness.watch(sys.WRITABLE);
      } catch (error) {
        // A regular file cannot be polled, and never blocks.
        if ((error as NodeJS.ErrnoException).code === "EPERM") done();
        else {
          clearTimeout(timer);
          reject(error);
        }
      }
    });
  }
}
