/** The shared conmond as a whole: looking at it, starting it, ending it, having another one take its place. */
import { join } from "node:path";
import { ContainerError, reasonOf } from "../containers/errors.ts";
import { stateDirectory } from "../containers/state.ts";
import { ownInstallation } from "../programs/installation.ts";
import { type DaemonOptions, daemonArguments, successorArguments } from "./arguments.ts";
import { startDaemon, stopDaemon } from "./lifecycle.ts";
import { possibleSockets } from "./socket-places.ts";
import { type DaemonStatus, daemonStatus } from "./status.ts";

/** Which one it is about. */
export interface SocketOption {
  /** Its socket. Default: the first of those that the shim looks at where one listens, else the first. */
  readonly socket?: string;
}

/** How one is started; for one that takes another's place, what is not given stays as it was. */
export interface StartOptions extends DaemonOptions, SocketOption {
  /** The file that its log goes to. Default: `conmond.log` in the state directory. */
  readonly log?: string;
}

/** What {@link startShared} has come to. */
export interface StartOutcome extends DaemonStatus {
  /** False: it was there already. */
  readonly started: boolean;
}

/** What {@link restartShared} has come to. */
export interface RestartOutcome {
  readonly socket: string;
  readonly pid: number;
  /** False: none was there. */
  readonly replaced: boolean;
  /** Whose place it has taken, if that could be found out. */
  readonly replacedPid?: number | undefined;
  /** How many containers and execs it has taken over; undefined: they could not be counted. */
  readonly sessions?: number | undefined;
}

/** What {@link stopShared} has come to. */
export interface StopOutcome {
  readonly socket: string;
  /** False: none was there. */
  readonly stopped: boolean;
  readonly pid?: number | undefined;
  /** How many containers and execs go on, each with a conmond of its own. */
  readonly sessions?: number | undefined;
}

/** How long one may take to end if nobody says so, in milliseconds. */
const STOP_MS = 10_000;

/**
 * Looks whether it is there and answers.
 *
 * @throws ContainerError if nobody knows where it would be, or it is not ours to be connected to
 */
export async function sharedStatus(options: SocketOption = {}): Promise<DaemonStatus> {
  const [first, ...others] = possibleSockets(options.socket, process.env);
  const status = await statusAt(first);
  for (const socket of others) {
    if (status.state !== "stopped") break;
    const other = await statusAt(socket);
    if (other.state !== "stopped") return other;
  }
  return status;
}

async function statusAt(socket: string): Promise<DaemonStatus> {
  try {
    return await daemonStatus(socket);
  } catch (cause) {
    throw new ContainerError("failed", `cannot connect to ${socket}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

/**
 * Starts one that outlives us, unless one runs already.
 *
 * @throws ContainerError if it does not start, or if one is there that hangs
 */
export async function startShared(options: StartOptions = {}): Promise<StartOutcome> {
  const before = await sharedStatus(options);
  const { socket, state } = before;
  if (state === "hangs") {
    throw new ContainerError("conflict", `a conmond that does not answer has ${socket}`, {
      hint: "conmonctl daemon restart takes its place",
    });
  }
  if (state === "running") return { ...before, started: false };
  const pid = await launch(options, socket, daemonArguments(options));
  return { socket, state: "running", pid, started: true };
}

/**
 * Has another one take its place, or starts one where there is none. No container is touched.
 *
 * @throws ContainerError if it does not start, or if the one that is there is systemd's to restart
 */
export async function restartShared(options: StartOptions = {}): Promise<RestartOutcome> {
  const before = await sharedStatus(options);
  const { socket, pid: replacedPid, sessions } = before;
  refuseUnit(before, "restart");
  if (before.state === "stopped") {
    const pid = await launch(options, socket, daemonArguments(options));
    return { socket, pid, replaced: false };
  }
  const args = successorArguments(before.commandLine ?? [], options);
  const pid = await launch(options, socket, [...args, "--replace"]);
  return { socket, pid, replaced: true, replacedPid, sessions };
}

/**
 * Ends it. Its containers run on, each with a conmond of its own.
 *
 * @param options.milliseconds that it may take. Default: 10000
 * @throws ContainerError if it does not end, or is systemd's to stop
 */
export async function stopShared(
  options: SocketOption & { readonly milliseconds?: number } = {},
): Promise<StopOutcome> {
  const before = await sharedStatus(options);
  const { socket, pid, sessions } = before;
  refuseUnit(before, "stop");
  if (pid === undefined && before.state === "hangs") {
    const message = `the conmond at ${socket} does not answer, and its process is not known`;
    throw new ContainerError("failed", message);
  }
  if (pid === undefined) return { socket, stopped: false };
  const stopped = await stopDaemon(pid, options.milliseconds ?? STOP_MS);
  return { socket, stopped, pid, sessions };
}

/** systemd starts it anew, or has its socket. */
function refuseUnit({ unit, isUserUnit }: DaemonStatus, verb: string): void {
  if (unit === undefined) return;
  throw new ContainerError("conflict", `this conmond is systemd's ${unit}`, {
    hint: `run systemctl ${isUserUnit ? "--user " : ""}${verb} ${unit}`,
  });
}

async function launch(
  options: StartOptions,
  socket: string,
  args: readonly string[],
): Promise<number> {
  const log = options.log ?? defaultLog();
  return await startDaemon({ socket, arguments: args, log }, ownInstallation());
}

function defaultLog(): string {
  const directory = stateDirectory(process.env);
  if (directory !== undefined) return join(directory, "conmond.log");
  const message = "there is no place for conmond's log: $XDG_RUNTIME_DIR is not set";
  throw new ContainerError("failed", message, { hint: "name it with --log FILE" });
}
