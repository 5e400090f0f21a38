/** Starting a container. */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { makeBundle } from "./bundle.ts";
import { Connection } from "./connection.ts";
import { setFirstSize } from "./control.ts";
import { appendEvent } from "./event-log.ts";
import { writeWhole } from "./files.ts";
import { launchMonitor } from "./launch.ts";
import { logSettings } from "./log-settings.ts";
import type { Monitor } from "./monitor.ts";
import { claimName, newId, releaseName } from "./names.ts";
import type { RunOptions } from "./options.ts";
import { isHostRuntime, plainProcessWarning } from "./plain-process.ts";
import { findRuntime } from "./programs.ts";
import { type ContainerRecord, newRecord, writeRecord } from "./record.ts";
import { FIRST_RUN, writeRuns } from "./runs.ts";
import { deleteContainer, startContainer } from "./runtime.ts";
import { State } from "./state.ts";
import { waitForOwn } from "./wait.ts";

/** A container that has been started. It does not matter to it whether this object lives. */
export interface StartedContainer {
  readonly id: string;
  readonly name: string;
  /** Of its first process, as the host numbers it. */
  readonly pid: number;
  /** Its output from the beginning, and its input, if `attach` was asked for; to be closed. */
  readonly connection: Connection | undefined;
  /**
   * Waits for its end, see {@link waitForOwn}.
   *
   * @returns the exit status; undefined if the signal was aborted first, `null` if nobody knows it
   */
  wait(signal?: AbortSignal): Promise<number | null | undefined>;
}

/**
 * Starts a container: from a bundle, which is not written to, or a command.
 *
 * @throws ContainerError; then nothing is left of it
 *
 * @example
 * ```ts
 * const container = await run({ command: ["sh", "-c", "echo hello; exit 3"], attach: true });
 * for await (const { stream, data } of container.connection ?? []) console.log(stream, String(data));
 * console.log(await container.wait()); // 3
 * ```
 */
export async function run(
  options: RunOptions & { readonly attach?: boolean },
): Promise<StartedContainer> {
  const state = new State(options.state);
  state.make();
  const record = prepare(state, options);
  let monitor: Monitor | undefined;
  try {
    monitor = launchMonitor(state, record);
    const pid = await monitor.created();
    appendEvent(state, { type: "create", ...idAndName(record) });
    options.signal?.throwIfAborted();
    if (isHostRuntime(record.runtime)) warn(record.name, options);
    const { bundle } = state.container(record.id);
    if (options.size !== undefined && record.terminal) setFirstSize(pid, bundle, options.size);
    const detached = (): void => appendEvent(state, { type: "detach", ...idAndName(record) });
    const connection = options.attach === true ? Connection.open(bundle, detached) : undefined;
    try {
      await begin(state, record, pid);
    } catch (error) {
      connection?.close();
      throw error;
    }
    return started(state, record, pid, connection);
  } catch (error) {
    await takeBack(state, record, monitor);
    throw error;
  } finally {
    monitor?.release();
  }
}

function warn(name: string, options: RunOptions): void {
  const text = plainProcessWarning(name, options);
  if (text !== undefined) options.onWarning?.(text);
}

/** What the caller gets to see. */
function started(
  state: State,
  record: ContainerRecord,
  pid: number,
  connection: Connection | undefined,
): StartedContainer {
  const { id, name } = record;
  return {
    id,
    name,
    pid,
    connection,
    wait: async (signal) => await waitForOwn(state, id, signal),
  };
}

/** Has a container that was made begin. */
async function begin(state: State, record: ContainerRecord, pid: number): Promise<void> {
  const paths = state.container(record.id);
  // Before the start, since the exit command of a short run is quick to come.
  writeRuns(paths, { ...FIRST_RUN, started: new Date().toISOString() });
  // This too, or the end of a short run would be told first.
  appendEvent(state, { type: "start", ...idAndName(record), pid });
  await startContainer(record, record.id);
}

/** Directory, name, bundle and record. */
function prepare(state: State, options: RunOptions): ContainerRecord {
  const id = newId();
  const paths = state.container(id);
  const runtime = findRuntime(options.runtime);
  mkdirSync(paths.directory, { mode: 0o700 });
  let name: string | undefined;
  try {
    name = claimName(state, id, options.name);
    mkdirSync(paths.bundle, { mode: 0o700 });
    const config = makeBundle(paths.bundle, id, { ...options, runtime });
    const logs = logSettings(options.logDrivers ?? [], options.logOptions ?? [], paths.log);
    const record = newRecord({
      id,
      name,
      created: new Date().toISOString(),
      command: config.process.args,
      sourceBundle: options.bundle === undefined ? null : resolve(options.bundle),
      runtime,
      runtimeArguments: [`--root=${state.runtimeRoot(runtime)}`],
      terminal: config.process.terminal ?? false,
      stdin: options.stdin ?? false,
      logs: logs.logs,
      monitorArguments: [...logs.arguments, ...monitorArguments(options)],
      remove: options.remove ?? false,
      restart: options.restart ?? { when: "no" },
    });
    writeRecord(paths, record);
    return record;
  } catch (error) {
    discard(state, id, name);
    throw error;
  }
}

function monitorArguments(options: RunOptions & { readonly attach?: boolean }): string[] {
  const { timeout, stdin, attach } = options;
  // Whoever comes and goes must not end the input of a container that nobody was attached to at first.
  const open = stdin === true && attach !== true ? ["--leave-stdin-open"] : [];
  return [...(timeout === undefined ? [] : ["--timeout", String(timeout)]), ...open];
}

/** Nothing is left of a container that could not be started. */
async function takeBack(
  state: State,
  record: ContainerRecord,
  monitor: Monitor | undefined,
): Promise<void> {
  if (monitor !== undefined) {
    writeWhole(state.container(record.id).stop, "");
    await deleteContainer(record, record.id);
    await monitor.ended();
  }
  discard(state, record.id, record.name);
}

function discard(state: State, id: string, name: string | undefined): void {
  if (name !== undefined) releaseName(state, id, name);
  rmSync(state.container(id).directory, { recursive: true, force: true });
}

function idAndName({ id, name }: ContainerRecord): { id: string; name: string } {
  return { id, name };
}
