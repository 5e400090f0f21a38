/**
 * The container's streams: what it writes goes to the logs and then to the attached
 * clients, what clients send goes to its stdin.
 */
import { AttachServer, ControlFifos } from "../attach/mod.ts";
import { RateGate } from "../logging/rate-gate.ts";
import type { Sink, StreamName } from "../logging/sink.ts";
import type { LogTime } from "../logging/timestamp.ts";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import type { CheckedOptions } from "./checks.ts";
import { ContainerTerminal } from "./container-terminal.ts";
import { CLIENTS_MAX, ClientDeposit, DEPOSIT, takeClients, takeDeposit } from "./deposit.ts";
import { StandardInput } from "./input.ts";
import type { Journal } from "./journal.ts";
import { KeptLog } from "./kept-log.ts";
import { CLIENT_GRACE_MS } from "./last-clients.ts";
import { openSinks, sinksOpened } from "./open-sinks.ts";
import type { Output, OutputEvents } from "./output.ts";
import { OutputCounters } from "./output-counters.ts";
import { OutputStream } from "./output-stream.ts";
import type { OwnMessages } from "./own-messages.ts";
import { within } from "./patience.ts";
import type { Surroundings } from "./stage.ts";
import { StartupText } from "./startup-text.ts";
import { Transit } from "./transit.ts";
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
  readonly #sinks: Sink[];
  /** There if the rate is limited. */
  readonly #rate: RateGate | undefined;
  readonly #counters: OutputCounters;
  readonly #clock: LogTime;
  readonly #input: StandardInput | undefined;
  readonly #terminal: ContainerTerminal | undefined;
  #outputs: Output[] = [];
  #attach: AttachServer | undefined;
  #clients: ClientDeposit | undefined;
  #fifos: ControlFifos | undefined;
  #startup: StartupText | undefined;
  #transit: Transit | undefined;
  /** The text of the start, while a log waits until it can be written. */
  #logged: StartupText | undefined;
  /** The text of the start is the container's, and comes when the piece that stays in the transit is logged. */
  #startupIsDue = false;
  /** Nothing is read any more: see {@link settle}. */
  #settling = false;
  #onRelieved: (() => void) | undefined;
  #onCompleted: (() => void) | undefined;

  /**
   * @param inherited what a hello brought, by slot; what the logs need is taken out of it
   * @throws ConmonError when a log cannot be opened, as long as the caller can still be told
   */
  constructor(around: Surroundings, journal: Journal, inherited: Map<number, number>) {
    const { options, connection, messages, zone, released } = around;
    this.#clock = { seconds: 0, nanoseconds: 0, zone };
    this.#around = around;
    this.#options = options;
    this.#journal = journal;
    this.#connection = connection;
    this.#messages = messages;
    if (options.terminal) this.#terminal = this.#makeTerminal();
    if (options.terminal || options.stdin) this.#input = this.#makeInput();
    this.#sinks = openSinks(options, {
      messages,
      onRelief: () => this.#readOn(),
      keeperOf: (log) => KeptLog.of(log, journal, connection, inherited),
      zone,
      goOnWithout: released,
    });
    this.#rate = this.#makeRate();
    this.#counters = new OutputCounters(journal, this.#sinks, this.#rate);
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
    const transit = takeDeposit(descriptors, DEPOSIT.transit);
    const startup = takeDeposit(descriptors, DEPOSIT.startup);
    if (this.#journal.piece === "stdout") {
      // The marks are about what is in transit, until something else is logged.
      this.#openTransit(transit);
      this.#openStartup(startup, holdBackStderr, transit);
    } else {
      this.#openStartup(startup, holdBackStderr, transit);
      this.#openTransit(transit);
    }
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
      output.start();
    }
    this.#waitIfBehind();
  }

  /** What came on stderr so far is the container's: logs it. */
  acceptStartupText(): void {
    if (this.#transit?.holds === true) {
      this.#startupIsDue = true;
      return;
    }
    const startup = this.#startup;
    this.#startup = undefined;
    if (startup === undefined) return;
    this.#logHeld(startup);
    this.#logged = startup;
    if (this.#isLogged()) this.#forgetLogged();
  }

  /** The end of what the runtime wrote to stderr, everything in the pipe included. */
  takeStartupTail(): Buffer {
    for (const output of this.#outputs) if (output.name === "stderr") output.drain();
    const tail = this.#startup?.tail ?? Buffer.alloc(0);
    this.#startup?.close();
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

  /**
   * Takes what is left in the pipes: the container process has ended. Resolves when all of it has been read, which
   * takes a while only where a log waits until it can be written.
   */
  async drain(): Promise<void> {
    this.#drainOutputs();
    while (this.#holds()) {
      await Promise.all(this.#sinks.map((sink) => sink.resume && sink.flush()));
      this.#letGo();
      this.#drainOutputs();
    }
    this.#endOutputs();
  }

  /** The same for one whose shim has died: nobody waits for a log any more. */
  drainAtOnce(): void {
    this.#drainOutputs();
    this.#endOutputs();
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
    await within(this.#settleLogs(), milliseconds);
  }

  /**
   * Leaves with the shim what clients and the container's stdin have not taken yet, for the next conmond. Nothing
   * may be given to them after that, so `close()` is to follow at once.
   */
  depositUndelivered(): void {
    if (this.#attach === undefined || this.#clients === undefined) return;
    depositUndelivered(this.#around, this.#attach, this.#clients, this.#input?.pending);
  }

  async #settleLogs(): Promise<void> {
    // A log that can be waited for loses nothing; a flush alone gives up after a while.
    await new Promise<void>((resolve) => {
      this.#onRelieved = resolve;
      this.#readOn();
    });
    // An unfinished line is sent as a piece of one by those that hold it. Files have it already.
    for (const sink of this.#sinks) {
      if (sink.name !== "plugin" && sink.name !== "journald") continue;
      sink.end("stdout");
      sink.end("stderr");
    }
    await Promise.all(this.#sinks.map((sink) => sink.flush()));
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
    const isCut = (stream: StreamName) => this.#sinks.some((sink) => sink.isCut?.(stream));
    this.#pauseOutput();
    for (const output of this.#outputs) if (isCut(output.name)) output.start();
    if (isCut("stdout")) this.#terminal?.start();
    if (!isCut("stdout") && !isCut("stderr")) this.#onCompleted?.();
  }

  #pauseOutput(): void {
    this.#terminal?.pause();
    for (const output of this.#outputs) output.pause();
  }

  /** Closes what is left open, and leaves what has a name to the conmond that comes next. */
  close(): void {
    for (const output of this.#outputs) output.close();
    this.#startup?.close();
    this.#logged?.close();
    this.#fifos?.close();
    this.#terminal?.release();
    this.#input?.close();
    this.#attach?.close();
    this.#transit?.close();
    this.#rate?.finish();
    for (const sink of this.#sinks) sink.close();
  }

  /** What is held back is the shim's as well, so that it survives us. */
  #openStartup(
    inherited: number | undefined,
    holdBackStderr: boolean,
    transit: number | undefined,
  ): void {
    if (inherited !== undefined) {
      // What is still in transit comes again: whether it is here already is not known.
      const again =
        this.#journal.piece === "stderr" && transit !== undefined && sys.bytesReadable(transit) > 0;
      const size = again ? this.#journal.startupSize : Number.POSITIVE_INFINITY;
      this.#startup = StartupText.adopt(inherited, size);
    } else if (holdBackStderr) {
      this.#startup = StartupText.create((fd) => this.#connection.keep(DEPOSIT.startup, fd));
    }
    if (!holdBackStderr) this.acceptStartupText();
  }

  #drainOutputs(): void {
    for (const output of this.#outputs) output.drain();
    this.#terminal?.drain();
  }

  #endOutputs(): void {
    for (const output of this.#outputs) output.close();
    this.#outputs = [];
    this.#terminal?.close();
    this.#rate?.finish();
    for (const sink of this.#sinks) {
      sink.end("stdout");
      sink.end("stderr");
    }
    this.#input?.close();
  }

  /** Logs what another conmond has not, or not known to have logged, and goes on. */
  #openTransit(inherited: number | undefined): void {
    if (inherited === undefined) {
      this.#transit = Transit.create();
      this.#connection.keep(DEPOSIT.transit, this.#transit.fd);
      return;
    }
    this.#transit = Transit.adopt(inherited);
    const stream = this.#journal.piece === "stdout" ? "stdout" : "stderr";
    this.#transit.resume((data) => {
      this.#goOn(stream, data);
      return this.#isLogged();
    });
    if (!this.#isUnwritten()) this.#letGo();
  }

  #openAttach(bundle: string, inherited: Map<number, number>): void {
    const undelivered = takeUndelivered(this.#around, inherited);
    if (undelivered.input !== undefined) this.#input?.write(undelivered.input);
    const clients = takeClients(inherited);
    const deposit = new ClientDeposit(this.#connection, clients);
    this.#clients = deposit;
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
        this.#counters.write(this.#attach?.clientFds.length ?? 0);
      },
    };
    const listener = inherited.get(DEPOSIT.listener);
    inherited.delete(DEPOSIT.listener);
    if (listener === undefined) {
      this.#attach = AttachServer.open(settings);
      this.#connection.keep(DEPOSIT.listener, this.#attach.listenerFd);
    } else {
      this.#attach = AttachServer.adopt(listener, withBacklogs(clients, undelivered), settings);
      this.#counters.write(clients.size);
    }
    // Until there is a stdin, input is safest where it is: with the shim's copy of the client's socket.
    if (this.#input !== undefined) this.#attach.pauseInput();
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
        for (const sink of this.#sinks) sink.end(stream);
        this.#connection.drop(slot);
        if (error)
          this.#messages.error(`Failed to read the container's ${stream}: ${error.message}`);
      },
    });
  }

  #reading(): Pick<OutputEvents, "read" | "onBusy"> {
    return {
      read: (stream, fd, most) => this.#read(stream, fd, most),
      onBusy: () => this.#transit?.enlarge(),
    };
  }

  /** The order is what matters: if we are killed, the next conmond finds out how far this has come. */
  #read(stream: StreamName, fd: number, most: number): number {
    if (this.#transit === undefined) throw new Error("there is no transit yet");
    // The marks are about what is held.
    if (this.#holds()) return -1;
    this.#journal.notePiece(stream);
    if (stream === "stderr" && this.#startup !== undefined) {
      this.#journal.noteStartupSize(this.#startup.size);
    }
    this.#counters.begin();
    for (const sink of this.#sinks) sink.begin?.();
    const size = this.#settling ? 1 : most;
    const count = this.#transit.read(fd, size, (data) => {
      this.#onOutput(stream, data);
      return this.#isLogged();
    });
    if (this.#settling) this.#readCutCharacters();
    return count;
  }

  #onOutput(stream: StreamName, data: Uint8Array): void {
    this.#counters.add(data.length);
    if (stream === "stderr" && this.#startup !== undefined) {
      if (this.#startup.add(data)) return;
      for (const sink of this.#sinks) {
        sink.write("stderr", this.#startup.held(), this.#now());
        // What was held back is no part of the piece that the marks are about.
        sink.begin?.();
      }
      this.#startup.drop();
    }
    this.#log(stream, data);
  }

  /** Of this another conmond may have logged all, a part or nothing. */
  #goOn(stream: StreamName, data: Uint8Array): void {
    if (stream === "stderr" && this.#startup !== undefined) {
      this.#onOutput(stream, data);
      return;
    }
    if (this.#journal.waiting) {
      // All others have had it.
      for (const sink of this.#sinks) sink.resume?.(stream, data, this.#now());
      return;
    }
    this.#attach?.acceptWaiting();
    const missing = this.#sinks.map((sink) => this.#resumeSink(sink, stream, data));
    // What is in every log has most likely been sent to the clients as well.
    if (missing.length === 0 || missing.includes(true)) this.#attach?.broadcast(stream, data);
  }

  #resumeSink(sink: Sink, stream: StreamName, data: Uint8Array): boolean {
    if (sink.resume !== undefined) return sink.resume(stream, data, this.#now());
    sink.write(stream, data, this.#now());
    return true;
  }

  #logHeld(startup: StartupText): void {
    const held = startup.held();
    if (held.length === 0) return;
    if (this.#journal.piece === "startup") {
      // The conmond before had begun to.
      this.#goOn("stderr", held);
    } else {
      for (const sink of this.#sinks) sink.begin?.();
      // Not before: it says that the marks are about this.
      this.#journal.notePiece("startup");
      this.#log("stderr", held);
    }
  }

  #now(): LogTime {
    sys.readWallClock(this.#clock);
    return this.#clock;
  }

  /** The logs come first: what a client has seen is on record. */
  #log(stream: StreamName, data: Uint8Array): void {
    this.#attach?.acceptWaiting();
    const now = this.#now();
    if (this.#rate === undefined) this.#write(stream, data, now);
    else this.#rate.write(stream, data, now);
    this.#attach?.broadcast(stream, data);
    this.#waitIfBehind();
  }

  #write(stream: StreamName, data: Uint8Array, at: LogTime): void {
    for (const sink of this.#sinks) sink.write(stream, data, at);
  }

  #waitIfBehind(): void {
    if (this.#isBehind()) this.#pauseOutput();
  }

  /** Whether the piece under way can be thrown away, but for what the other sinks keep for themselves. */
  #isLogged(): boolean {
    if (!this.#isUnwritten()) return true;
    this.#journal.noteWaiting(true);
    return false;
  }

  /** A log that can tell how far it has come has not come to the end of what was read. */
  #isUnwritten(): boolean {
    for (const sink of this.#sinks) if (sink.behind && sink.resume !== undefined) return true;
    return false;
  }

  /** Something stays where a successor finds it, for a log that cannot be written yet. */
  #holds(): boolean {
    return this.#transit?.holds === true || this.#logged !== undefined;
  }

  /** What was kept for a log has been written, or was given up. */
  #letGo(): void {
    this.#transit?.release();
    this.#forgetLogged();
    this.#journal.noteWaiting(false);
    if (!this.#startupIsDue) return;
    this.#startupIsDue = false;
    this.acceptStartupText();
  }

  #forgetLogged(): void {
    if (this.#logged === undefined) return;
    this.#logged.drop();
    if (this.#logged.fd !== undefined) this.#connection.drop(DEPOSIT.startup);
    this.#logged.close();
    this.#logged = undefined;
  }

  #isBehind(): boolean {
    if (this.#rate?.behind === true) return true;
    for (const sink of this.#sinks) if (sink.behind) return true;
    return false;
  }

  /** Goes on when the slowest log has caught up, or is not waited for any longer. */
  #readOn(): void {
    if (!this.#isUnwritten()) this.#letGo();
    if (this.#settling) {
      if (!this.#sinks.some((sink) => sink.behind)) this.#onRelieved?.();
      return;
    }
    if (this.#isBehind()) return;
    this.#terminal?.start();
    for (const output of this.#outputs) output.start();
  }

  #makeRate(): RateGate | undefined {
    const { bytesPerSecond, linesPerSecond, onLimit } = this.#options.logs.rate;
    if (bytesPerSecond === undefined && linesPerSecond === undefined) return undefined;
    return new RateGate({
      ...{ bytesPerSecond, linesPerSecond, onLimit },
      log: (stream, data, at) => this.#write(stream, data, at),
      onRelief: () => this.#readOn(),
      wallClock: () => {
        sys.readWallClock(this.#clock);
        return this.#clock;
      },
    });
  }
}
