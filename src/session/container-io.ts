/**
 * The container's streams: what it writes goes to the logs and then to the attached
 * clients, what clients send goes to its stdin.
 */
import { AttachServer, ControlFifos } from "../attach/mod.ts";
import type { Sink, StreamName } from "../logging/sink.ts";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import type { CheckedOptions } from "./checks.ts";
import { ContainerTerminal } from "./container-terminal.ts";
import { CLIENTS_MAX, ClientDeposit, DEPOSIT } from "./deposit.ts";
import { StandardInput } from "./input.ts";
import { openSinks, sinksOpened } from "./open-sinks.ts";
import { type Output, OutputStream } from "./output.ts";
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
  readonly #input: StandardInput | undefined;
  readonly #terminal: ContainerTerminal | undefined;
  #outputs: Output[] = [];
  #attach: AttachServer | undefined;
  #fifos: ControlFifos | undefined;
  #startup: StartupText | undefined;

  /** @throws ConmonError when a log cannot be opened */
  constructor(options: CheckedOptions, connection: ShimConnection, messages: OwnMessages) {
    this.#options = options;
    this.#connection = connection;
    this.#messages = messages;
    if (options.terminal) this.#terminal = this.#makeTerminal();
    if (options.terminal || options.stdin) this.#input = this.#makeInput();
    this.#sinks = openSinks(options, messages, () => this.#readOn());
  }

  /**
   * Waits for the logs that take a while to open. To be called right after the constructor.
   *
   * @returns undefined if there are none
   * @throws ConmonError of the first that cannot be opened
   */
  logsOpened(): Promise<void> | undefined {
    return sinksOpened(this.#sinks);
  }

  /**
   * Makes the attach socket and the control fifos in the bundle, or takes them over.
   *
   * @throws Error naming the one that cannot be made and the reason
   */
  openBundle(bundle: string, inherited: Map<number, number>): void {
    this.#openAttach(bundle, inherited);
    this.#openFifos(bundle, inherited);
  }

  /**
   * Makes the console socket, for a container with a terminal.
   *
   * @returns its path
   * @throws Error that names it and the reason
   */
  openConsole(directory: string): string | undefined {
    return this.#terminal?.listen(directory);
  }

  /** Takes over the terminal, or the console socket while it has not come yet. */
  adoptTerminal(descriptors: Map<number, number>, consolePath: string): void {
    this.#terminal?.adopt(descriptors, consolePath);
  }

  /** Whether a container with a terminal has it: the runtime has ended and sends nothing any more. */
  hasTerminal(): boolean {
    return this.#terminal?.receive() ?? false;
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
    if (stdin !== undefined) this.#input?.connect(stdin);
    // It was closed while another conmond served the session.
    else if (!this.#options.terminal) this.#input?.close();
    for (const [name, slot] of [
      ["stdout", SLOT.stdout],
      ["stderr", SLOT.stderr],
    ] as const) {
      const fd = take(slot);
      if (fd === undefined) continue;
      const output = this.#openOutput(name, fd, slot);
      this.#outputs.push(output);
      output.start();
    }
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
    this.#terminal?.drain();
    this.#terminal?.close();
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
   * Ends what callers and clients can reach: fifos, console socket, attach socket. Clients that have
   * everything are closed before this returns; it resolves when the slow ones are done as well.
   */
  detach(): Promise<void> {
    this.#fifos?.close();
    this.#fifos?.remove();
    this.#fifos = undefined;
    this.#terminal?.close();
    const finished = this.#attach?.finish(CLIENT_GRACE_MS) ?? Promise.resolve();
    this.#attach?.removeSocket();
    return finished;
  }

  removeLink(): void {
    this.#attach?.removeLink();
  }

  /** Closes what is left open, and leaves what has a name to the conmond that comes next. */
  close(): void {
    for (const output of this.#outputs) output.close();
    this.#fifos?.close();
    this.#terminal?.release();
    this.#input?.close();
    this.#attach?.close();
    for (const sink of this.#sinks) sink.close();
  }

  #openAttach(bundle: string, inherited: Map<number, number>): void {
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

  #openFifos(bundle: string, inherited: Map<number, number>): void {
    const settings = {
      bundle,
      onResize: (rows: number, columns: number) => {
        if (this.#terminal === undefined) this.#messages.debug("There is no terminal to resize");
        this.#terminal?.resize(rows, columns);
      },
      onReopen: () => this.reopenLogs(),
      onFault: (error: Error) => this.#messages.warn(error.message),
    };
    const [ctl, winsz] = [inherited.get(DEPOSIT.ctl), inherited.get(DEPOSIT.winsz)];
    if (ctl !== undefined && winsz !== undefined) {
      inherited.delete(DEPOSIT.ctl);
      inherited.delete(DEPOSIT.winsz);
      this.#fifos = ControlFifos.adopt({ ctl, winsz }, settings);
      return;
    }
    this.#fifos = ControlFifos.open(settings);
    this.#connection.keep(DEPOSIT.ctl, this.#fifos.descriptors.ctl);
    this.#connection.keep(DEPOSIT.winsz, this.#fifos.descriptors.winsz);
  }

  #makeTerminal(): ContainerTerminal {
    return new ContainerTerminal(this.#connection, {
      onTerminal: (input) => this.#input?.connect(input),
      onData: (stream, data) => this.#onOutput(stream, data),
      onEnd: (_stream, error) => {
        if (error)
          this.#messages.error(`Failed to read the container's terminal: ${error.message}`);
      },
      onFault: (error) => this.#messages.warn(error.message),
    });
  }

  #makeInput(): StandardInput {
    const isTerminal = this.#options.terminal;
    const events = {
      onDrained: () => this.#attach?.resumeInput(),
      onClosed: (error?: Error) => {
        // The shim's copy would keep the container from seeing the end.
        if (!isTerminal) this.#connection.drop(SLOT.stdin);
        if (error)
          this.#messages.warn(`Failed to write to the container's stdin: ${error.message}`);
      },
    };
    return new StandardInput(events, isTerminal);
  }

  #openOutput(name: StreamName, fd: number, slot: number): Output {
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
    if (!behind) return;
    this.#terminal?.pause();
    for (const output of this.#outputs) output.pause();
  }

  /** Goes on when the slowest log has caught up, or is not waited for any longer. */
  #readOn(): void {
    if (this.#sinks.some((sink) => sink.behind)) return;
    this.#terminal?.start();
    for (const output of this.#outputs) output.start();
  }
}
