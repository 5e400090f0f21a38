/**
 * One container under supervision, from the shim's hello to its leave.
 *
 * Everything is an event: the shim tells of processes and signals. The order of the
 * methods is the order of a session's life.
 */
import { accessSync, constants, readFileSync, realpathSync } from "node:fs";
import { getSystemErrorMap } from "node:util";
import { ControlFifos } from "../attach/mod.ts";
import type { ShimConnection, ShimEvents } from "../shim/connection.ts";
import type { Context } from "../shim/context.ts";
import {
  type Ending,
  exitStatus,
  type Hello,
  type ProcessReport,
  REQUEST,
  type Role,
  SLOT,
} from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";
import { type CheckedOptions, checkOptions } from "./checks.ts";
import { ContainerEvents } from "./container-events.ts";
import { ContainerIo } from "./container-io.ts";
import { DEPOSIT } from "./deposit.ts";
import { ConmonError } from "./errors.ts";
import { writeAtomically, writeExitFiles } from "./exit-report.ts";
import { type Build, helpText, versionText } from "./help.ts";
import { Journal } from "./journal.ts";
import { parseOptions } from "./options.ts";
import type { OwnMessages } from "./own-messages.ts";
import { runtimeCommand } from "./runtime-command.ts";
import { encodeSyncMessage, syncKey } from "./sync-message.ts";
import { SyncPipe } from "./sync-pipe.ts";
import { refuseUnsupported } from "./unsupported.ts";

/**
 * - `checking`: the options; nothing has been made yet
 * - `starting`: the runtime runs
 * - `running`: the container process is known
 * - `ending`: it has ended (or was never made) and this is being told
 * - `leaving`: only the exit command and the shim's leave are outstanding
 */
type Phase = "checking" | "starting" | "running" | "ending" | "leaving";

