/**
 * One container under supervision, from the shim's hello to its leave.
 *
 * Everything is an event: the shim tells of processes and signals. The order of the
 * methods is the order of a session's life.
 */
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import type { ShimConnection, ShimEvents } from "../shim/connection.ts";
import type { Context } from "../shim/context.ts";
import {
  describeEnding,
  type Ending,
  exitStatus,
  type Hello,
  type ProcessReport,
  REQUEST,
  type Role,
  SLOT,
} from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import { Alarm, monotonicSeconds } from "./alarm.ts";
import { CallerPipe, REPORT } from "./caller-pipe.ts";
import type { CheckedOptions } from "./checks.ts";
import { readCommandLine } from "./command-line.ts";
import { ContainerEvents } from "./container-events.ts";
import { ContainerIo } from "./container-io.ts";
import { DEPOSIT, faultOfDeposits, takeDeposit } from "./deposit.ts";
import { checkDirectories } from "./directories.ts";
import { ConmonError } from "./errors.ts";
import { writeAtomically, writeExitFiles } from "./exit-report.ts";
import type { Build } from "./help.ts";
import { Journal } from "./journal.ts";
import type { OwnMessages } from "./own-messages.ts";
import { readPid } from "./pidfile.ts";
import { runtimeCommand } from "./runtime-command.ts";
import { StartGate } from "./start-gate.ts";
import { encodeSyncMessage, syncKey } from "./sync-message.ts";

/**
 * - `checking`: the options; nothing has been made yet
 * - `awaiting`: the caller attaches before the runtime is started
 * - `starting`: the runtime runs
 * - `running`: the container process is known
 * - `ending`: it has ended (or was never made) and this is being told
 * - `leaving`: only the exit command and the shim's leave are outstanding
 */
type Phase = "checking" | "awaiting" | "starting" | "running" | "ending" | "leaving";

/** What `--timeout` is told as. */
const TIMED_OUT = "command timed out";

/** What a session needs from the conmond that it is part of. */
export interface SessionSettings {
  connection: ShimConnection;
  messages: OwnMessages;
  build: Build;
  /** conmond serves others as well, and is no child of this shim. */
  shared: boolean;
  /** The session is over and holds nothing any more. */
  onClosed(session: Session): void;
}

