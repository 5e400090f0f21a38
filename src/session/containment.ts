/** Where errors that nobody expected end. */

/** An error in one session's code ends that session only: its shim goes on with another conmond. */
export class Containment {
  readonly #onBroken: (error: Error) => void;
  #suspended = false;

  /** @param onBroken ends the session; it must not throw */
  constructor(onBroken: (error: Error) => void) {
    this.#onBroken = onBroken;
  }

  /** Lets no event do anything any more. */
  suspend(): void {
    this.#suspended = true;
  }

  /** Carries out what an event asks for. */
  guard(event: () => void): void {
    if (this.#suspended) return;
    try {
      event();
    } catch (error) {
      this.#onBroken(error as Error);
    }
  }

  /** Goes on when something is done; nothing of what fails then may reach other sessions. */
  after<T>(done: Promise<T>, next: (result: T) => void): void {
    done.then(next).catch((error: Error) => this.#onBroken(error));
  }
}
