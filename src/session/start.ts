/** The stage in which the runtime is started and makes the container process. */
import { describeEnding, type Ending, exitStatus, SLOT } from "../shim/messages.ts";
import { takeDeposit } from "./deposit.ts";
import type { Equipment } from "./equipment.ts";
import type { Journal } from "./journal.ts";
import { isPassthrough } from "./log-settings.ts";
import { readPid } from "./pidfile.ts";
import { runtimeCommand } from "./runtime-command.ts";
import type { Surroundings } from "./stage.ts";
import { StartGate } from "./start-gate.ts";

/** How it came out. Told once. */
export interface StartOutcome {
  /** The runtime is being started: until now the caller could take it back. */
  onSpawning(): void;
  /** The container process is there, and watched by the shim. */
  onRunning(pid: number): void;
  /** `reason` is to be told where the runtime itself has not said anything. */
  onFailed(reason: string): void;
}

/** Waits for the caller where it wants to attach first, then for the runtime. */
export class Start {
  readonly #around: Surroundings;
  readonly #equipment: Equipment;
  readonly #journal: Journal;
  readonly #outcome: StartOutcome;
  #gate: StartGate | undefined;
  #over = false;

  constructor(around: Surroundings, equipment: Equipment, journal: Journal, outcome: StartOutcome) {
    this.#around = around;
    this.#journal = journal;
    this.#equipment = equipment;
    this.#outcome = outcome;
  }

  /** @param descriptors what a hello brought, by slot; the start pipe is taken out of it if it is needed */
  begin(descriptors: Map<number, number>): void {
    const { launch } = this.#around.options;
    if (launch.kind === "exec" && launch.attach) {
      this.#awaitAttached(takeDeposit(descriptors, SLOT.startPipe));
    } else this.#spawn();
  }

  /** @param descriptors our ends of the container's pipes, by slot; what is used is taken out of it */
  onSpawned(descriptors: Map<number, number>): void {
    this.#equipment.io.connect(descriptors, true);
  }

  onRuntimeEnded(ending: Ending): void {
    if (this.#over) return;
    const { launch, runtime, containerPidfile, terminal } = this.#around.options;
    if (launch.kind !== "exec" && exitStatus(ending) !== 0) {
      this.#fail(`runtime ${runtime} ${describeEnding(ending)}`);
      return;
    }
    if (terminal && exitStatus(ending) === 0 && !this.#equipment.io.hasTerminal()) {
      this.#fail("Runtime did not set up terminal");
      return;
    }
    let pid: number;
    try {
      pid = readPid(containerPidfile);
    } catch (error) {
      this.#fail((error as Error).message);
      return;
    }
    this.#over = true;
    this.#adoptContainer(pid);
    this.#outcome.onRunning(pid);
  }

  /** Waits for nothing any more: whatever the caller says now, it is too late. */
  close(): void {
    this.#over = true;
    this.#gate?.close();
  }

  /** Tells the caller that it can attach now, and waits for its word that it has. */
  #awaitAttached(startPipe: number | undefined): void {
    const { containment, caller } = this.#around;
    this.#gate = new StartGate(startPipe, () => containment.guard(() => this.#spawn()));
    caller.tellAttachable();
  }

  #spawn(): void {
    if (this.#over) return;
    this.#outcome.onSpawning();
    const { options, connection } = this.#around;
    const consolePath = this.#journal.consolePath || undefined;
    const passthrough = isPassthrough(options);
    const pipes = !options.terminal && !passthrough;
    connection.spawn("runtime", runtimeCommand(options, consolePath), {
      pipeStdin: pipes && options.stdin,
      pipeStdout: pipes,
      // What a runtime says when it fails is wanted even where the container has a terminal.
      pipeStderr: !passthrough,
      inheritStdio: passthrough,
      replaceListenPid: options.replaceListenPid,
    });
  }

  #fail(reason: string): void {
    this.close();
    this.#outcome.onFailed(reason);
  }

  #adoptContainer(pid: number): void {
    this.#equipment.io.acceptStartupText();
    // Before the caller knows the pid, so that nothing runs in the container yet.
    this.#equipment.events.watchOom(pid);
    this.#around.connection.watch(pid);
  }
}
