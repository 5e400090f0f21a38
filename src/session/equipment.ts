/** Everything that a session opens for its container, as one thing: all of it is there, or nothing. */
import { ContainerEvents } from "./container-events.ts";
import { ContainerIo } from "./container-io.ts";
import type { Journal } from "./journal.ts";
import { isPassthrough } from "./log-settings.ts";
import { isElsewhere } from "./shim-process.ts";
import type { Surroundings } from "./stage.ts";

/** Owns streams and events. */
export class Equipment {
  readonly io: ContainerIo;
  readonly events: ContainerEvents;
  #clientsDetached: Promise<void> = Promise.resolve();

  private constructor(io: ContainerIo, events: ContainerEvents) {
    this.io = io;
    this.events = events;
  }

  /**
   * Opens everything that the container will need, or takes over what the conmond before had opened.
   *
   * @param temporary the directory for the console socket
   * @param inherited what a hello brought, by slot; what is taken over is taken out of it
   * @throws Error that names what cannot be opened. Then nothing is left behind that was made for a container
   *   that is not there yet.
   */
  static open(
    around: Surroundings,
    journal: Journal,
    temporary: string,
    inherited: Map<number, number>,
  ): Equipment {
    const { options, connection, messages } = around;
    const io = new ContainerIo(around, journal, inherited);
    const events = new ContainerEvents(options, connection, messages);
    const equipment = new Equipment(io, events);
    try {
      const { bundle } = options.launch;
      if (bundle !== undefined && !isPassthrough(options)) io.openBundle(bundle, inherited);
      events.open(inherited);
      io.openConsole(temporary, inherited, around.released);
      return equipment;
    } catch (error) {
      // The container that is there already still needs what has a name, as does the conmond that a shim has gone to.
      if (!around.released && !isElsewhere(connection, around.shimPid)) equipment.detach();
      equipment.close();
      throw error;
    }
  }

  /** Resolves when those clients that read slowly have the rest, or have had their time. */
  get clientsDetached(): Promise<void> {
    return this.#clientsDetached;
  }

  /** Ends what clients can reach; those that read slowly may have the rest. */
  detach(): void {
    this.events.finishNotify();
    this.#clientsDetached = this.io.detach();
    this.io.removeLink();
  }

  /** Closes all descriptors; what has a name is left to the conmond that comes next. */
  close(): void {
    this.events.close();
    this.io.close();
  }
}
