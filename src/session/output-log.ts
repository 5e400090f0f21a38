/**
 * What the container writes, from a read to the logs and to those who look on.
 *
 * Here is what makes that nothing is lost when conmond is killed: what is read stays in the transit, and what a
 * runtime says at the start in a memory file, until all logs that can tell how far they have come have it. The
 * shim keeps both, and the journal says what the marks of the logs are about.
 */
import { RateGate } from "../logging/rate-gate.ts";
import type { Sink, StreamName } from "../logging/sink.ts";
import type { LogTime } from "../logging/timestamp.ts";
import type { ShimConnection } from "../shim/connection.ts";
import * as sys from "../sys/mod.ts";
import type { CheckedOptions } from "./checks.ts";
import { DEPOSIT, takeDeposit } from "./deposit.ts";
import type { Journal } from "./journal.ts";
import { KeptLog } from "./kept-log.ts";
import { openSinks, sinksOpened } from "./open-sinks.ts";
import { OutputCounters } from "./output-counters.ts";
import type { OwnMessages } from "./own-messages.ts";
import type { Surroundings } from "./stage.ts";
import { StartupText } from "./startup-text.ts";
import { Transit } from "./transit.ts";

/** What an {@link OutputLog} asks of the one that reads for it. */
export interface OutputLogEvents {
  /** Something is about to be logged: who has come until now is to see it. */
  onLogging(): void;
  /** It has been logged: what a client has seen is on record. `data` is only valid during the call. */
  onLogged(stream: StreamName, data: Uint8Array): void;
  /** Whether anybody is to be told by {@link onLogged}. */
  isWatched(): boolean;
  /** A log is slower than the container: nothing should be read for the time being. */
  onBehind(): void;
  /** All have caught up, or are not waited for any longer. */
  onRelief(): void;
}

/** Owns the logs, the transit and the text of the start. */
export class OutputLog {
  readonly #options: CheckedOptions;
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  readonly #journal: Journal;
  readonly #events: OutputLogEvents;
  readonly #sinks: Sink[];
  /** There if the rate is limited. */
  readonly #rate: RateGate | undefined;
  readonly #counters: OutputCounters;
  readonly #clock: LogTime;
  #transit: Transit | undefined;
  /** Held back, while it may turn out to be the reason for which there is no container. */
  #startup: StartupText | undefined;
  /** The text of the start, while a log waits until it can be written. */
  #logged: StartupText | undefined;
  /** The text of the start is the container's, and comes when the piece that stays in the transit is logged. */
  #startupIsDue = false;
  #onSettled: (() => void) | undefined;

