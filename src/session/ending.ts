/** The stage in which the end of the container process, or that there was none, is told. */
import type { Equipment } from "./equipment.ts";
import { writeExitFiles } from "./exit-report.ts";
import type { Surroundings } from "./stage.ts";

/** What `--timeout` is told as. */
const TIMED_OUT = "command timed out";

/** All of it happens once, whoever comes to do it; callers rely on the order. */
export class Ending {
  readonly #around: Surroundings;
  readonly #equipment: Equipment;
  readonly #onTold: (status: number) => void;
  #onInheritedClosed: (() => void) | undefined;

  /** @param onTold takes the status of the monitor's own, 0 to 255; all that is left is to leave */
  constructor(around: Surroundings, equipment: Equipment, onTold: (status: number) => void) {
    this.#around = around;
    this.#equipment = equipment;
    this.#onTold = onTold;
  }

  /** The container process has ended. */
  report(exitStatus: number): void {
    const { journal } = this.#equipment;
    const status = journal.has("timed-out") ? -1 : exitStatus;
    this.#around.containment.after(this.#tell(status), () => this.#onTold(status & 0xff));
  }

  /** There is no container process. `reason`: where the runtime itself has not said anything. */
  reportFailure(reason: string): void {
    const { messages, connection, caller, options, containment } = this.#around;
    const { io } = this.#equipment;
    const said = io.takeStartupTail();
    messages.error(`The container was not started: ${reason}`);
    connection.watch(0);
    const told = caller.tellNotStarted(options, said.length > 0 ? said : reason);
    containment.after(told, () => {
      this.#equipment.detach();
      io.removeLink();
      this.#onTold(1);
    });
  }

  onInheritedClosed(): void {
    this.#onInheritedClosed?.();
  }

  async #tell(status: number): Promise<void> {
    const { options, caller, messages } = this.#around;
    const { io, events, journal } = this.#equipment;
    const { cid: containerId, persistDir, exitDir, launch } = options;
    // The answer comes while the logs are seen to.
    const inheritedClosed = this.#closeInherited();
    io.drain();
    await io.syncLogs();
    events.finishOom();
    await inheritedClosed;
    this.#equipment.detach();
    if (!journal.has("exit-recorded")) {
      const directories = { persistDirectory: persistDir, exitDirectory: exitDir };
      const errors = writeExitFiles({ status, containerId, ...directories });
      for (const error of errors) messages.error(error.message);
      journal.reach("exit-recorded");
    }
    if (launch.kind === "exec") {
      await caller.tellExit(options, status, journal.has("timed-out") ? TIMED_OUT : undefined);
    }
    io.removeLink();
  }

  /** Ports that the caller parked with us must be free before the exit is seen. */
  #closeInherited(): Promise<void> {
    return new Promise((resolve) => {
      this.#onInheritedClosed = resolve;
      this.#around.connection.closeInherited();
    });
  }
}
