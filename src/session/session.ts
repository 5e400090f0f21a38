/**
 * One container under supervision, from the shim's hello to its leave.
 *
 * Everything is an event: the shim tells of processes and signals. The stages of a session's life are
 * objects of their own, and this one knows which of them it is in: before the caller is let go
 * (beginning.ts), while the runtime runs (start.ts), when the container has ended (ending.ts), and when
 * that has been told (leaving.ts). What the container needs is opened by equipment.ts.
 */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import type { ShimConnection, ShimEvents } from "../shim/connection.ts";
import type { Context } from "../shim/context.ts";
import {
  exitStatus,
  type Hello,
  type Ending as ProcessEnding,
  REQUEST,
  type Role,
} from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import { TimeZone } from "../time-zone/time-zone.ts";
import { Alarm, monotonicSeconds } from "./alarm.ts";
import { Beginning } from "./beginning.ts";
import { Caller } from "./caller.ts";
import type { CheckedOptions } from "./checks.ts";
import { Containment } from "./containment.ts";
import { DEPOSIT, faultOfDeposits, takeDeposit } from "./deposit.ts";
import { Ending } from "./ending.ts";
import { Equipment } from "./equipment.ts";
import { ConmonError, isOutOfDescriptors } from "./errors.ts";
import { HeldSignal } from "./held-signal.ts";
import { Journal } from "./journal.ts";
import { LastClients } from "./last-clients.ts";
import { Leaving } from "./leaving.ts";
import type { OwnMessages } from "./own-messages.ts";
import { readRequest, type Server } from "./request.ts";
import { isAlive, isElsewhere } from "./shim-process.ts";
import type { Surroundings } from "./stage.ts";
import { Start } from "./start.ts";

/**
 * - `checking`: the options; nothing has been made yet
 * - `awaiting`: the caller attaches before the runtime is started
 * - `starting`: the runtime runs
 * - `running`: the container process is known
 * - `ending`: it has ended (or was never made) and this is being told
 * - `leaving`: only the exit command and the shim's leave are outstanding
 */
type Phase = "checking" | "awaiting" | "starting" | "running" | "ending" | "leaving";

/** What a session needs from the conmond that it is part of. */
export interface SessionSettings extends Server {
  connection: ShimConnection;
  messages: OwnMessages;
  /** The session is over and holds nothing any more. */
  onClosed(session: Session): void;
}

/** What a hello brings, and what is known from then on. */
interface Arrival {
  readonly hello: Hello;
  readonly context: Context;
  /** By slot; what somebody takes is taken out of it, the rest is closed. */
  readonly descriptors: Map<number, number>;
  readonly journal: Journal;
  readonly caller: Caller;
}

