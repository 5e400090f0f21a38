/** Starting a container. */
import { mkdirSync, rmSync } from "node:fs";
import { resolve } from "node:path";
import { type AttachedContainer, begin, meet, type StartedContainer } from "./begin.ts";
import { makeBundle } from "./bundle.ts";
import { appendEvent } from "./event-log.ts";
import { launchMonitor } from "./launch.ts";
import { logSettings } from "./log-settings.ts";
import { lostLogWarning } from "./log-warning.ts";
import type { Monitor } from "./monitor.ts";
import { claimName, newId, releaseName } from "./names.ts";
import type { RunOptions } from "./options.ts";
import { isHostRuntime, plainProcessWarning } from "./plain-process.ts";
import { findRuntime } from "./programs.ts";
import { type ContainerRecord, newRecord, writeRecord } from "./record.ts";
import { FIRST_RUN } from "./runs.ts";
import { deleteContainer } from "./runtime.ts";
import { lockForStart } from "./start-lock.ts";
import { State } from "./state.ts";
import { wantEnd } from "./wanted-end.ts";

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
export function run(options: RunOptions & { readonly attach: true }): Promise<AttachedContainer>;
export function run(options: RunOptions): Promise<StartedContainer>;
export async function run(options: RunOptions): Promise<StartedContainer> {
  // Whoever comes and goes must not end the input of a container that nobody was attached to at first.
  const open = options.stdin === true && options.attach !== true;
  return await make(options, begin, open ? ["--leave-stdin-open"] : []);
}

/**
 * Makes a container as {@link run} does, and does not start it: its process waits for `start`.
 *
 * @throws ContainerError; the signal's reason if it was aborted. Then nothing is left of it
 */
export function create(options: RunOptions & { readonly attach: true }): Promise<AttachedContainer>;
export function create(options: RunOptions): Promise<StartedContainer>;
export async function create(options: RunOptions): Promise<StartedContainer> {
  // Whoever starts it may attach to it at first.
  return await make(options, meet, []);
}

/**
 * @param welcome what is done with it once it is made
 * @param inputArguments conmon's options for its input
 */
async function make(
  options: RunOptions,
  welcome: typeof begin | typeof meet,
  inputArguments: readonly string[],
): Promise<StartedContainer> {
  const state = new State(options.state);
  state.make();
  options.signal?.throwIfAborted();
  const { record, unlock } = prepare(state, options, inputArguments);
  let monitor: Monitor | undefined;
  try {
    monitor = launchMonitor(state, record);
    const pid = await monitor.created();
    appendEvent(state, { type: "create", id: record.id, name: record.name });
    options.signal?.throwIfAborted();
    warn(record, options);
    return await welcome(state, { record, pid, runs: FIRST_RUN }, options);
  } catch (error) {
    await takeBack(state, record, monitor);
    throw error;
  } finally {
    monitor?.release();
    unlock();
  }
}

function warn({ name, runtime, logs }: ContainerRecord, options: RunOptions): void {
  const { onWarning } = options;
  if (onWarning === undefined) return;
  const plain = isHostRuntime(runtime) ? plainProcessWarning(name, options) : undefined;
  for (const text of [plain, lostLogWarning(name, logs)]) {
    if (text !== undefined) onWarning(text);
  }
}

/** Directory, name, bundle and record; nobody else can start it before it is unlocked. */
function prepare(
  state: State,
  options: RunOptions,
  inputArguments: readonly string[],
): { readonly record: ContainerRecord; readonly unlock: () => void } {
  const id = newId();
  const paths = state.container(id);
  const runtime = findRuntime(options.runtime);
  mkdirSync(paths.directory, { mode: 0o700 });
  let name: string | undefined;
  let unlock: (() => void) | undefined;
  try {
    // First of all: a directory that nobody has locked was left by somebody who was killed.
    unlock = lockForStart(paths, id);
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
      monitorArguments: [...logs.arguments, ...timeoutArguments(options), ...inputArguments],
      remove: options.remove ?? false,
      restart: options.restart ?? { when: "no" },
    });
    writeRecord(paths, record);
    return { record, unlock };
  } catch (error) {
    discard(state, id, name);
    unlock?.();
    throw error;
  }
}

function timeoutArguments({ timeout }: RunOptions): string[] {
  return timeout === undefined ? [] : ["--timeout", String(timeout)];
}

/** Nothing is left of a container that could not be started. */
async function takeBack(
  state: State,
  record: ContainerRecord,
  monitor: Monitor | undefined,
): Promise<void> {
  if (monitor !== undefined) {
    wantEnd(state, record.id);
    await deleteContainer(record, record.id);
    await monitor.ended();
  }
  discard(state, record.id, record.name);
}

function discard(state: State, id: string, name: string | undefined): void {
  if (name !== undefined) releaseName(state, id, name);
  rmSync(state.container(id).directory, { recursive: true, force: true });
}