  /**
   * @param inherited what a hello brought, by slot; what the logs need is taken out of it
   * @throws ConmonError when a log cannot be opened, as long as the caller can still be told
   */
  constructor(
    { options, connection, messages, zone, released }: Surroundings,
    journal: Journal,
    inherited: Map<number, number>,
    events: OutputLogEvents,
  ) {
    this.#options = options;
    this.#connection = connection;
    this.#messages = messages;
    this.#journal = journal;
    this.#events = events;
    this.#clock = { seconds: 0, nanoseconds: 0, zone };
    this.#sinks = openSinks(options, {
      messages,
      onRelief: () => this.#onRelief(),
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
  opened(): Promise<void> | undefined {
    return sinksOpened(this.#sinks);
  }

  /**
   * Gets ready for {@link read}: logs first what another conmond has not, or not known to have logged.
   *
   * @param descriptors what a hello brought, by slot; what is used is taken out of it
   * @param holdBackStderr the runtime still runs, and what comes on stderr is its own
   */
  begin(descriptors: Map<number, number>, holdBackStderr: boolean): void {
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
    this.#waitIfBehind();
  }

  /**
   * Reads once from `fd`, at most so many bytes, and logs it.
   *
   * The order is what matters: if we are killed, the next conmond finds out how far this has come.
   *
   * @returns the bytes read; 0 at the end; -1 when there is nothing just now, or a log is waited for
   * @throws a system error
   */
  read(stream: StreamName, fd: number, most: number): number {
    if (this.#transit === undefined) throw new Error("there is no transit yet");
    // The marks are about what is held.
    if (this.holds) return -1;
    this.#journal.notePiece(stream);
    if (stream === "stderr" && this.#startup !== undefined) {
      this.#journal.noteStartupSize(this.#startup.size);
    }
    this.#counters.begin();
    for (const sink of this.#sinks) sink.begin?.();
    let isFirst = true;
    const meet = (): void => {
      if (isFirst) this.#meet();
      isFirst = false;
    };
    const count = this.#transit.read(
      fd,
      most,
      (data) => {
        meet();
        this.#onOutput(stream, data);
        return this.#isLogged();
      },
      (pipe, count) => {
        meet();
        return this.#relay(stream, pipe, count);
      },
    );
    // Not before the piece has been thrown away: a successor logs what it finds of it, whatever the rate.
    this.#rate?.settle();
    return count;
  }

  /** The container writes faster than we read. */
  makeRoom(): void {
    this.#transit?.enlarge();
  }

  /** A log is slower than the container: nothing should be read for the time being. */
  get behind(): boolean {
    if (this.#rate?.behind === true) return true;
    for (const sink of this.#sinks) if (sink.behind) return true;
    return false;
  }

  /** Something stays where a successor finds it, for a log that cannot be written yet; nothing can be read. */
  get holds(): boolean {
    return this.#transit?.holds === true || this.#logged !== undefined;
  }

  /** Whether a log holds the beginning of a character of this stream. */
  isCut(stream: StreamName): boolean {
    return this.#sinks.some((sink) => sink.isCut?.(stream));
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

  /** The end of what the runtime wrote to stderr. It is no output, and is not logged. */
  takeStartupTail(): Buffer {
    const tail = this.#startup?.tail ?? Buffer.alloc(0);
    this.#startup?.close();
    this.#startup = undefined;
    return tail;
  }

  /** Makes fresh log files. A log that cannot be made anew goes on in the old file. */
  reopen(): void {
    for (const sink of this.#sinks) {
      try {
        sink.reopen();
      } catch (error) {
        this.#messages.error(`Failed to reopen the ${sink.name} log: ${(error as Error).message}`);
      }
    }
  }

  /** Has so many clients counted. */
  noteClients(count: number): void {
    this.#counters.noteClients(count);
  }

  /** Gives a log that is waited for its last chance. When this resolves, nothing is held any more. */
  async release(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => sink.resume && sink.flush()));
    this.#letGo();
  }

  /** There is no more output of a stream, or of both. */
  end(...streams: StreamName[]): void {
    for (const sink of this.#sinks) for (const stream of streams) sink.end(stream);
  }

  /** No more output comes: what the limits of the rate hold is logged. */
  endRate(): void {
    this.#rate?.finish();
  }

  /**
   * Waits until the logs have all that was read, and brings them to stable storage, unless the caller
   * does not want that.
   */
  async sync(): Promise<void> {
    await Promise.all(this.#sinks.map((sink) => sink.flush()));
    if (!this.#options.logs.sync) return;
    for (const sink of this.#sinks) {
      await sink.sync().catch((error: Error) => {
        this.#messages.error(`Failed to sync the ${sink.name} log: ${error.message}`);
      });
    }
  }

  /** Waits until the logs have all that was read, or it is where another conmond finds it. */
  async settle(): Promise<void> {
    // A log that can be waited for loses nothing; a flush alone gives up after a while.
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve;
      this.#onRelief();
    });
    // An unfinished line is sent as a piece of one by those that hold it. Files have it already.
    for (const sink of this.#sinks) {
      if (sink.name !== "plugin" && sink.name !== "journald") continue;
      sink.end("stdout");
      sink.end("stderr");
    }
    await Promise.all(this.#sinks.map((sink) => this.#isKept(sink) || sink.flush()));
  }

  /** Closes everything. What is held stays with the shim. */
  close(): void {
    this.#startup?.close();
    this.#logged?.close();
    this.#transit?.close();
    this.#rate?.finish();
    // Before the logs give up what they have not written: it stays with the shim.
    this.#counters.write();
    for (const sink of this.#sinks) sink.close();
  }

  // ---- what another conmond has left ----

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

  /** Of this another conmond may have logged all, a part or nothing. */
  #goOn(stream: StreamName, data: Uint8Array): void {
    if (stream === "stderr" && this.#startup !== undefined) {
      this.#meet();
      this.#onOutput(stream, data);
      return;
    }
    if (this.#journal.waiting) {
      // All others have had it.
      for (const sink of this.#sinks) sink.resume?.(stream, data, this.#now());
      return;
    }
    this.#events.onLogging();
    const logged = this.#sinks.map((sink) => this.#resumeSink(sink, stream, data));
    const inAll = logged.length === 0 ? 0 : Math.min(...logged);
    // What is in every log has most likely been sent to the clients as well; the text of the start as a whole.
    const sent = this.#journal.piece === "startup" && inAll < data.length ? 0 : inAll;
    if (sent < data.length) this.#events.onLogged(stream, data.subarray(sent));
  }

  #resumeSink(sink: Sink, stream: StreamName, data: Uint8Array): number {
    if (sink.resume !== undefined) return sink.resume(stream, data, this.#now());
    sink.write(stream, data, this.#now());
    return 0;
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
      this.#meet();
      this.#log("stderr", held);
    }
  }

  // ---- what comes now ----

  /** Something has been read, and is going to be logged piece by piece: its time and its clients are the same. */
  #meet(): void {
    this.#events.onLogging();
    sys.readWallClock(this.#clock);
  }

  /** To be called after {@link #meet}. */
  #onOutput(stream: StreamName, data: Uint8Array): void {
    this.#counters.add(data.length);
    if (stream === "stderr" && this.#startup !== undefined) {
      if (this.#startup.add(data)) return;
      for (const sink of this.#sinks) {
        sink.write("stderr", this.#startup.held(), this.#clock);
        // What was held back is no part of the piece that the marks are about.
        sink.begin?.();
      }
      this.#startup.drop();
    }
    this.#log(stream, data);
  }

  /** Leaves it to the log to read, where nobody else needs what was read. Returns how many bytes it has logged. */
  #relay(stream: StreamName, pipe: number, count: number): number {
    const [sink, another] = this.#sinks;
    const isOnlyOne = another === undefined && this.#rate === undefined;
    const isHeldBack = stream === "stderr" && this.#startup !== undefined;
    if (!isOnlyOne || isHeldBack || this.#events.isWatched()) return 0;
    const bytes = sink?.relay?.(stream, pipe, count, this.#clock) ?? 0;
    this.#counters.add(bytes);
    return bytes;
  }

  #log(stream: StreamName, data: Uint8Array): void {
    const at = this.#clock;
    if (this.#rate === undefined) this.#write(stream, data, at);
    else this.#rate.write(stream, data, at);
    this.#events.onLogged(stream, data);
    this.#waitIfBehind();
  }

  #write(stream: StreamName, data: Uint8Array, at: LogTime): void {
    for (const sink of this.#sinks) sink.write(stream, data, at);
  }

  #now(): LogTime {
    sys.readWallClock(this.#clock);
    return this.#clock;
  }

  // ---- logs that are waited for ----

  #waitIfBehind(): void {
    if (this.behind) this.#events.onBehind();
  }

  /** What it has not written stays with the shim: another conmond has it written. */
  #isKept(sink: Sink): boolean {
    return sink.behind && sink.resume !== undefined;
  }

  /** A log that can tell how far it has come has not come to the end of what was read. */
  #isUnwritten(): boolean {
    for (const sink of this.#sinks) if (this.#isKept(sink)) return true;
    return false;
  }

  /** Whether the piece under way can be thrown away, but for what the other sinks keep for themselves. */
  #isLogged(): boolean {
    if (!this.#isUnwritten()) return true;
    this.#journal.noteWaiting(true);
    return false;
  }

  /** A log has caught up, or is not waited for any longer. */
  #onRelief(): void {
    if (!this.#isUnwritten()) this.#letGo();
    if (!this.#sinks.some((sink) => sink.behind && !this.#isKept(sink))) this.#onSettled?.();
    if (!this.behind) this.#events.onRelief();
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

  #makeRate(): RateGate | undefined {
    const { bytesPerSecond, linesPerSecond, onLimit } = this.#options.logs.rate;
    if (bytesPerSecond === undefined && linesPerSecond === undefined) return undefined;
    return new RateGate({
      ...{ bytesPerSecond, linesPerSecond, onLimit },
      log: (stream, data, at) => this.#write(stream, data, at),
      onRelief: () => this.#onRelief(),
      wallClock: () => this.#now(),
      before: this.#journal.rateLoss,
      record: (loss) => this.#journal.recordRateLoss(loss),
    });
  }
}
