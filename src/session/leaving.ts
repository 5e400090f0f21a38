/** The last stage: the exit command and the shim's leave. */
import { Alarm, monotonicSeconds } from "./alarm.ts";
import type { Journal } from "./journal.ts";
import type { Surroundings } from "./stage.ts";

/** Nothing of the container is needed here any more, nor touched: it may be there again already. */
export class Leaving {
  readonly #around: Surroundings;
  readonly #journal: Journal;
  readonly #status: number;
  readonly #clientsDetached: Promise<void>;
  readonly #onLeft: () => void;
  #delay: Alarm | undefined;

  /**
   * @param status with which the monitor leaves if the exit command does not fail, 0 to 255
   * @param clientsDetached what is waited for before it leaves
   * @param onLeft the shim has had its last order
   */
  constructor(
    around: Surroundings,
    journal: Journal,
    status: number,
    clientsDetached: Promise<void>,
    onLeft: () => void,
  ) {
    this.#around = around;
    this.#journal = journal;
    this.#status = status;
    this.#clientsDetached = clientsDetached;
    this.#onLeft = onLeft;
  }

  /**
   * Starts the exit command if there is one, and leaves. The delay begins once, with the conmond that comes
   * to it first.
   */
  begin(): void {
    const { options, connection, containment } = this.#around;
    const { exitCommand, exitDelaySeconds } = options;
    if (exitCommand === undefined) {
      this.#leave(this.#status);
      return;
    }
    this.#journal.exitCommandDue ??= monotonicSeconds() + exitDelaySeconds;
    this.#delay = new Alarm(this.#journal.exitCommandDue, () => {
      containment.guard(() => connection.spawn("exit-command", exitCommand, {}));
    });
  }

  /** @param reason why it could not be started, if that was it */
  onExitCommandEnded(status: number, reason?: string): void {
    if (status !== 0) {
      const what = this.#around.options.exitCommand?.[0];
      const why = reason ?? `exit status ${status}`;
      this.#around.messages.error(`Exit command ${what} failed: ${why}`);
    }
    this.#leave(status !== 0 ? status & 0xff : this.#status);
  }

  close(): void {
    this.#delay?.cancel();
  }

  #leave(status: number): void {
    const { connection, containment } = this.#around;
    containment.after(this.#clientsDetached, () => {
      connection.exit(status);
      this.#onLeft();
    });
  }
}
