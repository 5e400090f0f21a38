/** Everything that a session opens for its container, as one thing: all of it is there, or nothing. */
import { ContainerEvents } from "./container-events.ts";
import { ContainerIo } from "./container-io.ts";
import { DEPOSIT, takeDeposit } from "./deposit.ts";
import { Journal } from "./journal.ts";
import { isPassthrough } from "./log-settings.ts";
import type { Surroundings } from "./stage.ts";

/** Owns journal, streams and events. */
export class Equipment {
  readonly journal: Journal;
  readonly io: ContainerIo;
  readonly events: ContainerEvents;
  #clientsDetached: Promise<void> = Promise.resolve();

  private constructor(journal: Journal, io: ContainerIo, events: ContainerEvents) {
    this.journal = journal;
    this.io = io;
    this.events = events;
  }

  /**
   * Opens everything that the container will need, or takes over what the conmond before had opened.
   *
   * @param temporary the directory for the console socket
   * @param inherited what a hello brought, by slot; what is taken over is taken out of it
   * @throws Error that names what cannot be opened. Then nothing that was made here is left behind.
   */
  static open(around: Surroundings, temporary: string, inherited: Map<number, number>): Equipment {
    const { options, connection, messages } = around;
    const fd = takeDeposit(inherited, DEPOSIT.journal);
    const journal = fd === undefined ? Journal.create() : Journal.adopt(fd);
    let equipment: Equipment | undefined;
    try {
      const io = new ContainerIo(options, connection, messages, journal, inherited);
      const events = new ContainerEvents(options, connection, messages);
      equipment = new Equipment(journal, io, events);
      const { bundle } = options.launch;
      if (bundle !== undefined && !isPassthrough(options)) io.openBundle(bundle, inherited);
      events.open(inherited);
      if (fd !== undefined) return equipment;
      connection.keep(DEPOSIT.journal, journal.fd);
      const consolePath = io.openConsole(temporary);
      if (consolePath !== undefined) journal.consolePath = consolePath;
      return equipment;
    } catch (error) {
      if (equipment === undefined) journal.close();
      else equipment.#undo();
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
  }

  /** Closes all descriptors; what has a name is left to the conmond that comes next. */
  close(): void {
    this.events.close();
    this.io.close();
    this.journal.close();
  }

  #undo(): void {
    this.detach();
    this.io.removeLink();
    this.close();
  }
}
