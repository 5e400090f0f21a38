/**
 * The container's streams: what it writes goes to the logs and then to the attached
 * clients, what clients send goes to its stdin.
 */
import { AttachServer } from "../attach/mod.ts";
import type { Sink, StreamName } from "../logging/sink.ts";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import type { CheckedOptions } from "./checks.ts";
import { CLIENTS_MAX, ClientDeposit, DEPOSIT } from "./deposit.ts";
import { StandardInput } from "./input.ts";
import { openSinks } from "./open-sinks.ts";
import { OutputStream } from "./output.ts";
import type { OwnMessages } from "./own-messages.ts";
import { StartupText } from "./startup-text.ts";

/** How long attached clients that read slowly are given for the rest, in milliseconds. */
const CLIENT_GRACE_MS = 10_000;

/** Everything that a stream of this container passes through. */
export class ContainerIo {
  readonly #options: CheckedOptions;
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  readonly #sinks: Sink[];
  readonly #clock: sys.WallClock = { seconds: 0, nanoseconds: 0 };
  #outputs: OutputStream[] = [];
  #input: StandardInput | undefined;
  #attach: AttachServer | undefined;
  #startup: StartupText | undefined;

  /** @throws ConmonError when a log cannot be opened */
  constructor(options: CheckedOptions, connection: ShimConnection, messages: OwnMessages) {
    this.#options = options;
    this.#connection = connection;
    this.#messages = messages;
    this.#sinks = openSinks(options, messages, () => this.#readOn());
  }

