/** Compresses one thing; says whether there is more. Must not reject. */
type Work = () => Promise<boolean>;

/**
 * Lets those who have something to compress do so one after the other, one piece each, so that a process
 * is never busy with more than one.
 */
export class CompressionTurns {
  readonly #waiting = new Map<object, Work>();
  #running = false;

  /** Queues the work of `who`, at most once. */
  request(who: object, work: Work): void {
    this.#waiting.set(who, work);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (;;) {
      // What is going on now, a rotation above all, is done first.
      await new Promise((resolve) => setImmediate(resolve));
      const [next] = this.#waiting;
      if (next === undefined) break;
      const [who, work] = next;
      this.#waiting.delete(who);
      if (await work()) this.#waiting.set(who, work);
    }
    this.#running = false;
  }
}
