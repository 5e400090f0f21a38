/**
 * `import { run, attach, exec, readLogs, followLogs, events } from "conmon-ts"`: all that conmonctl does, for
 * programs. Containers live on when the program ends.
 *
 * Containers are named as on the command line: by name, ID, or the beginning of an ID. Functions that wait take
 * an `AbortSignal`; what goes on is an async iterable. What fails is a {@link ContainerError} with a `kind`.
 *
 * @example
 * ```ts
 * import { events, readLogs, run } from "conmon-ts";
 *
 * const container = await run({ command: ["sh", "-c", "echo hello; exit 3"], name: "job" });
 * console.log(await container.wait()); // 3
 * for await (const line of readLogs("job")) console.log(line.stream, String(line.text));
 * for await (const event of events({ since: new Date(0) })) console.log(event.type, event.name);
 * ```
 *
 * @module
 */
import * as core from "../containers/mod.ts";
import * as reading from "../logging/read/mod.ts";

export {
  type BeginOptions,
  Connection,
  type Container,
  ContainerError,
  type ContainerErrorKind,
  type ContainerEvent,
  type ContainerState,
  type ContainerStats,
  type EventType,
  type ExecOptions,
  ExecSession,
  type MountOption,
  type OutputChunk,
  type Owner,
  type ProcessOptions,
  type RestartPolicy,
  type RunOptions,
  run,
  type StartedContainer,
  type TerminalSize,
  type Usage,
} from "../containers/mod.ts";
export {
  type FollowOptions,
  LogFault,
  type LogFaultKind,
  type LogLine,
  parseTimeArgument,
  type ReadOptions,
} from "../logging/read/mod.ts";

/** What all functions can be told. */
export interface StateOption {
  /** The state directory. Default: `$CONMON_TS_STATE`, else that of the user or of root. */
  readonly state?: string;
}

/** All containers, the newest first: those with a record, and those of Podman and CRI-O under our monitors. */
export function list(options: StateOption = {}): core.Container[] {
  return core.listContainers(new core.State(options.state));
}

/**
 * A container as it is now.
 *
 * @throws ContainerError if there is none
 */
export function inspect(container: string, options: StateOption = {}): core.Container {
  return core.findContainer(new core.State(options.state), container);
}

/**
 * Connects to a container that runs: its output from now on, and its input.
 *
 * @throws ContainerError if it does not run
 */
export function attach(container: string, options: StateOption = {}): core.Connection {
  const { state, found } = find(container, options);
  return core.attachTo(state, found);
}

/**
 * Starts a further process in a container that runs.
 *
 * @throws ContainerError
 *
 * @example
 * ```ts
 * const process = await exec("web", { command: ["ls", "/"] });
 * for await (const { data } of process.connection) console.log(String(data));
 * console.log(await process.wait());
 * ```
 */
export async function exec(
  container: string,
  options: core.ExecOptions & StateOption,
): Promise<core.ExecSession> {
  const { state, found } = find(container, options);
  return await core.execIn(state, found, options);
}

/**
 * Starts a further process in a container that runs, and leaves it alone: it has no input, and nobody gets its output.
 *
 * @returns its pid, as the host numbers it
 * @throws ContainerError
 */
export async function execDetached(
  container: string,
  options: Omit<core.ExecOptions, "stdin"> & StateOption,
): Promise<number> {
  const { state, found } = find(container, options);
  return await core.execDetached(state, found, options);
}

/**
 * Starts a container again that has ended, as it was started at first.
 *
 * @throws ContainerError if it runs, or cannot be started
 */
export async function start(
  container: string,
  options: core.BeginOptions & StateOption = {},
): Promise<core.StartedContainer> {
  const { state, found } = find(container, options);
  return await core.startAgain(state, found, options);
}