  /** Makes the attach socket, or takes it over with its clients. */
  openAttach(bundle: string, inherited: Map<number, number>): void {
    const clients = [...inherited].filter(([slot]) => slot >= DEPOSIT.firstClient);
    for (const [slot] of clients) inherited.delete(slot);
    const deposit = new ClientDeposit(this.#connection, new Map(clients));
    const settings = {
      bundle,
      fullAttach: this.#options.fullAttach,
      socketDirectory: this.#options.socketDir,
      linkName: this.#options.cuuid,
      maxClients: CLIENTS_MAX,
      onInput: (data: Uint8Array) => this.#input?.write(data) ?? true,
      onInputEnd: () => {
        if (!this.#options.leaveStdinOpen) this.#input?.end();
      },
      onFault: (error: Error) => this.#messages.warn(error.message),
      onClientsChanged: (added: number | undefined, removed: number | undefined) => {
        if (added !== undefined) deposit.add(added);
        if (removed !== undefined) deposit.remove(removed);
      },
    };
    const listener = inherited.get(DEPOSIT.listener);
    inherited.delete(DEPOSIT.listener);
    if (listener === undefined) {
      this.#attach = AttachServer.open(settings);
      this.#connection.keep(DEPOSIT.listener, this.#attach.listenerFd);
    } else {
      this.#attach = AttachServer.adopt(
        listener,
        clients.map(([, fd]) => fd),
        settings,
      );
    }
  }

  /**
   * Takes the ends of the container's pipes, by slot, and begins to read.
   *
   * @param holdBackStderr the runtime still runs, and what comes on stderr is its own
   */
  connect(descriptors: Map<number, number>, holdBackStderr: boolean): void {
    if (holdBackStderr) this.#startup = new StartupText();
    const take = (slot: number): number | undefined => {
      const fd = descriptors.get(slot);
      descriptors.delete(slot);
      return fd;
    };
    const stdin = take(SLOT.stdin);
    if (stdin !== undefined) this.#input = this.#openInput(stdin);
    for (const [name, slot] of [
      ["stdout", SLOT.stdout],
      ["stderr", SLOT.stderr],
    ] as const) {
      const fd = take(slot);
      if (fd !== undefined) this.#outputs.push(this.#openOutput(name, fd, slot));
    }
    for (const output of this.#outputs) output.start();
  }

  /** What came on stderr so far is the container's: logs it. */
  acceptStartupText(): void {
    const held = this.#startup?.takeHeld() ?? [];
    this.#startup = undefined;
    for (const data of held) this.#log("stderr", data);
  }

  /** The end of what the runtime wrote to stderr, everything in the pipe included. */
  takeStartupTail(): Buffer {
    for (const output of this.#outputs) if (output.name === "stderr") output.drain();
    const tail = this.#startup?.tail ?? Buffer.alloc(0);
    this.#startup = undefined;
    return tail;
  }

  /** Makes fresh log files. A log that cannot be made anew goes on in the old file. */
  reopenLogs(): void {
    for (const sink of this.#sinks) {
      try {
        sink.reopen();
      } catch (error) {
        this.#messages.error(`Failed to reopen the ${sink.name} log: ${(error as Error).message}`);
      }
    }
  }

  /** Takes what is left in the pipes: the container process has ended. */
  drain(): void {
    for (const output of this.#outputs) output.drain();
    for (const output of this.#outputs) output.close();
    this.#outputs = [];
    for (const sink of this.#sinks) {
      sink.end("stdout");
      sink.end("stderr");
    }
    this.#input?.close();
  }

  /**
   * Waits until the logs have all that was read, and brings them to stable storage, unless the caller
   * does not want that.
   */
  async syncLogs(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => sink.flush()));
    if (!this.#options.logs.sync) return;
    for (const sink of this.#sinks) {
      await sink.sync().catch((error: Error) => {
        this.#messages.error(`Failed to sync the ${sink.name} log: ${error.message}`);
      });
    }
  }

  /**
   * Closes the attached clients and removes the socket. Clients that have everything
   * are closed before this returns; it resolves when the slow ones are done as well.
   */
  detachClients(): Promise<void> {
    const finished = this.#attach?.finish(CLIENT_GRACE_MS) ?? Promise.resolve();
    this.#attach?.removeSocket();
    return finished;
  }

  removeLink(): void {
    this.#attach?.removeLink();
  }

  /** Closes what is left open; files that were made for clients are removed. */
  close(): void {
    for (const output of this.#outputs) output.close();
    this.#input?.close();
    this.#attach?.close();
    for (const sink of this.#sinks) sink.close();
  }

  #openInput(fd: number): StandardInput {
    return new StandardInput(fd, {
      onDrained: () => this.#attach?.resumeInput(),
      onClosed: (error) => {
        // The shim's copy would keep the container from seeing the end.
        this.#connection.drop(SLOT.stdin);
        if (error)
          this.#messages.warn(`Failed to write to the container's stdin: ${error.message}`);
      },
    });
  }

  #openOutput(name: StreamName, fd: number, slot: number): OutputStream {
    return new OutputStream(name, fd, {
      onData: (stream, data) => this.#onOutput(stream, data),
      onEnd: (stream, error) => {
        for (const sink of this.#sinks) sink.end(stream);
        this.#connection.drop(slot);
        if (error)
          this.#messages.error(`Failed to read the container's ${stream}: ${error.message}`);
      },
    });
  }

  #onOutput(stream: StreamName, data: Uint8Array): void {
    if (stream === "stderr" && this.#startup !== undefined) {
      if (this.#startup.add(data)) return;
      for (const held of this.#startup.takeHeld()) this.#log("stderr", held);
    }
    this.#log(stream, data);
  }

  /** The logs come first: what a client has seen is on record. */
  #log(stream: StreamName, data: Uint8Array): void {
    sys.readWallClock(this.#clock);
    let behind = false;
    for (const sink of this.#sinks) {
      sink.write(stream, data, this.#clock);
      if (sink.behind) behind = true;
    }
    this.#attach?.broadcast(stream, data);
    if (behind) for (const output of this.#outputs) output.pause();
  }

  /** Goes on when the slowest log has caught up, or is not waited for any longer. */
  #readOn(): void {
    if (this.#sinks.some((sink) => sink.behind)) return;
    for (const output of this.#outputs) output.start();
  }
}