/** Node.js takes a longer time for none at all. About 24 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

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
  #fifos: ControlFifos | undefined;
  #events: ContainerEvents | undefined;
  #journal: Journal | undefined;
  #syncPipe: SyncPipe | undefined;
  /** A signal that came when there was no process yet to hand it to. */
  #heldSignal = 0;
  /** The caller's status once all is over. */
  #status = 0;
  #clientsDetached: Promise<void> = Promise.resolve();
  #onInheritedClosed: (() => void) | undefined;
  #exitDelay: NodeJS.Timeout | undefined;
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
      const syncFd = descriptors.get(SLOT.syncPipe);
      descriptors.delete(SLOT.syncPipe);
      if (syncFd !== undefined) this.#syncPipe = new SyncPipe(syncFd);
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
      refuseUnsupported(options);
      checkDirectories(options);
      this.#prepare(options, descriptors);
      if (options.conmonPidfile !== undefined) {
        writeAtomically(options.conmonPidfile, String(hello.shimPid));
      }
      if (this.#heldSignal !== 0) {
        throw new ConmonError(`Got signal ${this.#heldSignal} before the runtime was started`);
      }
    } catch (error) {
      this.#refuse(error as Error);
      return;
    }
    this.#start();
  }

  /**
   * Undefined: `--help` or `--version` has been answered, or the shim turned away. For a container that is there already the
   * runtime's file does not matter: an upgrade may be replacing it just now.
   */
  #readOptions(hello: Hello, context: Context): CheckedOptions | undefined {
    if (context.undecodable !== undefined) {
      throw new ConmonError(
        `option parsing failed: argument ${context.undecodable} is not valid UTF-8`,
        { prefix: "conmon: " },
      );
    }
    const given = parseOptions(context.arguments);
    if (given.help || given.version) {
      this.#connection.tell("stdout", given.help ? helpText() : versionText(this.#settings.build));
      this.#leave(0);
      return undefined;
    }
    if (this.#settings.shared && given.sdnotifySocket !== undefined) {
      // systemd looks in which service's cgroup the sender of a message is: it has to be the shim's.
      this.#turnAway("a shared conmond passes no sd-notify messages on");
      return undefined;
    }
    const options = checkOptions(given, {
      workingDirectory: context.workingDirectory,
      variables: context.environment,
      isExecutable: (path) => hello.released || canAccess(path, constants.X_OK),
      realPath,
    });
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
  #prepare(options: CheckedOptions, descriptors: Map<number, number>): void {
    this.#io = new ContainerIo(options, this.#connection, this.#messages);
    const bundle = options.launch.bundle;
    if (bundle !== undefined) {
      this.#io.openAttach(bundle, descriptors);
      this.#openFifos(bundle, descriptors);
    }
    this.#journal = this.#openJournal(descriptors);
    this.#events = new ContainerEvents(options, this.#connection, this.#messages);
    this.#events.open(descriptors);
  }

  #openFifos(bundle: string, inherited: Map<number, number>): void {
    const settings = {
      bundle,
      onResize: () => this.#messages.debug("There is no terminal to resize"),
      onReopen: () => this.#io?.reopenLogs(),
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

  #openJournal(inherited: Map<number, number>): Journal {
    const fd = inherited.get(DEPOSIT.journal);
    inherited.delete(DEPOSIT.journal);
    if (fd !== undefined) return Journal.adopt(fd);
    const journal = Journal.create();
    this.#connection.keep(DEPOSIT.journal, journal.fd);
    return journal;
  }

  /** Nothing has been started: the caller gets the reason on stderr and on the sync pipe, and status 1. */
  #refuse(error: Error): void {
    const known = error instanceof ConmonError;
    const reason = known ? error.reason : error.message;
    this.#messages.fatal(known ? error.message : `[conmon:e]: ${reason}`);
    const told = this.#options === undefined ? Promise.resolve() : this.#sendSync(-1, reason);
    this.#detach();
    this.#io?.removeLink();
    this.#after(told, () => this.#leave(1));
  }

  // ---- the start ----

  #start(): void {
    const options = this.#knownOptions();
    this.#connection.release(false);
    this.#messages.callerLeft();
    this.#phase = "starting";
    this.#connection.spawn("runtime", runtimeCommand(options), {
      pipeStdin: options.stdin,
      pipeStdout: true,
      pipeStderr: true,
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
    const { launch, runtime, containerPidfile } = this.#knownOptions();
    if (launch.kind !== "exec" && exitStatus(ending) !== 0) {
      this.#startFailed(`runtime ${runtime} ${describeEnding(ending)}`);
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
    if (this.#journal?.has("start-reported")) return;
    this.#journal?.reach("start-reported");
    const { launch, apiVersion } = this.#knownOptions();
    // Callers of the old exec wait for nothing but the exit status.
    if (launch.kind !== "exec" || apiVersion >= 1) void this.#sendSync(pid);
  }

  /** `reason` is told where the runtime itself has not said anything. */
  #startFailed(reason: string): void {
    if (this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    const said = this.#io?.takeStartupTail() ?? Buffer.alloc(0);
    this.#messages.error(`The container was not started: ${reason}`);
    this.#connection.watch(0);
    this.#after(this.#sendSync(-1, said.length > 0 ? said : reason), () => {
      this.#detach();
      this.#io?.removeLink();
      this.#leaveAfterExitCommand(1);
    });
  }

  // ---- signals ----

  onSignal(signal: number, forwardedTo: Role | undefined): void {
    this.#guard(() => {
      this.#messages.debug(`Got signal ${signal}, handed on to ${forwardedTo ?? "nobody"}`);
      if (forwardedTo !== undefined) return;
      if (this.#phase === "checking" || this.#phase === "starting") this.#heldSignal = signal;
    });
  }

  #passHeldSignal(target: "runtime" | "container"): void {
    if (this.#heldSignal !== 0) this.#connection.kill(target, this.#heldSignal);
    this.#heldSignal = 0;
  }

  // ---- the end ----

  #end(status: number): void {
    if (this.#phase === "ending" || this.#phase === "leaving") return;
    this.#phase = "ending";
    if (status < 0)
      this.#messages.warn("The container process was not our child: its status is unknown");
    this.#report(status).catch((error: Error) => this.#broken(error));
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
    if (launch.kind === "exec" && !this.#journal?.has("exit-reported")) {
      await this.#sendSync(status);
      this.#journal?.reach("exit-reported");
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

  /** Ends what clients can reach; those that read slowly may have the rest. */
  #detach(): void {
    this.#fifos?.close();
    this.#fifos?.remove();
    this.#fifos = undefined;
    this.#events?.finishNotify();
    this.#clientsDetached = this.#io?.detachClients() ?? Promise.resolve();
  }

  #leaveAfterExitCommand(status: number): void {
    this.#phase = "leaving";
    this.#status = status;
    const { exitCommand, exitDelaySeconds } = this.#knownOptions();
    if (exitCommand === undefined) {
      this.#leaveWhenDetached(status);
      return;
    }
    const delay = Math.min(exitDelaySeconds * 1000, LONGEST_TIMER_MS);
    this.#exitDelay = setTimeout(() => {
      this.#guard(() => this.#connection.spawn("exit-command", exitCommand, {}));
    }, delay);
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
    this.#prepare(options, descriptors);
    this.#phase = "starting";
    const { runtime, container, "exit-command": exitCommand } = hello.processes;
    if (runtime.state === "none") {
      this.#start();
      return;
    }
    this.#io?.connect(descriptors, container.state === "none");
    // All has been told before the exit command was started, which is started once.
    if (exitCommand.state !== "none") this.#resumeExitCommand(container, exitCommand);
    else if (container.state === "running") this.#phase = "running";
    else if (container.state === "ended") this.#end(exitStatus(container.ending));
    else if (runtime.state === "ended") this.#runtimeEnded(runtime.ending);
  }

  #resumeExitCommand(container: ProcessReport, exitCommand: ProcessReport): void {
    this.#phase = "leaving";
    // Without a container process its start had failed.
    this.#status = container.state === "ended" ? exitStatus(container.ending) & 0xff : 1;
    this.#io?.drain();
    this.#detach();
    this.#io?.removeLink();
    if (exitCommand.state === "ended") this.#exitCommandEnded(exitStatus(exitCommand.ending));
  }

  // ---- faults ----

  /**
   * The connection is gone. A shim that lives is looking for another conmond, which needs all that
   * can be found in the bundle; with a dead one the session has ended.
   */
  onLost(error?: Error): void {
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
    this.#detach();
    this.#io?.removeLink();
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
    clearTimeout(this.#exitDelay);
    this.#fifos?.close();
    this.#events?.close();
    this.#io?.close();
    this.#journal?.close();
    void this.#syncPipe?.close();
    this.#settings.onClosed(this);
  }

  #knownOptions(): CheckedOptions {
    if (this.#options === undefined) throw new Error("the options are not known yet");
    return this.#options;
  }

  /** What cannot be told to the caller is told to those who read our own messages. */
  async #sendSync(value: number, message?: string | Uint8Array): Promise<void> {
    const { apiVersion, launch } = this.#knownOptions();
    const key = syncKey(apiVersion, launch.kind === "exec");
    try {
      await this.#syncPipe?.send(encodeSyncMessage(key, value, message));
    } catch (error) {
      this.#messages.error(
        `Failed to write ${value} to the sync pipe: ${(error as Error).message}`,
      );
    }
  }
}

