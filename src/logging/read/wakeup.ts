/** Something that happens again and again, which one waits for; what happened before is not missed. */
export class Wakeup {
  #happened = false;
  #resolve: (() => void) | undefined;

  /** It has happened. */
  wake(): void {
    this.#happened = true;
    this.#resolve?.();
  }

  /** From now on only what comes later counts. */
  reset(): void {
    this.#happened = false;
  }

  /** Resolves when it has happened since the last `reset()`. One can wait at a time. */
  async wait(): Promise<void> {
    if (this.#happened) return;
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
    this.#resolve = undefined;
  }
}
