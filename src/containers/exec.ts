/** A further process in a container. */
import { mkdirSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { killIfThere } from "../processes/signals.ts";
import { findProgram } from "../programs/find-program.ts";
import { applyProcessOptions, readBundle } from "./bundle.ts";
import { Connection } from "./connection.ts";
import type { Container } from "./container.ts";
import { resizeTerminal, type TerminalSize } from "./control.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { writeWhole } from "./files.ts";
import { Monitor } from "./monitor.ts";
import { newId } from "./names.ts";
import type { ProcessOptions } from "./options.ts";
import { startFailure } from "./runtime.ts";
import type { State } from "./state.ts";
import { signalNumber } from "./stop.ts";
import { unlessAborted } from "./times.ts";

export interface ExecOptions extends ProcessOptions {
  readonly command: readonly string[];
  /** It reads what is written to the connection. Default: false. */
  readonly stdin?: boolean;
  /** Gives up as long as the process has not been started; one that is just being started is killed. */
  readonly signal?: AbortSignal;
}

/** A process that was started in a container. */
export class ExecSession {
  /** Its output from the beginning, and its input. */
  readonly connection: Connection;
  /** As the host numbers it. */
  readonly pid: number;
  readonly #monitor: Monitor;
  readonly #directory: string;
  #status: Promise<number> | undefined;

  constructor(connection: Connection, pid: number, monitor: Monitor, directory: string) {
    this.connection = connection;
    this.pid = pid;
    this.#monitor = monitor;
    this.#directory = directory;
  }

  /**
   * Waits for its end, and closes the connection then.
   *
   * @param options.signal gives up waiting
   * @returns its exit status
   * @throws ContainerError if nobody knows it; the signal's reason if it was aborted
   */
  async wait({ signal }: { readonly signal?: AbortSignal } = {}): Promise<number> {
    this.#status ??= this.#waitForEnd();
    return await unlessAborted(this.#status, signal);
  }

  async #waitForEnd(): Promise<number> {
    const report = await this.#monitor.nextReport();
    await this.#monitor.ended();
    this.close();
    if (report !== undefined && report.message === "") return report.number;
    throw new ContainerError(
      "failed",
      report?.message ?? `nobody knows how process ${this.pid} ended: its monitor was killed`,
    );
  }

  /** Sets the size of its terminal. */
  resize(size: TerminalSize): void {
    resizeTerminal(this.#directory, size);
  }

  /**
   * Sends it a signal; it is no error if it has ended.
   *
   * @param signal a name, with or without SIG, or a number. Default: KILL
   */
  kill(signal: string | number = "KILL"): void {
    killIfThere(this.pid, signalNumber(String(signal)));
  }

  /** Lets go of it; if it runs, it goes on. */
  close(): void {
    this.connection.close();
    this.#monitor.release();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/**
 * Starts a process in a container that runs.
 *
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function execIn(
  state: State,
  container: Container,
  options: ExecOptions,
): Promise<ExecSession> {
  const { directory, what, args } = makeSession(state, container, options);
  let monitor: Monitor | undefined;
  try {
    monitor = new Monitor(what, [...args, "--exec-attach"], true);
    await monitor.attachable();
    options.signal?.throwIfAborted();
    const connection = Connection.open(directory);
    if (options.size !== undefined && options.terminal) resizeTerminal(directory, options.size);
    monitor.proceed();
    const pid = await pidOf(monitor, what, connection);
    const started = new ExecSession(connection, pid, monitor, directory);
    if (options.signal?.aborted) {
      started.kill();
      started.close();
      throw options.signal.reason;
    }
    tellOf(state, container, options);
    return started;
  } catch (error) {
    // In this order: a start pipe that is closed means go, and then there must be nothing to run.
    rmSync(directory, { recursive: true, force: true });
    monitor?.release();
    throw error;
  }
}

/**
 * Starts a process in a container that runs, and leaves it alone: it has no input, and nobody gets its output.
 *
 * @returns its pid, as the host numbers it
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function execDetached(
  state: State,
  container: Container,
  options: Omit<ExecOptions, "stdin">,
): Promise<number> {
  const { directory, what, args } = makeSession(state, container, options);
  let monitor: Monitor | undefined;
  try {
    monitor = new Monitor(what, [...args, ...removalAtEnd(directory)]);
    const pid = await monitor.created();
    if (options.signal?.aborted) {
      killIfThere(pid, constants.signals.SIGKILL);
      throw options.signal.reason;
    }
    tellOf(state, container, options);
    return pid;
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  } finally {
    monitor?.release();
  }
}

/** Nobody else is there at its end. Where there is no rm(1), `prune` removes the directory. */
function removalAtEnd(directory: string): string[] {
  const rm = findProgram("rm");
  if (rm === undefined) return [];
  const words = ["-rf", "--", directory].map((word) => `--exit-command-arg=${word}`);
  return ["--exit-command", rm, ...words];
}

/** What is there before a monitor is started. */
interface Session {
  readonly directory: string;
  /** What is tried, for errors. */
  readonly what: string;
  /** Of the monitor. */
  readonly args: readonly string[];
}

/**
 * Makes the directory, and writes down what is to be executed.
 *
 * @throws ContainerError if the container does not run; the signal's reason if it was aborted
 */
function makeSession(state: State, container: Container, options: ExecOptions): Session {
  const { name, state: condition } = container;
  if (condition !== "running") {
    throw new ContainerError("conflict", `container ${name} is ${condition}, not running`, {
      hint: condition === "created" ? `conmonctl start ${name} has it begin` : undefined,
    });
  }
  options.signal?.throwIfAborted();
  state.make();
  const session = newId();
  // Short, since a terminal's and a client's sockets are in there.
  const directory = join(state.sessions, session.slice(0, 16));
  mkdirSync(directory, { mode: 0o700 });
  try {
    writeProcess(directory, container, options);
  } catch (error) {
    rmSync(directory, { recursive: true, force: true });
    throw error;
  }
  const what = `cannot run ${options.command[0]} in ${name}`;
  return { directory, what, args: monitorArguments(container, session, directory, options) };
}

function tellOf(state: State, { own, id, name }: Container, { command }: ExecOptions): void {
  if (own) appendEvent(state, { type: "exec", id, name, command });
}

async function pidOf(monitor: Monitor, what: string, connection: Connection): Promise<number> {
  const report = await monitor.nextReport();
  if (report !== undefined && report.number > 0) return report.number;
  connection.close();
  throw startFailure(what, report?.message ?? "the monitor ended without a reason");
}

/** As the container's own process, with another command. */
function writeProcess(directory: string, container: Container, options: ExecOptions): void {
  const config = readBundle(container.bundle);
  applyProcessOptions(config, { terminal: false, ...options });
  writeWhole(join(directory, "process.json"), JSON.stringify(config.process));
}

function monitorArguments(
  container: Container,
  session: string,
  directory: string,
  options: ExecOptions,
): string[] {
  return [
    ...["--api-version", "1", "--exec"],
    ...["--cid", container.id, "--cuuid", session, "--name", container.name],
    ...["--runtime", container.runtime],
    ...container.runtimeArguments.map((argument) => `--runtime-arg=${argument}`),
    ...["--exec-process-spec", join(directory, "process.json")],
    ...["--bundle", directory, "--full-attach", "--log-path", "none"],
    ...["--container-pidfile", join(directory, "pid")],
    ...(options.terminal === true ? ["--terminal"] : []),
    ...(options.stdin === true ? ["--stdin"] : []),
  ];
}
