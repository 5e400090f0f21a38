/** The stage in which everything is tried that can fail, before the caller is let go. */
import { openSync } from "node:fs";
import * as sys from "../sys/mod.ts";
import { checkDirectories } from "./directories.ts";
import type { Equipment } from "./equipment.ts";
import { ConmonError } from "./errors.ts";
import { writeAtomically } from "./exit-report.ts";
import type { HeldSignal } from "./held-signal.ts";
import { isPassthrough } from "./log-settings.ts";
import type { Surroundings } from "./stage.ts";

/** What a {@link Beginning} needs and whom it tells how it came out. */
export interface BeginningEvents {
  /** Opens everything. */
  equip(around: Surroundings): Equipment;
  /** The caller has left. `descriptors`: what the hello brought and nobody has taken yet. */
  onBegun(descriptors: Map<number, number>): void;
  /** The caller waits to be told why not. */
  onFailed(error: Error): void;
}

/** Opens what the container will need, and lets the caller go. */
export class Beginning {
  readonly #around: Surroundings;
  readonly #heldSignal: HeldSignal;
  readonly #events: BeginningEvents;
  #equipment: Equipment | undefined;
  #closed = false;

  constructor(around: Surroundings, heldSignal: HeldSignal, events: BeginningEvents) {
    this.#around = around;
    this.#heldSignal = heldSignal;
    this.#events = events;
  }

  /** @param descriptors what the hello brought, by slot; what is used is taken out of it */
  begin(descriptors: Map<number, number>): void {
    let opened: Promise<void> | undefined;
    try {
      checkDirectories(this.#around.options);
      this.#equipment = this.#events.equip(this.#around);
      opened = this.#equipment.io.logsOpened();
    } catch (error) {
      this.#events.onFailed(error as Error);
      return;
    }
    if (opened === undefined) {
      this.#letCallerGo(descriptors);
      return;
    }
    this.#waitFor(opened, new Map(descriptors));
    // They are closed when that is done.
    descriptors.clear();
  }

  /** What is waited for does not matter any more. */
  close(): void {
    this.#closed = true;
  }

  /** Owns the descriptors. */
  #waitFor(opened: Promise<void>, descriptors: Map<number, number>): void {
    const begun = opened.then(
      () => {
        if (!this.#closed) this.#letCallerGo(descriptors);
      },
      (error: Error) => {
        if (!this.#closed) this.#events.onFailed(error);
      },
    );
    const done = begun.finally(() => {
      for (const fd of descriptors.values()) sys.close(fd);
    });
    this.#around.containment.after(done, () => undefined);
  }

  /** The last that can fail, and then there is no way back. */
  #letCallerGo(descriptors: Map<number, number>): void {
    const { options, connection, messages, shimPid } = this.#around;
    try {
      requireDescriptors();
      const { conmonPidfile } = options;
      if (conmonPidfile !== undefined) writeAtomically(conmonPidfile, String(shimPid), shimPid);
      const { number } = this.#heldSignal;
      if (number !== 0) {
        throw new ConmonError(`Got signal ${number} before the runtime was started`);
      }
    } catch (error) {
      this.#events.onFailed(error as Error);
      return;
    }
    connection.release(isPassthrough(options));
    messages.callerLeft();
    this.#events.onBegun(descriptors);
  }
}

/** What a session opens once its container runs, at most, its attach clients not counted. */
const DESCRIPTORS_AHEAD = 10;

/**
 * Without them a container could be started and never be served: its caller is told now.
 *
 * @throws Error that says so
 */
function requireDescriptors(): void {
  const taken: number[] = [];
  try {
    while (taken.length < DESCRIPTORS_AHEAD) taken.push(openSync("/dev/null", "r"));
  } catch (cause) {
    const reason = `${DESCRIPTORS_AHEAD} more are needed: ${(cause as Error).message}`;
    throw new Error(`Not enough descriptors for a container, ${reason}`, { cause });
  } finally {
    taken.forEach(sys.close);
  }
}
