/** The stage in which the end of the container process, or that there was none, is told. */
import { exitStatus, type ProcessReport } from "../shim/messages.ts";
import type { Equipment } from "./equipment.ts";
import { ExitFiles } from "./exit-report.ts";
import type { Journal } from "./journal.ts";
import type { Surroundings } from "./stage.ts";

/** What `--timeout` is told as. */
const TIMED_OUT = "command timed out";

/**
 * Callers rely on the order, and on each step being done once. So first comes what the container's
 * files are needed for. The milestone `detached` divides it from what tells the caller, who may then remove the
 * container or start it again: whoever takes over later must not touch its files any more.
 */
export class Ending {
  readonly #around: Surroundings;
  readonly #journal: Journal;
  readonly #onTold: (status: number) => void;
  #onInheritedClosed: (() => void) | undefined;

  /** @param onTold takes the status of the monitor's own, 0 to 255; all that is left is to leave */
  constructor(around: Surroundings, journal: Journal, onTold: (status: number) => void) {
    this.#around = around;
    this.#journal = journal;
    this.#onTold = onTold;
  }

  /** The container process has ended; -1: nobody knows how. */
  report(equipment: Equipment, status: number): void {
    this.#around.containment.after(this.#finish(equipment), () => this.#tellExit(status));
  }

  /** There is no container process. `reason`: where the runtime itself has not said anything. */
  reportFailure(equipment: Equipment, reason: string): void {
    const { messages, connection } = this.#around;
    if (!this.#journal.has("start-failed")) {
      messages.error(`The container was not started: ${reason}`);
      const said = equipment.io.takeStartupTail();
      this.#journal.failure = said.length > 0 ? said : Buffer.from(reason);
      this.#journal.reach("start-failed");
    }
    connection.watch(0);
    this.#detach(equipment);
    this.#tellFailure();
  }

  /** Another conmond has come as far as to `detached`, or further. */
  goOn(container: ProcessReport): void {
    if (this.#journal.has("start-failed")) this.#tellFailure();
    else this.#tellExit(statusOf(container));
  }

  /** With which status the monitor leaves once everything has been told. */
  leaveStatus(container: ProcessReport): number {
    if (container.state === "none") return 1;
    return this.#statusToTell(statusOf(container)) & 0xff;
  }

  onInheritedClosed(): void {
    this.#onInheritedClosed?.();
  }

  async #finish(equipment: Equipment): Promise<void> {
    // The answer comes while the logs are seen to.
    const inheritedClosed = this.#closeInherited();
    await equipment.io.drain();
    await equipment.io.syncLogs();
    equipment.events.finishOom();
    await inheritedClosed;
    this.#detach(equipment);
  }

  #detach(equipment: Equipment): void {
    equipment.detach();
    this.#journal.reach("detached");
  }

  #tellFailure(): void {
    const { caller, options, containment } = this.#around;
    const told = caller.tellNotStarted(options, this.#journal.failure);
    containment.after(told, () => this.#onTold(1));
  }

  #tellExit(exitStatus: number): void {
    const { caller, options, containment } = this.#around;
    const status = this.#statusToTell(exitStatus);
    this.#recordExit(status);
    const message = this.#journal.has("timed-out") ? TIMED_OUT : undefined;
    const told =
      options.launch.kind === "exec"
        ? caller.tellExit(options, status, message)
        : Promise.resolve();
    containment.after(told, () => this.#onTold(status & 0xff));
  }

  #recordExit(status: number): void {
    if (this.#journal.has("exit-recorded")) return;
    const { options, messages, shimPid: session } = this.#around;
    const { cid: containerId, persistDir, exitDir } = options;
    const files = new ExitFiles({ status, containerId, persistDir, exitDir, session });
    const written = this.#journal.has("exit-written");
    const errors = written ? [] : files.write();
    this.#journal.reach("exit-written");
    errors.push(...files.putInPlace(written));
    this.#journal.reach("exit-recorded");
    for (const error of errors) messages.error(error.message);
  }

  #statusToTell(exitStatus: number): number {
    return this.#journal.has("timed-out") ? -1 : exitStatus;
  }

  /** Ports that the caller parked with us must be free before the exit is seen. */
  #closeInherited(): Promise<void> {
    return new Promise((resolve) => {
      this.#onInheritedClosed = resolve;
      this.#around.connection.closeInherited();
    });
  }
}

function statusOf(container: ProcessReport): number {
  return container.state === "ended" ? exitStatus(container.ending) : -1;
}