function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** As kill(2) knows it; a zombie counts as alive, but nobody leaves a shim unreaped for long. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Found out now, a directory that cannot take the exit status can still be told to the caller. */
function checkDirectories({ exitDir, persistDir, launch }: CheckedOptions): void {
  const needed = { "--exit-dir": exitDir, "--persist-dir": persistDir, "--bundle": launch.bundle };
  for (const [option, path] of Object.entries(needed)) {
    if (path === undefined) continue;
    try {
      accessSync(path, constants.W_OK | constants.X_OK);
    } catch (error) {
      const { code, errno } = error as NodeJS.ErrnoException;
      const reason = getSystemErrorMap().get(errno ?? 0)?.[1] ?? code;
      throw new ConmonError(`Cannot write to ${option} ${path}: ${reason}`, { cause: error });
    }
  }
}

/** @throws Error naming the file */
function readPid(path: string): number {
  const text = readFileSync(path, "latin1").trim();
  const pid = /^[0-9]{1,9}$/.test(text) ? Number(text) : 0;
  if (pid <= 1)
    throw new Error(`${path} holds no pid of a container process: ${JSON.stringify(text)}`);
  return pid;
}

function describeEnding(ending: Ending): string {
  if (ending === "unknown") return "ended, nobody knows how";
  return "code" in ending
    ? `failed with exit status ${ending.code}`
    : `was killed by signal ${ending.signal}`;
}
