/**
 * The container's streams: what it writes goes to the logs and then to the attached
 * clients, what clients send goes to its stdin.
 */
import { AttachServer, ControlFifos } from "../attach/mod.ts";
import type { StreamName } from "../logging/sink.ts";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import type { CheckedOptions } from "./checks.ts";
import { ContainerTerminal } from "./container-terminal.ts";
import { CLIENTS_MAX, ClientDeposit, DEPOSIT, takeClients, takeDeposit } from "./deposit.ts";
import { StandardInput } from "./input.ts";
import type { Journal } from "./journal.ts";
import { CLIENT_GRACE_MS } from "./last-clients.ts";
import type { Output, OutputEvents } from "./output.ts";
import { OutputLog } from "./output-log.ts";
import { OutputStream } from "./output-stream.ts";
import type { OwnMessages } from "./own-messages.ts";
import { within } from "./patience.ts";
import type { Surroundings } from "./stage.ts";
import { depositUndelivered, takeUndelivered, withBacklogs } from "./undelivered-deposit.ts";

/** How long the rest of a character is waited for then: it has been written by whoever wrote its beginning. */
const CHARACTER_MS = 500;

/** Everything that a stream of this container passes through. */
export class ContainerIo {
  readonly #around: Surroundings;
  readonly #options: CheckedOptions;
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  readonly #journal: Journal;
  readonly #log: OutputLog;
  readonly #input: StandardInput | undefined;
  readonly #terminal: ContainerTerminal | undefined;
  #outputs: Output[] = [];
  #attach: AttachServer | undefined;
  #clients: ClientDeposit | undefined;
  #fifos: ControlFifos | undefined;
  /** Nothing is read any more: see {@link settle}. */
  #settling = false;
  #onCompleted: (() => void) | undefined;

