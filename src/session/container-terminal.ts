/** The container's terminal, from the socket on which the runtime hands it over to its end. */
import { rmSync } from "node:fs";
import type { ShimConnection } from "../shim/connection.ts";
import * as sys from "../sys/mod.ts";
import { ConsoleSocket } from "./console-socket.ts";
import { DEPOSIT, takeDeposit } from "./deposit.ts";
import type { Output, OutputEvents } from "./output.ts";
import { Terminal } from "./terminal.ts";

export interface ContainerTerminalEvents extends OutputEvents {
  /** The terminal is there. `input` is a descriptor to write to, and belongs to the receiver. */
  onTerminal(input: number): void;
  /** Something is worth a warning. */
  onFault(error: Error): void;
}

/** Everything is deposited with the shim, so that another conmond can go on at any point. */
export class ContainerTerminal {
  readonly #connection: ShimConnection;
  readonly #events: ContainerTerminalEvents;
  #console: ConsoleSocket | undefined;
  #terminal: Terminal | undefined;
  /** Slots of the shim that hold something of the console socket's. */
  readonly #consoleSlots = new Set<number>();
  /** The last size asked for, which may be before there is a terminal. */
  #size: { rows: number; columns: number } | undefined;

  constructor(connection: ShimConnection, events: ContainerTerminalEvents) {
    this.#connection = connection;
    this.#events = events;
  }

  /**
   * Makes the console socket.
   *
   * @param directory where; the caller's `$TMPDIR`
   * @param onName told its path, for the runtime, before it is made
   * @throws Error that names the socket and the reason
   */
  listen(directory: string, onName: (path: string) => void): void {
    this.#console = ConsoleSocket.open(directory, onName, this.#consoleEvents());
    this.#keepConsole(DEPOSIT.consoleListener, this.#console.listenerFd);
  }

  /**
   * Goes on with what another conmond had, by slot.
   *
   * @param consolePath where it listened or was about to; empty if it had not come to that
   * @returns whether it had anything
   */
  adopt(descriptors: Map<number, number>, consolePath: string): boolean {
    const listener = takeDeposit(descriptors, DEPOSIT.consoleListener);
    const connection = takeDeposit(descriptors, DEPOSIT.consoleConnection);
    const master = takeDeposit(descriptors, DEPOSIT.terminal);
    if (listener !== undefined) this.#consoleSlots.add(DEPOSIT.consoleListener);
    if (connection !== undefined) this.#consoleSlots.add(DEPOSIT.consoleConnection);
    const found = listener !== undefined || connection !== undefined;
    if (found) {
      const open = { listener, connection };
      this.#console = ConsoleSocket.adopt(consolePath, open, this.#consoleEvents());
    } else if (master === undefined && consolePath !== "") {
      // It died when it had made the socket, and had not deposited it: the name leads nowhere.
      rmSync(consolePath, { force: true });
    }
    if (master !== undefined) {
      this.#console?.close();
      this.#dropConsole();
      this.#connect(master);
    }
    return found || master !== undefined;
  }

  /** Whether the terminal is there, after one more look for it. */
  receive(): boolean {
    if (this.#terminal === undefined) this.#console?.receive();
    return this.#terminal !== undefined;
  }

  /** Sets the size in characters, now or when the terminal comes. */
  resize(rows: number, columns: number): void {
    this.#size = { rows, columns };
    try {
      this.#terminal?.resize(rows, columns);
    } catch (cause) {
      const reason = (cause as Error).message;
      this.#events.onFault(
        new Error(
          `Failed to resize the terminal to ${rows} rows and ${columns} columns: ${reason}`,
          {
            cause,
          },
        ),
      );
    }
  }

  /** See {@link Output.pause}. */
  pause(): void {
    this.#terminal?.pause();
  }

  /** Reads on after a pause. */
  start(): void {
    this.#terminal?.start();
  }

  drain(): void {
    this.#terminal?.drain();
  }

  /** Closes what is open; the console socket's name is removed. */
  close(): void {
    this.#console?.close();
    this.#terminal?.close();
  }

  /** Closes what is open and leaves the rest to the conmond that comes next. */
  release(): void {
    this.#console?.release();
    this.#terminal?.close();
  }

  #consoleEvents() {
    return {
      onConnected: (connection: number) => this.#keepConsole(DEPOSIT.consoleConnection, connection),
      onTerminal: (master: number) => {
        this.#connection.keep(DEPOSIT.terminal, master);
        this.#dropConsole();
        this.#setUp(master);
        this.#connect(master);
      },
      onFault: (error: Error) => {
        this.#dropConsole();
        this.#events.onFault(error);
      },
    };
  }

  #keepConsole(slot: number, fd: number): void {
    this.#connection.keep(slot, fd);
    this.#consoleSlots.add(slot);
  }

  #dropConsole(): void {
    this.#console = undefined;
    for (const slot of this.#consoleSlots) this.#connection.drop(slot);
    this.#consoleSlots.clear();
  }

  #setUp(master: number): void {
    try {
      sys.setOutputNewlineTranslation(master);
    } catch (cause) {
      const reason = (cause as Error).message;
      this.#events.onFault(new Error(`Failed to set up the terminal: ${reason}`, { cause }));
    }
  }

  #connect(master: number): void {
    // Two watches on one descriptor are one too many for libuv.
    const input = sys.duplicate(master);
    this.#terminal = new Terminal(master, this.#events);
    if (this.#size !== undefined) this.resize(this.#size.rows, this.#size.columns);
    this.#events.onTerminal(input);
    this.#terminal.start();
  }
}