/** The lines that a container has written, see `conmonctl logs`. */
export async function* readLogs(
  container: string,
  options: reading.ReadOptions & StateOption = {},
): AsyncGenerator<reading.LogLine, void, undefined> {
  yield* reading.readLogs(core.logFileOf(find(container, options).found), options);
}

/** The same, and what it writes until it has ended or the signal is aborted. */
export async function* followLogs(
  container: string,
  options: reading.ReadOptions & StateOption = {},
): AsyncGenerator<reading.LogLine, void, undefined> {
  const { state, found } = find(container, options);
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, ...(options.signal ? [options.signal] : [])]);
  const ended = core.waitForEnd(state, found, signal);
  try {
    yield* reading.followLogs(core.logFileOf(found), { ...options, ended });
  } finally {
    over.abort();
  }
}

/** What has happened, and with `follow` what happens; events of the containers of others are not known. */
export async function* events(
  options: Omit<core.EventOptions, "id"> & StateOption & { readonly container?: string } = {},
): AsyncGenerator<core.ContainerEvent, void, undefined> {
  const state = new core.State(options.state);
  const { container } = options;
  const one = container === undefined ? {} : { id: core.findContainer(state, container).id };
  yield* core.readEvents(state, { ...options, ...one });
}

/**
 * Figures of one container, or of all that run, for each interval.
 *
 * @param options.interval in milliseconds; default 1000
 */
export async function* stats(
  options: StateOption & {
    readonly container?: string;
    readonly interval?: number;
    readonly signal?: AbortSignal;
  } = {},
): AsyncGenerator<core.ContainerStats[], void, undefined> {
  const state = new core.State(options.state);
  const { container, interval = 1000 } = options;
  const select = (): core.Container[] =>
    container === undefined
      ? core.listContainers(state).filter((each) => each.state === "running")
      : [core.findContainer(state, container)];
  yield* core.watchStats(select, interval, options.signal);
}

/**
 * Waits for a container's end.
 *
 * @returns its exit status, `null` if nobody knows it; undefined if the signal was aborted first
 */
export async function wait(
  container: string,
  options: StateOption & { readonly signal?: AbortSignal } = {},
): Promise<number | null | undefined> {
  const { state, found } = find(container, options);
  return await core.waitForEnd(state, found, options.signal);
}

/**
 * Ends a container: SIGTERM, and SIGKILL after `seconds`, 10 by default. It is not started again.
 *
 * @returns its exit status, `null` if nobody knows it
 */
export async function stop(
  container: string,
  options: StateOption & { readonly seconds?: number } = {},
): Promise<number | null> {
  const { state, found } = find(container, options);
  return await core.stopContainer(state, found, options.seconds);
}

/** Sends a signal, SIGKILL by default, to a container's first process. */
export async function kill(
  container: string,
  options: StateOption & { readonly signal?: string } = {},
): Promise<void> {
  const { state, found } = find(container, options);
  await core.signalContainer(state, found, options.signal ?? "KILL");
}

/** Removes a container that has ended, or, with `force`, kills it first. */
export async function remove(
  container: string,
  options: StateOption & { readonly force?: boolean } = {},
): Promise<void> {
  const { state, found } = find(container, options);
  await core.removeContainer(state, found, options.force);
}

/** Sets the size of a container's terminal. */
export function resize(
  container: string,
  size: core.TerminalSize,
  options: StateOption = {},
): void {
  core.resizeTerminal(find(container, options).found.bundle, size);
}

/** Has the log files of a container begun anew. */
export function reopenLogs(container: string, options: StateOption = {}): void {
  core.reopenLogs(find(container, options).found.bundle);
}

/** Removes all containers that have ended. Returns them. */
export async function prune(options: StateOption = {}): Promise<core.Container[]> {
  return await core.pruneContainers(new core.State(options.state));
}

function find(
  text: string,
  options: StateOption,
): { readonly state: core.State; readonly found: core.Container } {
  const state = new core.State(options.state);
  return { state, found: core.findContainer(state, text) };
}