  /**
   * @param inherited what a hello brought, by slot; what the logs need is taken out of it
   * @throws ConmonError when a log cannot be opened, as long as the caller can still be told
   */
  constructor(around: Surroundings, journal: Journal, inherited: Map<number, number>) {
    const { options, connection, messages } = around;
    this.#around = around;
    this.#options = options;
    this.#journal = journal;
    this.#connection = connection;
    this.#messages = messages;
    if (options.terminal) this.#terminal = this.#makeTerminal();
    if (options.terminal || options.stdin) this.#input = this.#makeInput();
    this.#log = new OutputLog(around, journal, inherited, {
      onLogging: () => this.#attach?.acceptWaiting(),
      onLogged: (stream, data) => this.#attach?.broadcast(stream, data),
      isWatched: () => this.#attach?.hasClients === true,
      onBehind: () => this.#pauseOutput(),
      onRelief: () => this.#readOn(),
    });
  }

  /** See {@link OutputLog.opened}. */
  logsOpened(): Promise<void> | undefined {
    return this.#log.opened();
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
   * Makes the console socket, for a container with a terminal; or takes over what another conmond had of both.
   *
   * @param released that is long done
   * @throws Error that names the socket and the reason
   */
  openConsole(directory: string, inherited: Map<number, number>, released: boolean): void {
    if (this.#terminal?.adopt(inherited, this.#journal.consolePath) !== false || released) return;
    this.#terminal.listen(directory, (path) => {
      this.#journal.consolePath = path;
    });
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
    this.#log.begin(descriptors, holdBackStderr);
    // One that nobody has asked for stays with those that are closed.
    const stdin = this.#input && takeDeposit(descriptors, SLOT.stdin);
    if (stdin !== undefined) this.#connectInput(stdin);
    else if (!this.#options.terminal) {
      // It was closed while another conmond served the session.
      this.#input?.close();
      this.#resumeInput();
    }
    for (const [name, slot] of [
      ["stdout", SLOT.stdout],
      ["stderr", SLOT.stderr],
    ] as const) {
      const fd = takeDeposit(descriptors, slot);
      if (fd === undefined) continue;
      const output = this.#openOutput(name, fd, slot);
      this.#outputs.push(output);
      if (!this.#log.behind) output.start();
    }
  }

  /** What came on stderr so far is the container's: logs it. */
  acceptStartupText(): void {
    this.#log.acceptStartupText();
  }

  /** The end of what the runtime wrote to stderr, everything in the pipe included. */
  takeStartupTail(): Buffer {
    for (const output of this.#outputs) if (output.name === "stderr") output.drain();
    return this.#log.takeStartupTail();
  }

  /** See {@link OutputLog.reopen}. */
  reopenLogs(): void {
    this.#log.reopen();
  }

  /**
   * Takes what is left in the pipes: the container process has ended. Resolves when all of it has been read, which
   * takes a while only where a log waits until it can be written.
   */
  async drain(): Promise<void> {
    this.#drainOutputs();
    while (this.#log.holds) {
      await this.#log.release();
      this.#drainOutputs();
    }
    this.#endOutputs();
  }

  /** The same for one whose shim has died: nobody waits for a log any more. */
  drainAtOnce(): void {
    this.#drainOutputs();
    this.#endOutputs();
  }

  /** See {@link OutputLog.sync}. */
  syncLogs(): Promise<void> {
    return this.#log.sync();
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
    return this.#attach?.finish(CLIENT_GRACE_MS) ?? Promise.resolve();
  }

  removeLink(): void {
    this.#attach?.removeLink();
  }

  /**
   * Reads no more, from the container and from clients, and waits until the logs have what was read before. Then
   * {@link depositUndelivered} is to be called and the session can be closed: another conmond goes on. What logs
   * do not have after so many milliseconds is lost, as when conmond is killed.
   */
  async settle(milliseconds: number): Promise<void> {
    this.#settling = true;
    this.#attach?.pauseInput();
    await this.#completeCharacters();
    await within(this.#log.settle(), milliseconds);
  }

  /**
   * Leaves with the shim what clients and the container's stdin have not taken yet, for the next conmond. Nothing
   * may be given to them after that, so `close()` is to follow at once.
   */
  depositUndelivered(): void {
    if (this.#attach === undefined || this.#clients === undefined) return;
    depositUndelivered(this.#around, this.#attach, this.#clients, this.#input?.pending);
  }

  /** Some logs hold the beginning of a character, whose rest is on its way: takes that, byte by byte. */
  async #completeCharacters(): Promise<void> {
    const completed = new Promise<void>((resolve) => {
      this.#onCompleted = resolve;
    });
    this.#readCutCharacters();
    await within(completed, CHARACTER_MS);
    this.#pauseOutput();
  }

  #readCutCharacters(): void {
    const log = this.#log;
    this.#pauseOutput();
    for (const output of this.#outputs) if (log.isCut(output.name)) output.start();
    if (log.isCut("stdout")) this.#terminal?.start();
    if (!log.isCut("stdout") && !log.isCut("stderr")) this.#onCompleted?.();
  }

  #pauseOutput(): void {
    this.#terminal?.pause();
    for (const output of this.#outputs) output.pause();
  }

  /** Closes what is left open, and leaves what has a name to the conmond that comes next. */
  close(): void {
    for (const output of this.#outputs) output.close();
    this.#fifos?.close();
    this.#terminal?.release();
    this.#input?.close();
    this.#attach?.close();
    this.#log.close();
  }

  #drainOutputs(): void {
    for (const output of this.#outputs) output.drain();
    this.#terminal?.drain();
  }

  #endOutputs(): void {
    for (const output of this.#outputs) output.close();
    this.#outputs = [];
    this.#terminal?.close();
    this.#log.endRate();
    this.#log.end("stdout", "stderr");
    this.#input?.close();
  }

  #openAttach(bundle: string, inherited: Map<number, number>): void {
    const undelivered = takeUndelivered(this.#around, inherited);
    if (undelivered.input !== undefined) this.#input?.write(undelivered.input);
    const clients = takeClients(inherited);
    const deposit = new ClientDeposit(this.#connection, clients);
    this.#clients = deposit;
    const settings = {
      bundle,
      onNaming: () => this.#connection.requireShim(),
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
        this.#log.noteClients(this.#attach?.clientFds.length ?? 0);
      },
    };
    const listener = takeDeposit(inherited, DEPOSIT.listener);
    if (listener === undefined) {
      this.#attach = AttachServer.open(settings);
      this.#connection.keep(DEPOSIT.listener, this.#attach.listenerFd);
    } else {
      this.#attach = AttachServer.adopt(listener, withBacklogs(clients, undelivered), settings);
      this.#log.noteClients(clients.size);
    }
    // Until there is a stdin, input is safest where it is: with the shim's copy of the client's socket.
    if (this.#input !== undefined) this.#attach.pauseInput();
  }

  #openFifos(bundle: string, inherited: Map<number, number>): void {
    const settings = {
      bundle,
      onNaming: () => this.#connection.requireShim(),
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
      onTerminal: (input) => this.#connectInput(input),
      ...this.#reading(),
      onEnd: (_stream, error) => {
        if (error)
          this.#messages.error(`Failed to read the container's terminal: ${error.message}`);
      },
      onFault: (error) => this.#messages.warn(error.message),
    });
  }

  #connectInput(fd: number): void {
    this.#input?.connect(fd);
    this.#resumeInput();
  }

  #resumeInput(): void {
    // At most one packet is held back, also where the container does not read for many conmonds.
    if (!this.#settling && this.#input?.pending === undefined) this.#attach?.resumeInput();
  }

  #makeInput(): StandardInput {
    const isTerminal = this.#options.terminal;
    const events = {
      onDrained: () => this.#resumeInput(),
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
      ...this.#reading(),
      onEnd: (stream, error) => {
        this.#log.end(stream);
        this.#connection.drop(slot);
        if (error)
          this.#messages.error(`Failed to read the container's ${stream}: ${error.message}`);
      },
    });
  }

  #reading(): Pick<OutputEvents, "read" | "onBusy"> {
    return {
      read: (stream, fd, most) => this.#read(stream, fd, most),
      onBusy: () => this.#log.makeRoom(),
    };
  }

  #read(stream: StreamName, fd: number, most: number): number {
    const count = this.#log.read(stream, fd, this.#settling ? 1 : most);
    if (this.#settling) this.#readCutCharacters();
    return count;
  }

  #readOn(): void {
    if (this.#settling) return;
    this.#terminal?.start();
    for (const output of this.#outputs) output.start();
  }
}