/** Owns everything that conmond holds for one container; see the top of the file. */
export class Session implements ShimEvents {
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  readonly #settings: SessionSettings;
  #phase: Phase = "checking";
  #options: CheckedOptions | undefined;
  #io: ContainerIo | undefined;
  #events: ContainerEvents | undefined;
  #journal: Journal | undefined;
  #syncPipe: CallerPipe | undefined;
  #attachPipe: CallerPipe | undefined;
  #startGate: StartGate | undefined;
  #timeLimit: Alarm | undefined;
  /** A signal that came when there was no process yet to hand it to. */
  #heldSignal = 0;
  /** The caller's status once all is over. */
  #status = 0;
  #clientsDetached: Promise<void> = Promise.resolve();
  #onInheritedClosed: (() => void) | undefined;
  #exitDelay: Alarm | undefined;
  /** Of the shim; known from its hello on. */
  #shimPid = 0;
  #closed = false;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#connection = settings.connection;
    this.#messages = settings.messages;
  }

  get containerId(): string | undefined {
    return this.#options?.cid;
  }

  // ---- the hello: options, and everything that can fail before the caller is let go ----

  onHello(hello: Hello, context: Context, descriptors: Map<number, number>): void {
    this.#guard(() => {
      const fault = faultOfDeposits(descriptors);
      if (fault !== undefined) {
        for (const fd of descriptors.values()) sys.close(fd);
        this.#turnAway(fault);
        return;
      }
      this.#syncPipe = this.#takePipe(descriptors, SLOT.syncPipe);
      this.#attachPipe = this.#takePipe(descriptors, SLOT.attachPipe);
      this.#heldSignal = hello.unheededSignal;
      this.#shimPid = hello.shimPid;
      try {
        if (hello.released) this.#resume(hello, context, descriptors);
        else this.#begin(hello, context, descriptors);
      } finally {
        for (const fd of descriptors.values()) sys.close(fd);
      }
    });
  }

  #begin(hello: Hello, context: Context, descriptors: Map<number, number>): void {
    try {
      const options = this.#readOptions(hello, context);
      if (options === undefined) return;
      checkDirectories(options);
      this.#prepare(options, context, descriptors);
      const opened = this.#io?.logsOpened();
      if (opened !== undefined) {
        this.#beginWhen(opened, new Map(descriptors));
        // They are closed when that is done.
        descriptors.clear();
        return;
      }
    } catch (error) {
      this.#refuse(error as Error);
      return;
    }
    this.#letCallerGo(descriptors);
  }

  /** Owns the descriptors. */
  #beginWhen(opened: Promise<void>, descriptors: Map<number, number>): void {
    const begun = opened.then(
      () => {
        if (!this.#closed) this.#letCallerGo(descriptors);
      },
      (error: Error) => {
        if (!this.#closed) this.#refuse(error);
      },
    );
    begun
      .catch((error: Error) => this.#broken(error))
      .finally(() => {
        for (const fd of descriptors.values()) sys.close(fd);
      });
  }

  /** The last that can fail, and then there is no way back. */
  #letCallerGo(descriptors: Map<number, number>): void {
    try {
      if (this.#journal !== undefined) requireDescriptors(this.#journal.fd);
      const { conmonPidfile } = this.#knownOptions();
      if (conmonPidfile !== undefined) writeAtomically(conmonPidfile, String(this.#shimPid));
      if (this.#heldSignal !== 0) {
        throw new ConmonError(`Got signal ${this.#heldSignal} before the runtime was started`);
      }
    } catch (error) {
      this.#refuse(error as Error);
      return;
    }
    this.#connection.release(this.#isPassthrough());
    this.#messages.callerLeft();
    this.#start(descriptors);
  }

  /** Undefined: `--help` or `--version` has been answered, or the shim turned away. */
  #readOptions(hello: Hello, context: Context): CheckedOptions | undefined {
    const read = readCommandLine(context, this.#settings.build, hello.released);
    if ("answer" in read) {
      this.#connection.tell("stdout", read.answer);
      this.#leave(0);
      return undefined;
    }
    const { options } = read;
    if (this.#settings.shared && options.sdnotifySocket !== undefined) {
      // systemd looks in which service's cgroup the sender of a message is: it has to be the shim's.
      this.#turnAway("a shared conmond passes no sd-notify messages on");
      return undefined;
    }
    if (options.sync !== hello.sync) {
      throw new ConmonError("conmon and conmond do not agree on --sync: are both of one version?");
    }
    this.#options = options;
    const { logLevel: level, syslog, cid: containerId } = options;
    this.#messages.configure({ level, syslog, containerId });
    for (const warning of options.warnings) this.#messages.warn(warning);
    return options;
  }

  /** The shim starts a private conmond. */
  #turnAway(reason: string): void {
    this.#messages.info(`Refused a shim: ${reason}`);
    this.#connection.refuse(reason);
    this.#close();
  }

  /** Opens everything that the container will need. What fails here the caller can still read on its stderr. */
  #prepare(options: CheckedOptions, context: Context, descriptors: Map<number, number>): void {
    const inherited = takeDeposit(descriptors, DEPOSIT.journal);
    const journal = inherited === undefined ? Journal.create() : Journal.adopt(inherited);
    this.#journal = journal;
    this.#io = new ContainerIo(options, this.#connection, this.#messages, journal, descriptors);
    const bundle = options.launch.bundle;
    if (bundle !== undefined && !this.#isPassthrough()) this.#io.openBundle(bundle, descriptors);
    this.#events = new ContainerEvents(options, this.#connection, this.#messages);
    this.#events.open(descriptors);
    if (inherited !== undefined) return;
    this.#connection.keep(DEPOSIT.journal, journal.fd);
    const consolePath = this.#io.openConsole(context.environment.get("TMPDIR") || "/tmp");
    if (consolePath !== undefined) journal.consolePath = consolePath;
  }

  /** The container has the caller's own stdio. */
  #isPassthrough(): boolean {
    return this.#knownOptions().logs.drivers.some(({ driver }) => driver === "passthrough");
  }

  /** Nothing has been started: the caller gets the reason on stderr and on the sync pipe, and status 1. */
  #refuse(error: Error): void {
    const known = error instanceof ConmonError;
    const reason = known ? error.reason : error.message;
    this.#messages.fatal(known ? error.message : `[conmon:e]: ${reason}`);
    const told =
      this.#options === undefined ? Promise.resolve() : this.#sendSync(REPORT.start, -1, reason);
    this.#detach();
    this.#io?.removeLink();
    this.#after(told, () => this.#leave(1));
  }

  // ---- the start ----

  /** `descriptors`: those of the caller's pipes are taken out of it. */
  #start(descriptors: Map<number, number>): void {
    const { launch } = this.#knownOptions();
    if (launch.kind === "exec" && launch.attach) this.#awaitAttached(descriptors);
    else this.#spawnRuntime();
  }

  /** Tells the caller that it can attach now, and waits for its word that it has. */
  #awaitAttached(descriptors: Map<number, number>): void {
    this.#phase = "awaiting";
    const startPipe = descriptors.get(SLOT.startPipe);
    descriptors.delete(SLOT.startPipe);
    this.#startGate = new StartGate(startPipe, () => this.#guard(() => this.#spawnRuntime()));
    this.#attachPipe
      ?.send(REPORT.attachable, encodeSyncMessage("data", 0))
      .catch((error: Error) => this.#messages.error(error.message));
  }

  #spawnRuntime(): void {
    if (this.#closed) return;
    this.#phase = "starting";
    this.#startGate?.close();
    const options = this.#knownOptions();
    const consolePath = this.#journal?.consolePath || undefined;
    const pipes = !options.terminal && !this.#isPassthrough();
    this.#connection.spawn("runtime", runtimeCommand(options, consolePath), {
      pipeStdin: pipes && options.stdin,
      pipeStdout: pipes,
      // What a runtime says when it fails is wanted even where the container has a terminal.
      pipeStderr: !this.#isPassthrough(),
      inheritStdio: this.#isPassthrough(),
      replaceListenPid: options.replaceListenPid,
    });
  }

  onSpawned(role: Role, _pid: number, descriptors: Map<number, number>): void {
    this.#guard(() => {
      if (role === "runtime") this.#io?.connect(descriptors, true);
      for (const fd of descriptors.values()) sys.close(fd);
      // It came while the request to start was on its way.
      if (role === "runtime") this.#passHeldSignal("runtime");
    });
  }

  onFailed(request: number, errno: number, text: string): void {
    this.#guard(() => {
      const reason = `${text} failed: ${getSystemErrorMap().get(-errno)?.[1] ?? `error ${errno}`}`;
      if (request === REQUEST.spawn && this.#phase === "starting") this.#startFailed(reason);
      else if (request === REQUEST.spawn) this.#exitCommandEnded(127, reason);
      else if (request === REQUEST.watch) this.#startFailed(reason);
      else this.#messages.warn(reason);
    });
  }

  onExited(role: Role, _pid: number, ending: Ending): void {
    this.#guard(() => {
      if (role === "runtime") this.#runtimeEnded(ending);
      else if (role === "container") this.#end(exitStatus(ending));
      else this.#exitCommandEnded(exitStatus(ending));
    });
  }

  #runtimeEnded(ending: Ending): void {
    if (this.#phase !== "starting") return;
    const { launch, runtime, containerPidfile, terminal } = this.#knownOptions();
    if (launch.kind !== "exec" && exitStatus(ending) !== 0) {
      this.#startFailed(`runtime ${runtime} ${describeEnding(ending)}`);
      return;
    }
    if (terminal && exitStatus(ending) === 0 && !this.#io?.hasTerminal()) {
      this.#startFailed("Runtime did not set up terminal");
      return;
    }
    try {
      this.#running(readPid(containerPidfile));
    } catch (error) {
      this.#startFailed((error as Error).message);
    }
  }

  #running(pid: number): void {
    this.#phase = "running";
    this.#io?.acceptStartupText();
    // Before the caller knows the pid, so that nothing runs in the container yet.
    this.#events?.watchOom(pid);
    this.#connection.watch(pid);
    this.#passHeldSignal("container");
    this.#limitTime();
    this.#reportStart(pid);
  }

  /** It is told once, however often we ask for it. */
  #reportStart(pid: number): void {
    const { launch, apiVersion } = this.#knownOptions();
    // Callers of the old exec wait for nothing but the exit status.
    if (launch.kind !== "exec" || apiVersion >= 1) void this.#sendSync(REPORT.start, pid);
  }

  /** `reason` is told where the runtime itself has not said anything. */
  #startFailed(reason: string): void {
    if (this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    // Whatever the caller says now, it has been told that there is no process.
    this.#startGate?.close();
    const said = this.#io?.takeStartupTail() ?? Buffer.alloc(0);
    this.#messages.error(`The container was not started: ${reason}`);
    this.#connection.watch(0);
    this.#after(this.#sendSync(REPORT.start, -1, said.length > 0 ? said : reason), () => {
      this.#detach();
      this.#io?.removeLink();
      this.#leaveAfterExitCommand(1);
    });
  }

  /** Sets the timer of `--timeout`, which began when the container did, whoever served it then. */
  #limitTime(): void {
    const { timeoutSeconds } = this.#knownOptions();
    if (timeoutSeconds === undefined || this.#journal === undefined) return;
    this.#journal.deadline ??= monotonicSeconds() + timeoutSeconds;
    this.#timeLimit = new Alarm(this.#journal.deadline, () => this.#guard(() => this.#timeOut()));
  }

  #timeOut(): void {
    if (this.#phase !== "running") return;
    this.#journal?.reach("timed-out");
    this.#messages.warn(`The container's time is up: killing it`);
    this.#connection.kill("container-group", constants.signals.SIGKILL);
  }

  // ---- signals ----

  onSignal(signal: number, forwardedTo: Role | undefined): void {
    this.#guard(() => {
      this.#messages.debug(`Got signal ${signal}, handed on to ${forwardedTo ?? "nobody"}`);
      // A runtime that was about to end has not heard it: then it is the container's.
      if (this.#phase === "checking" || this.#phase === "starting") this.#heldSignal = signal;
      else if (forwardedTo !== undefined) return;
      else if (this.#phase === "awaiting") {
        this.#startFailed(`Got signal ${signal} before the runtime was started`);
      } else if (this.#phase === "running") {
        // It came before the shim knew the container process, which it does by now.
        this.#connection.kill("container", signal);
      } else if (this.#phase === "leaving") {
        // All that is left of the container is its exit command: whoever wants us gone means that.
        this.#connection.kill("exit-command", signal);
      }
    });
  }

  /** A runtime that ends well all the same has not heeded it: so it is kept for the container. */
  #passHeldSignal(target: "runtime" | "container"): void {
    if (this.#heldSignal !== 0) this.#connection.kill(target, this.#heldSignal);
    if (target === "container") this.#heldSignal = 0;
  }

  // ---- the end ----

  #end(status: number): void {
    if (this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    this.#timeLimit?.cancel();
    if (status < 0)
      this.#messages.warn("The container process was not our child: its status is unknown");
    this.#report(this.#journal?.has("timed-out") ? -1 : status).catch((error: Error) =>
      this.#broken(error),
    );
  }

  /** Callers rely on this order. */
  async #report(status: number): Promise<void> {
    const { cid, persistDir, exitDir, launch } = this.#knownOptions();
    this.#io?.drain();
    await this.#io?.syncLogs();
    this.#events?.finishOom();
    await this.#closeInherited();
    this.#detach();
    if (!this.#journal?.has("exit-recorded")) {
      const report = {
        status,
        containerId: cid,
        persistDirectory: persistDir,
        exitDirectory: exitDir,
      };
      for (const error of writeExitFiles(report)) this.#messages.error(error.message);
      this.#journal?.reach("exit-recorded");
    }
    if (launch.kind === "exec") {
      const message = this.#journal?.has("timed-out") ? TIMED_OUT : undefined;
      await this.#sendSync(REPORT.exit, status, message);
    }
    this.#io?.removeLink();
    this.#leaveAfterExitCommand(status & 0xff);
  }

  /** Ports that the caller parked with us must be free before the exit is seen. */
  #closeInherited(): Promise<void> {
    return new Promise((resolve) => {
      this.#onInheritedClosed = resolve;
      this.#connection.closeInherited();
    });
  }

  onInheritedClosed(): void {
    this.#onInheritedClosed?.();
  }

  onReported(report: number, errno: number): void {
    const pipe = report === REPORT.attachable ? this.#attachPipe : this.#syncPipe;
    pipe?.onReported(errno);
  }

  /** Ends what clients can reach; those that read slowly may have the rest. */
  #detach(): void {
    this.#events?.finishNotify();
    this.#clientsDetached = this.#io?.detach() ?? Promise.resolve();
  }

  #leaveAfterExitCommand(status: number): void {
    this.#phase = "leaving";
    this.#status = status;
    const { exitCommand, exitDelaySeconds } = this.#knownOptions();
    if (exitCommand === undefined) {
      this.#leaveWhenDetached(status);
      return;
    }
    this.#exitDelay = new Alarm(monotonicSeconds() + exitDelaySeconds, () => {
      this.#guard(() => this.#connection.spawn("exit-command", exitCommand, {}));
    });
  }

  #exitCommandEnded(status: number, reason?: string): void {
    if (status !== 0) {
      const what = this.#knownOptions().exitCommand?.[0];
      this.#messages.error(`Exit command ${what} failed: ${reason ?? `exit status ${status}`}`);
    }
    this.#leaveWhenDetached(status !== 0 ? status & 0xff : this.#status);
  }

  #leaveWhenDetached(status: number): void {
    this.#after(this.#clientsDetached, () => this.#leave(status));
  }

  /** The shim's last order; conmond's part ends with it. */
  #leave(status: number): void {
    this.#connection.exit(status);
    this.#close();
  }

  // ---- another conmond went before ----

  #resume(hello: Hello, context: Context, descriptors: Map<number, number>): void {
    const options = this.#readOptions(hello, context);
    if (options === undefined) return;
    this.#messages.callerLeft();
    const { runtime, container, "exit-command": exitCommand } = hello.processes;
    // All has been told before the exit command was started, which is started once.
    if (exitCommand.state !== "none") {
      this.#resumeExitCommand(container, exitCommand, descriptors);
      return;
    }
    this.#prepare(options, context, descriptors);
    this.#io?.adoptTerminal(descriptors, this.#journal?.consolePath ?? "");
    this.#phase = "starting";
    if (runtime.state === "none") {
      this.#start(descriptors);
      return;
    }
    this.#io?.connect(descriptors, container.state === "none");
    // The conmond before may have died just before it told.
    if (container.state !== "none") this.#reportStart(container.pid);
    if (container.state === "running") this.#goOnRunning();
    else if (container.state === "ended") this.#end(exitStatus(container.ending));
    else if (runtime.state === "ended") this.#runtimeEnded(runtime.ending);
  }

  #goOnRunning(): void {
    this.#phase = "running";
    this.#limitTime();
  }

  /**
   * Nothing is opened, made or removed: the exit command may have removed the container, or have started
   * it again, and then what is in the bundle is another session's.
   */
  #resumeExitCommand(
    container: ProcessReport,
    exitCommand: ProcessReport,
    descriptors: Map<number, number>,
  ): void {
    this.#phase = "leaving";
    // Without a container process its start had failed.
    this.#status = container.state === "ended" ? exitStatus(container.ending) & 0xff : 1;
    // What was still kept for clients went with the conmond before.
    for (const slot of descriptors.keys()) {
      if (slot >= DEPOSIT.firstClient) this.#connection.drop(slot);
    }
    if (exitCommand.state === "ended") this.#exitCommandEnded(exitStatus(exitCommand.ending));
  }

  // ---- faults ----

  /**
   * The connection is gone. A shim that lives is looking for another conmond, which needs all that
   * can be found in the bundle; with a dead one the session has ended.
   */
  onLost(error?: Error): void {
    this.#guard(() => this.#lost(error));
  }

  #lost(error: Error | undefined): void {
    if (this.#closed) return;
    const alive = this.#shimPid > 0 && isAlive(this.#shimPid);
    if (this.#phase !== "checking" || error !== undefined) {
      this.#messages.error(
        `Lost the shim: ${error?.message ?? (alive ? "it hung up" : "it ended")}`,
      );
    }
    if (alive) {
      this.#close();
      return;
    }
    if (this.#phase === "running") this.#io?.drain();
    // Later it is done already, and what is in the bundle may be another session's by then.
    if (this.#phase !== "leaving") {
      this.#detach();
      this.#io?.removeLink();
    }
    this.#close();
  }

  /** An error that nobody expected ends this session only: the shim goes on with another conmond. */
  #guard(event: () => void): void {
    try {
      event();
    } catch (error) {
      this.#broken(error as Error);
    }
  }

  /** Goes on when something is done; nothing of what fails then may reach other sessions. */
  #after(done: Promise<void>, next: () => void): void {
    done.then(next).catch((error: Error) => this.#broken(error));
  }

  #broken(error: Error): void {
    this.#messages.error(`Internal error in phase ${this.#phase}: ${error.stack ?? error.message}`);
    this.#close();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // First: what is closed here must not be taken for something that the shim is to give up.
    this.#connection.close();
    this.#exitDelay?.cancel();
    this.#timeLimit?.cancel();
    this.#startGate?.close();
    this.#events?.close();
    this.#io?.close();
    this.#journal?.close();
    this.#syncPipe?.close();
    this.#attachPipe?.close();
    this.#settings.onClosed(this);
  }

  #knownOptions(): CheckedOptions {
    if (this.#options === undefined) throw new Error("the options are not known yet");
    return this.#options;
  }

  /** What cannot be told to the caller is told to those who read our own messages. */
  async #sendSync(report: number, value: number, message?: string | Uint8Array): Promise<void> {
    const { apiVersion, launch } = this.#knownOptions();
    const key = syncKey(apiVersion, launch.kind === "exec");
    try {
      await this.#syncPipe?.send(report, encodeSyncMessage(key, value, message));
    } catch (error) {
      this.#messages.error(`${(error as Error).message} (the message was ${value})`);
    }
  }

  #takePipe(descriptors: Map<number, number>, slot: number): CallerPipe | undefined {
    const fd = descriptors.get(slot);
    descriptors.delete(slot);
    return fd === undefined ? undefined : new CallerPipe(fd, slot, this.#connection);
  }
}

/** What a session opens once its container runs, at most, its attach clients not counted. */
const DESCRIPTORS_AHEAD = 10;

/**
 * Without them a container could be started and never be served: its caller is told now.
 *
 * @param any a descriptor that can be duplicated
 * @throws Error that says so
 */
function requireDescriptors(any: number): void {
  const taken: number[] = [];
  try {
    while (taken.length < DESCRIPTORS_AHEAD) taken.push(sys.duplicate(any));
  } catch (cause) {
    const reason = `${DESCRIPTORS_AHEAD} more are needed: ${(cause as Error).message}`;
    throw new Error(`Not enough descriptors for a container, ${reason}`, { cause });
  } finally {
    taken.forEach(sys.close);
  }
}

/** The kernel's mark of a process that is ending, in the flags of `/proc/PID/stat` (proc(5)). */
const PF_EXITING = 4;

/** A process's descriptors are closed before it becomes a zombie, and that before it is reaped. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // After the program's name, which may hold anything: state, parent, ..., flags.
    const flags = Number(stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[6]);
    return (flags & PF_EXITING) === 0;
  } catch {
    return false;
  }
}