/** Owns everything that conmond holds for one container; see the top of the file. */
export class Session implements ShimEvents {
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  readonly #settings: SessionSettings;
  readonly #containment = new Containment((error) => this.#broken(error));
  #phase: Phase = "checking";
  #caller: Caller | undefined;
  #journal: Journal | undefined;
  #around: Surroundings | undefined;
  #equipment: Equipment | undefined;
  #beginning: Beginning | undefined;
  #start: Start | undefined;
  #timeLimit: Alarm | undefined;
  #ending: Ending | undefined;
  /** There if another conmond had come to the end before: then there is no equipment. */
  #lastClients: LastClients | undefined;
  #leaving: Leaving | undefined;
  readonly #heldSignal: HeldSignal;
  /** Of the shim; known from its hello on. */
  #shimPid = 0;
  #closed = false;
  /** When that is to be done at the latest, by `performance.now()`. */
  #handOnBy = 0;
  /** The session is to go to another conmond: `wanted` until it can, `under-way` once it is being emptied. */
  #handingOn: "no" | "wanted" | "under-way" = "no";

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#connection = settings.connection;
    this.#messages = settings.messages;
    this.#heldSignal = new HeldSignal(settings.connection);
  }

  get containerId(): string | undefined {
    return this.#around?.options.cid;
  }

  // ---- the hello: options, and everything that can fail before the caller is let go ----

  onHello(hello: Hello, context: Context, descriptors: Map<number, number>): void {
    this.#containment.guard(() => {
      const fault = faultOfDeposits(descriptors);
      try {
        if (fault === undefined) this.#arrive(hello, context, descriptors);
        else this.#turnAway(fault);
      } finally {
        for (const fd of descriptors.values()) sys.close(fd);
      }
    });
  }

  #arrive(hello: Hello, context: Context, descriptors: Map<number, number>): void {
    const journal = this.#openJournal(context, descriptors);
    this.#journal = journal;
    // The first word did not reach it: another conmond goes on, and nothing of the session may be touched here.
    if (this.#connection.closed) return;
    const caller = new Caller(this.#connection, this.#messages, descriptors);
    this.#caller = caller;
    this.#heldSignal.hold(hello.unheededSignal);
    this.#shimPid = hello.shimPid;
    const { workingDirectory } = journal;
    const known = workingDirectory === "" ? context : { ...context, workingDirectory };
    const arrival = { hello, context: known, descriptors, journal, caller };
    if (hello.released) {
      this.#takeOver(arrival);
      this.#handOnIfWanted();
    } else {
      this.#begin(arrival);
    }
  }

  /**
   * It is deposited before anything else: what is found of us must not be without it. One that was taken over is
   * as well, since the shim waits for a word, and there may be no other for a long time.
   */
  #openJournal({ workingDirectory }: Context, descriptors: Map<number, number>): Journal {
    const inherited = takeDeposit(descriptors, DEPOSIT.journal);
    const journal = inherited === undefined ? Journal.create() : Journal.adopt(inherited);
    if (inherited === undefined) journal.workingDirectory = workingDirectory;
    this.#connection.keep(DEPOSIT.journal, journal.fd);
    return journal;
  }

  #begin(arrival: Arrival): void {
    let around: Surroundings | undefined;
    try {
      around = this.#acquaint(arrival);
    } catch (error) {
      this.#refuse(error as Error);
      return;
    }
    if (around === undefined) return;
    this.#beginning = new Beginning(around, this.#heldSignal, {
      equip: (known) => this.#equip(known, arrival),
      onBegun: (left) => this.#beginStart(left),
      onFailed: (error) => this.#refuse(error),
    });
    this.#beginning.begin(arrival.descriptors);
  }

  /** Undefined: `--help` or `--version` has been answered, or the shim turned away. */
  #acquaint({ hello, context, caller }: Arrival): Surroundings | undefined {
    const request = readRequest(hello, context, this.#settings);
    if (request.kind === "question") {
      this.#connection.tell("stdout", request.answer);
      this.#leave(0);
      return undefined;
    }
    if (request.kind === "not-for-us") {
      this.#turnAway(request.reason);
      return undefined;
    }
    const { options } = request;
    const { logLevel: level, syslog, cid: containerId, warnings } = options;
    this.#messages.configure({ level, syslog, containerId });
    for (const warning of warnings) this.#messages.warn(warning);
    this.#around = {
      ...{ options, caller, containment: this.#containment },
      ...{ released: hello.released, shimPid: hello.shimPid },
      // A clock that is set back within a day finds its time as well.
      zone: TimeZone.of(context.environment, Date.now() / 1000 - 86_400),
      ...{ connection: this.#connection, messages: this.#messages },
    };
    return this.#around;
  }

  /** The shim starts a private conmond. */
  #turnAway(reason: string): void {
    this.#messages.info(`Refused a shim: ${reason}`);
    this.#connection.refuse(reason);
    this.#close();
  }

  /** What fails here the caller can still read on its stderr. */
  #equip(around: Surroundings, { context, descriptors, journal }: Arrival): Equipment {
    const temporary = context.environment.get("TMPDIR") || "/tmp";
    const open = (): Equipment => Equipment.open(around, journal, temporary, descriptors);
    const equipment = around.connection.keepTogether(open);
    this.#equipment = equipment;
    this.#ending = this.#makeEnding(around, journal);
    this.#start = new Start(around, equipment, journal, {
      onSpawning: () => {
        this.#phase = "starting";
      },
      onRunning: (pid) => this.#running(around, journal, pid),
      onFailed: (reason) => this.#startFailed(equipment, reason),
    });
    return equipment;
  }

  /**
   * Nothing has been started: the caller gets the reason on stderr and on the sync pipe, and status 1. Where it is only
   * here that descriptors are lacking, because others have taken them at the same time, a private conmond starts it.
   */
  #refuse(error: Error): void {
    if (this.#settings.shared && isOutOfDescriptors(error)) {
      this.#turnAway(error.message);
      return;
    }
    const known = error instanceof ConmonError;
    const reason = known ? error.reason : error.message;
    this.#messages.fatal(known ? error.message : `[conmon:e]: ${reason}`);
    const around = this.#around;
    const told = around?.caller.tellNotStarted(around.options, reason) ?? Promise.resolve();
    if (!isElsewhere(this.#connection, this.#shimPid)) this.#equipment?.detach();
    this.#containment.after(told, () => this.#leave(1));
  }

  // ---- the start ----

  #beginStart(descriptors: Map<number, number>): void {
    this.#phase = "awaiting";
    this.#start?.begin(descriptors);
    this.#handOnIfWanted();
  }

  onSpawned(role: Role, _pid: number, descriptors: Map<number, number>): void {
    this.#containment.guard(() => {
      if (role === "runtime") {
        this.#start?.onSpawned(descriptors);
        // It came while the request to start was on its way.
        this.#heldSignal.passToRuntime();
      }
    });
    for (const fd of descriptors.values()) sys.close(fd);
  }

  onFailed(request: number, errno: number, text: string): void {
    this.#containment.guard(() => {
      const reason = `${text} failed: ${getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`}`;
      if (request === REQUEST.spawn && this.#phase === "starting")
        this.#startFailed(this.#equipment, reason);
      else if (request === REQUEST.spawn) this.#leaving?.onExitCommandEnded(127, reason);
      else if (request === REQUEST.watch) this.#startFailed(this.#equipment, reason);
      else this.#messages.warn(reason);
    });
  }

  onExited(role: Role, _pid: number, ending: ProcessEnding): void {
    this.#containment.guard(() => {
      if (role === "container") this.#end(exitStatus(ending));
      else if (role === "exit-command") this.#leaving?.onExitCommandEnded(exitStatus(ending));
      else if (this.#phase === "starting") this.#start?.onRuntimeEnded(ending);
    });
  }

  #running({ options, caller }: Surroundings, journal: Journal, pid: number): void {
    this.#phase = "running";
    this.#heldSignal.passToContainer();
    this.#limitTime(options, journal);
    caller.tellStarted(options, pid);
  }

  #startFailed(equipment: Equipment | undefined, reason: string): void {
    if (equipment === undefined || this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    this.#start?.close();
    this.#ending?.reportFailure(equipment, reason);
  }

  // ---- while it runs ----

  /** Sets the timer of `--timeout`, which began when the container did, whoever served it then. */
  #limitTime({ timeoutSeconds }: CheckedOptions, journal: Journal): void {
    if (timeoutSeconds === undefined) return;
    journal.deadline ??= monotonicSeconds() + timeoutSeconds;
    this.#timeLimit = new Alarm(journal.deadline, () => {
      if (this.#phase !== "running") return;
      this.#containment.guard(() => {
        journal.reach("timed-out");
        this.#messages.warn(`The container's time is up: killing it`);
        this.#connection.kill("container-group", constants.signals.SIGKILL);
      });
    });
  }

  onSignal(signal: number, forwardedTo: Role | undefined): void {
    this.#containment.guard(() => {
      this.#messages.debug(`Got signal ${signal}, handed on to ${forwardedTo ?? "nobody"}`);
      // A runtime that was about to end has not heard it: then it is the container's.
      if (this.#phase === "checking" || this.#phase === "starting") {
        this.#heldSignal.hold(signal);
      } else if (forwardedTo !== undefined) return;
      else if (this.#phase === "awaiting") {
        this.#startFailed(this.#equipment, `Got signal ${signal} before the runtime was started`);
      } else if (this.#phase === "running") {
        // It came before the shim knew the container process, which it does by now.
        this.#connection.kill("container", signal);
      } else if (this.#phase === "leaving") {
        // All that is left of the container is its exit command: whoever wants us gone means that.
        this.#connection.kill("exit-command", signal);
      }
    });
  }

  // ---- the end ----

  #end(status: number): void {
    const equipment = this.#equipment;
    if (equipment === undefined || this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    this.#timeLimit?.cancel();
    if (status < 0)
      this.#messages.warn("The container process was not our child: its status is unknown");
    this.#ending?.report(equipment, status);
  }

  onInheritedClosed(): void {
    this.#ending?.onInheritedClosed();
  }

  onReported(report: number, errno: number): void {
    this.#caller?.onReported(report, errno);
  }

  #makeEnding(around: Surroundings, journal: Journal): Ending {
    return new Ending(around, journal, (status) => {
      const leaving = this.#makeLeaving(around, journal, status);
      this.#handOnIfWanted();
      leaving.begin();
    });
  }

  #makeLeaving(around: Surroundings, journal: Journal, status: number): Leaving {
    this.#phase = "leaving";
    const clientsDetached =
      this.#equipment?.clientsDetached ?? this.#lastClients?.detached ?? Promise.resolve();
    this.#leaving = new Leaving(around, journal, status, clientsDetached, () => this.#close());
    return this.#leaving;
  }

  /** The shim's last order; conmond's part ends with it. */
  #leave(status: number): void {
    this.#connection.exit(status);
    this.#close();
  }

  // ---- another conmond comes after ----

  /**
   * Lets another conmond go on, which the shim is going to look for, as soon as what has been read from the
   * container is where it belongs, or after so many milliseconds. Not before the caller has been let go, nor
   * in the middle of telling the end; then it is over by itself, or this is done later.
   */
  handOn(milliseconds: number): void {
    if (this.#closed || this.#handingOn !== "no") return;
    this.#handingOn = "wanted";
    this.#handOnBy = performance.now() + milliseconds;
    this.#handOnIfWanted();
  }

  /** To be called when the phase has changed to one in which that is possible. */
  #handOnIfWanted(): void {
    if (this.#closed || this.#handingOn !== "wanted") return;
    if (this.#phase === "checking" || this.#phase === "ending") return;
    this.#handingOn = "under-way";
    // Whoever goes on learns of what happens now from the next hello.
    this.#containment.suspend();
    const left = Math.max(0, this.#handOnBy - performance.now());
    const ended = this.#phase === "leaving";
    const settled = ended ? undefined : this.#equipment?.io.settle(left);
    this.#containment.after(settled ?? Promise.resolve(), () => {
      if (!this.#closed) {
        this.#messages.info("Handing the session on");
        this.#equipment?.io.depositUndelivered();
        this.#lastClients?.depositUndelivered();
      }
      this.#close();
    });
  }

  // ---- another conmond went before ----

  #takeOver(arrival: Arrival): void {
    const { hello, descriptors, journal, caller } = arrival;
    const around = this.#acquaint(arrival);
    if (around === undefined) return;
    const { options } = around;
    const { runtime, container, "exit-command": exitCommand } = hello.processes;
    this.#messages.callerLeft();
    if (exitCommand.state !== "none" || journal.has("detached")) {
      this.#goOnEnding(around, arrival);
      return;
    }
    const equipment = this.#equip(around, arrival);
    if (journal.has("start-failed")) {
      this.#startFailed(equipment, "another conmond knew the reason");
      return;
    }
    if (runtime.state === "none") {
      const { number } = this.#heldSignal;
      if (number === 0) this.#beginStart(descriptors);
      else this.#startFailed(equipment, `Got signal ${number} before the runtime was started`);
      return;
    }
    this.#phase = "starting";
    equipment.io.connect(descriptors, container.state === "none");
    // The conmond before may have died just before it told.
    if (container.state !== "none") caller.tellStarted(options, container.pid);
    if (container.state === "running") {
      this.#phase = "running";
      this.#limitTime(options, journal);
    } else if (container.state === "ended") this.#end(exitStatus(container.ending));
    else if (runtime.state === "ended") this.#start?.onRuntimeEnded(runtime.ending);
  }

  /**
   * Nothing is opened, made or removed: the caller may have removed the container, or have started it
   * again, and then what is in the bundle is another session's.
   */
  #goOnEnding(around: Surroundings, { hello, descriptors, journal }: Arrival): void {
    this.#lastClients = new LastClients(around, descriptors);
    const { container, "exit-command": exitCommand } = hello.processes;
    this.#phase = "ending";
    this.#ending = this.#makeEnding(around, journal);
    if (exitCommand.state === "none") {
      this.#ending.goOn(container);
      return;
    }
    // All has been told before it was started, which happens once.
    const leaving = this.#makeLeaving(around, journal, this.#ending.leaveStatus(container));
    if (exitCommand.state === "ended") leaving.onExitCommandEnded(exitStatus(exitCommand.ending));
  }

  // ---- faults ----

  /**
   * The connection is gone. A shim that lives is looking for another conmond, which needs all that
   * can be found in the bundle; with a dead one the session has ended.
   */
  onLost(error?: Error): void {
    // Also while the session is handed on: then there is nobody any more to whom.
    try {
      this.#lost(error);
    } catch (thrown) {
      this.#broken(thrown as Error);
    }
  }

  #lost(error: Error | undefined): void {
    if (this.#closed) return;
    const alive = this.#shimPid > 0 && isAlive(this.#shimPid);
    if (this.#phase !== "checking" || error !== undefined) {
      this.#messages.error(
        `Lost the shim: ${error?.message ?? (alive ? "it hung up" : "it ended")}`,
      );
    }
    // Later it is done already, and what is in the bundle may be another session's by then.
    if (!alive && this.#journal?.has("detached") === false) {
      if (this.#phase === "running") this.#equipment?.io.drainAtOnce();
      this.#equipment?.detach();
    }
    this.#close();
  }

  /** An error that nobody expected ends this session only: the shim goes on with another conmond. */
  #broken(error: Error): void {
    this.#messages.error(`Internal error in phase ${this.#phase}: ${error.stack ?? error.message}`);
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // First: what is closed here must not be taken for something that the shim is to give up.
    const taken = this.#connection.close();
    this.#timeLimit?.cancel();
    const parts = [
      ...[this.#beginning, this.#start, this.#leaving, this.#equipment, this.#lastClients],
      ...[this.#journal, this.#caller],
    ];
    for (const part of parts) this.#closePart(part);
    // Not before the shim has taken its last messages: whoever is told may end the process.
    void taken.then(() => this.#settings.onClosed(this));
  }

  /** One that fails does not keep the others open, nor this session in conmond's books. */
  #closePart(part: { close(): void } | undefined): void {
    try {
      part?.close();
    } catch (error) {
      const { stack, message } = error as Error;
      this.#messages.error(`Internal error while closing: ${stack ?? message}`);
    }
  }
}
