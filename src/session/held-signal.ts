/** Signals that come before there is a process that can heed them. */
import type { ShimConnection } from "../shim/connection.ts";

/** The last such signal of a session. */
export class HeldSignal {
  readonly #connection: ShimConnection;
  #signal = 0;

  constructor(connection: ShimConnection) {
    this.#connection = connection;
  }

  /** Its number; 0: there is none. */
  get number(): number {
    return this.#signal;
  }

  /** @param signal its number; 0: none */
  hold(signal: number): void {
    this.#signal = signal;
  }

  /** The runtime runs. One that ends well all the same has not heeded it: so it is kept for the container. */
  passToRuntime(): void {
    if (this.#signal !== 0) this.#connection.kill("runtime", this.#signal);
  }

  passToContainer(): void {
    if (this.#signal !== 0) this.#connection.kill("container", this.#signal);
    this.#signal = 0;
  }
}
