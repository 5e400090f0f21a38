/** From a container that was made to one that runs. */
import { Connection } from "./connection.ts";
import { setFirstSize, type TerminalSize } from "./control.ts";
import { appendEvent } from "./event-log.ts";
import { follow } from "./followers.ts";
import { attachToNextRun } from "./reattach.ts";
import type { ContainerRecord } from "./record.ts";
import { type Runs, writeRuns } from "./runs.ts";
import { startContainer } from "./runtime.ts";
import type { State } from "./state.ts";
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
   * Waits until it is started again, after its output has ended, and attaches to it: with `follow`, before that
   * run begins.
   *
   * @returns undefined if there is no other run, or the signal was aborted first
   */
  nextRun(signal?: AbortSignal): Promise<Connection | undefined>;
  /**
   * Waits for its end, see {@link waitForOwn}.
   *
   * @returns the exit status; undefined if the signal was aborted first, `null` if nobody knows it
   */
  wait(signal?: AbortSignal): Promise<number | null | undefined>;
}

/** How a run is begun. */
export interface BeginOptions {
  /** Connect before it begins, so that no output is missed. Default: false. */
  readonly attach?: boolean;
  /** With `attach`: further runs wait a moment for `nextRun` to be called, so that no output is missed. Default: false. */
  readonly follow?: boolean;
  /** How large its terminal is. */
  readonly size?: TerminalSize;
  /** Gives up as long as it has not begun. */
  readonly signal?: AbortSignal;
}

/**
 * Attaches to a container that was made, and has it begin.
 *
 * @param made its process, and what becomes runs.json
 * @throws ContainerError if the runtime cannot start it
 */
export async function begin(
  state: State,
  record: ContainerRecord,
  made: { readonly pid: number; readonly runs: Runs },
  options: BeginOptions,
): Promise<StartedContainer> {
  const { id, name } = record;
  const { pid, runs } = made;
  const paths = state.container(id);
  options.signal?.throwIfAborted();
  if (options.size !== undefined && record.terminal) setFirstSize(pid, paths.bundle, options.size);
  const detached = (): void => appendEvent(state, { type: "detach", id, name });
  const connection = options.attach === true ? Connection.open(paths.bundle, detached) : undefined;
  try {
    if (options.follow === true) follow(paths, runs.count);
    // Before the start, since the exit command of a short run is quick to come.
    writeRuns(paths, { ...runs, started: new Date().toISOString() });
    // This too, or the end of a short run would be told first.
    appendEvent(state, { type: "start", id, name, pid });
    await startContainer(record, id);
  } catch (error) {
    connection?.close();
    throw error;
  }
  return started(state, record, { pid, run: runs.count, connection });
}

function started(
  state: State,
  { id, name, restart }: ContainerRecord,
  first: { readonly pid: number; run: number; readonly connection: Connection | undefined },
): StartedContainer {
  const { pid, connection } = first;
  let { run } = first;
  return {
    id,
    name,
    pid,
    connection,
    nextRun: async (signal) => {
      if (restart.when === "no") return undefined;
      const next = await attachToNextRun(state, id, run, signal);
      run = next?.run ?? run;
      return next?.connection;
    },
    wait: async (signal) => await waitForOwn(state, id, signal),
  };
}
