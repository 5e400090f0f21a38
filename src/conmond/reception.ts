/** Those who have connected and have not said yet who they are: shims, or a conmond that wants our place. */
import * as sys from "../sys/mod.ts";
import { isAsk, TYPE_LENGTH } from "./hand-over/messages.ts";

/** How long somebody may be connected without a word, in milliseconds. Shims speak at once. */
const PATIENCE_MS = 10_000;

/** Where those go whom {@link Reception} knows; the descriptors are theirs, with the first message unread. */
export interface ReceptionEvents {
  onShim(fd: number): void;
  onSuccessor(fd: number): void;
  /** Somebody has left, or was closed, without a word. */
  onNobody(): void;
}

/** Looks at the first bytes that come on a connection, and leaves them where they are. */
export class Reception {
  readonly #events: ReceptionEvents;
  readonly #bytes = Buffer.alloc(TYPE_LENGTH);
  #count = 0;
  #onEmpty: (() => void)[] = [];

  constructor(events: ReceptionEvents) {
    this.#events = events;
  }

  /** How many are waiting to be known. */
  get count(): number {
    return this.#count;
  }

  /** Resolves when there is none, or after so many milliseconds. */
  async emptied(milliseconds: number): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      setTimeout(resolve, milliseconds).unref();
      this.#onEmpty.push(resolve);
    });
  }

  /** Takes over a connection. */
  welcome(fd: number): void {
    // As a rule it has spoken already.
    if (this.#look(fd)) return;
    this.#count++;
    const done = (): void => {
      clearTimeout(timer);
      readiness.close();
      this.#count--;
      // Not before it has gone on to whom it belongs.
      if (this.#count === 0) setImmediate(() => this.#tellEmpty());
    };
    const readiness = new sys.Readiness(fd, () => this.#look(fd, done));
    const timer = setTimeout(() => {
      // Whoever was stopped itself, or had no processor, finds here what was said in time.
      if (this.#look(fd, done)) return;
      done();
      sys.close(fd);
      this.#events.onNobody();
    }, PATIENCE_MS);
    readiness.watch(sys.READABLE);
  }

  #tellEmpty(): void {
    if (this.#count > 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  /** False: nothing has come yet. `done` is called before the descriptor goes on. */
  #look(fd: number, done: () => void = () => undefined): boolean {
    let count: number;
    try {
      count = sys.peek(fd, this.#bytes);
    } catch {
      count = 0; // It has left, in its own way.
    }
    if (count < 0) return false;
    done();
    if (count === 0) {
      sys.close(fd);
      this.#events.onNobody();
    } else if (isAsk(this.#bytes.subarray(0, Math.min(count, TYPE_LENGTH)))) {
      this.#events.onSuccessor(fd);
    } else this.#events.onShim(fd);
    return true;
  }
}
