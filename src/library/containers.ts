/** Containers: looking at them, connecting to them, ending them. */
import * as core from "../containers/mod.ts";
import { attempt, attemptEach } from "./errors.ts";
import { find, type SignalOption, type StateOption } from "./options.ts";

/**
 * Starts a container: from a bundle, which is not written to, or a command.
 *
 * @throws ContainerError; the signal's reason if it was aborted. Then nothing is left of it
 *
 * @example
 * ```ts
 * const container = await run({ command: ["sh", "-c", "echo hello; exit 3"], attach: true });
 * for await (const { stream, data } of container.connection) console.log(stream, String(data));
 * console.log(await container.wait()); // 3
 * ```
 */
export function run(
  options: core.RunOptions & { readonly attach: true },
): Promise<core.AttachedContainer>;
export function run(options: core.RunOptions): Promise<core.StartedContainer>;
export async function run(options: core.RunOptions): Promise<core.StartedContainer> {
  return await attempt(() => core.run(options));
}

/**
 * Makes a container as {@link run} does, and does not start it: {@link start} does, at any time and from any
 * program.
 *
 * @throws ContainerError; the signal's reason if it was aborted. Then nothing is left of it
 */
export function create(
  options: core.RunOptions & { readonly attach: true },
): Promise<core.AttachedContainer>;
export function create(options: core.RunOptions): Promise<core.StartedContainer>;
export async function create(options: core.RunOptions): Promise<core.StartedContainer> {
  return await attempt(() => core.create(options));
}

/**
 * Starts a container that was made by {@link create}, or one that has ended: again, as it was started at first, with
 * its log going on.
 *
 * @throws ContainerError if it runs, or cannot be started; in the latter case it has ended. The signal's reason if it
 *   was aborted: one that was only made can be started later then
 *
 * @example
 * ```ts
 * const again = await start("job", { attach: true });
 * for await (const { data } of again.connection) process.stdout.write(data);
 * ```
 */
export function start(
  container: string,
  options: core.BeginOptions & StateOption & { readonly attach: true },
): Promise<core.AttachedContainer>;
export function start(
  container: string,
  options?: core.BeginOptions & StateOption,
): Promise<core.StartedContainer>;
export async function start(
  container: string,
  options: core.BeginOptions & StateOption = {},
): Promise<core.StartedContainer> {
  return await attempt(async () => {
    const { state, found } = find(container, options);
    return await core.start(state, found, options);
  });
}

/**
 * All containers, the newest first: those with a record, and those of Podman and CRI-O under our monitors.
 *
 * @param options.onFault is told of records that cannot be read, by the ID; the others are returned all the same
 * @throws ContainerError; `damaged` for such a record, unless there is an `onFault`
 */
export function list(
  options: StateOption & { readonly onFault?: core.OnFault } = {},
): core.Container[] {
  return attempt(() => core.listContainers(new core.State(options.state), options.onFault));
}

/**
 * A container as it is now, with the configuration of its bundle.
 *
 * @throws ContainerError if there is none
 */
export function inspect(container: string, options: StateOption = {}): core.ContainerDetails {
  return attempt(() => core.inspectContainer(find(container, options).found));
}

/**
 * Connects to a container that runs: its output from now on, and its input.
 *
 * @param options.signal closes the connection
 * @throws ContainerError if it does not run
 *
 * @example
 * ```ts
 * const connection = attach("shell");
 * await connection.write("ls\n");
 * for await (const { data } of connection) process.stdout.write(data);
 * ```
 */
export function attach(
  container: string,
  options: StateOption & SignalOption = {},
): core.Connection {
  return attempt(() => {
    const { state, found } = find(container, options);
    return core.attachTo(state, found, options.signal);
  });
}

/**
 * Connects to each run of a container with a restart policy, before it begins; the present one first. The next
 * connection comes when the one before has ended and the container is started again.
 *
 * @param options.signal ends it, and closes the connection
 * @throws ContainerError if it does not run
 *
 * @example
 * ```ts
 * for await (const connection of attachToRuns("web")) {
 *   for await (const { data } of connection) process.stdout.write(data);
 * }
 * ```
 */
export async function* attachToRuns(
  container: string,
  options: StateOption & SignalOption = {},
): AsyncGenerator<core.Connection, void, undefined> {
  yield* attemptEach(() => {
    const { state, found } = find(container, options);
    return core.attachToRuns(state, found, options.signal);
  });
}

