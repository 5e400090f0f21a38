import { rmSync } from "node:fs";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "./waiting.ts";

/** Where a service manager would listen: `$NOTIFY_SOCKET`, see sd_notify(3). */
export class NotifySocket {
  readonly path: string;
  readonly messages: string[] = [];
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  #onMessage: () => void = () => {};

  constructor(path: string) {
    this.path = path;
    this.#fd = sys.unixSocket("dgram");
    sys.bindUnix(this.#fd, path);
    const buffer = Buffer.alloc(65_536);
    this.#readiness = new sys.Readiness(this.#fd, () => {
      const length = sys.receive(this.#fd, buffer);
      if (length >= 0) this.messages.push(buffer.toString("utf8", 0, length));
      this.#onMessage();
    });
    this.#readiness.watch(sys.READABLE);
  }

  /** Resolves when so many messages have come. */
  async received(count: number): Promise<void> {
    const there = new Promise<void>((resolve) => {
      this.#onMessage = () => {
        if (this.messages.length >= count) resolve();
      };
      this.#onMessage();
    });
    await inTime(there, () => `message ${count}; so far: ${JSON.stringify(this.messages)}`);
  }

  /** Closes and removes the socket. */
  close(): void {
    this.#readiness.close();
    sys.close(this.#fd);
    rmSync(this.path, { force: true });
  }
}