/**
 * Starts a further process in a container that runs.
 *
 * @throws ContainerError; the signal's reason if it was aborted
 *
 * @example
 * ```ts
 * const session = await exec("web", { command: ["ls", "/"] });
 * for await (const { data } of session.connection) console.log(String(data));
 * console.log(await session.wait());
 * ```
 */
export async function exec(
  container: string,
  options: core.ExecOptions & StateOption,
): Promise<core.ExecSession> {
  return await attempt(async () => {
    const { state, found } = find(container, options);
    return await core.execIn(state, found, options);
  });
}

/**
 * Starts a further process in a container that runs, and leaves it alone: it has no input, and nobody gets its output.
 *
 * @returns its pid, as the host numbers it
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function execDetached(
  container: string,
  options: Omit<core.ExecOptions, "stdin"> & StateOption,
): Promise<number> {
  return await attempt(async () => {
    const { state, found } = find(container, options);
    return await core.execDetached(state, found, options);
  });
}

/**
 * Waits for a container's end: with a restart policy, until it is not started again.
 *
 * @returns its exit status, `null` if nobody knows it; -1 if its time was up
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function wait(
  container: string,
  options: StateOption & SignalOption = {},
): Promise<number | null> {
  return await attempt(async () => {
    const { state, found } = find(container, options);
    const { signal } = options;
    const status = await core.unlessAborted(core.waitForEnd(state, found, signal), signal);
    return status ?? null;
  });
}

/**
 * Ends a container: SIGTERM, and SIGKILL if that has not ended it in time. It is not started again.
 *
 * @param options.seconds how long it may take. Default: 10
 * @param options.signal gives up waiting; the container is not killed then
 * @returns its exit status, `null` if nobody knows it
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function stop(
  container: string,
  options: StateOption & SignalOption & { readonly seconds?: number } = {},
): Promise<number | null> {
  return await attempt(async () => {
    const { state, found } = find(container, options);
    return await core.stopContainer(state, found, options.seconds, options.signal);
  });
}

/**
 * Sends a signal to a container's first process. One with a restart policy may be started again.
 *
 * @param options.signal a name, with or without SIG, or a number. Default: KILL
 * @throws ContainerError if it does not run
 */
export async function kill(
  container: string,
  options: StateOption & { readonly signal?: string | number } = {},
): Promise<void> {
  await attempt(async () => {
    const { state, found } = find(container, options);
    await core.signalContainer(state, found, String(options.signal ?? "KILL"));
  });
}

/**
 * Removes a container that has ended, with all that belongs to it, its log too.
 *
 * @param options.force one that runs is killed
 * @throws ContainerError if it runs, or was not started by conmonctl; the signal's reason if it was aborted
 */
export async function remove(
  container: string,
  options: StateOption & SignalOption & { readonly force?: boolean } = {},
): Promise<void> {
  await attempt(async () => {
    const { state, found } = find(container, options);
    await core.removeContainer(state, found, options.force, options.signal);
  });
}

/**
 * Removes all containers that have ended, and what was left by programs that were killed.
 *
 * @param options.onRemoved is told of each
 * @param options.signal ends it after the container that is being removed
 * @returns those that were removed
 * @throws ContainerError; `damaged` for a record that cannot be read, after all others were removed. The signal's
 *   reason if it was aborted
 */
export async function prune(
  options: StateOption &
    SignalOption & { readonly onRemoved?: (container: core.Container) => void } = {},
): Promise<core.Container[]> {
  return await attempt(() =>
    core.pruneContainers(new core.State(options.state), options.onRemoved, options.signal),
  );
}

/**
 * Sets the size of a container's terminal.
 *
 * @throws ContainerError if it has none, or does not run
 */
export function resize(
  container: string,
  size: core.TerminalSize,
  options: StateOption = {},
): void {
  attempt(() => core.resizeContainer(find(container, options).found, size));
}

/**
 * Has the log files of a container begun anew, after they were moved away.
 *
 * @throws ContainerError if no monitor is there
 */
export function reopenLogs(container: string, options: StateOption = {}): void {
  attempt(() => core.reopenLogs(find(container, options).found.bundle));
}
