/** From a container that was made to one that runs. */
import { markBeginning, unmarkBeginning } from "./beginning.ts";
import { Connection } from "./connection.ts";
import { setFirstSize } from "./control.ts";
import { appendEvent } from "./event-log.ts";
import { follow } from "./followers.ts";
import type { BeginOptions } from "./options.ts";
import { attachToNextRun } from "./reattach.ts";
import type { ContainerRecord } from "./record.ts";
import { type Runs, writeRuns } from "./runs.ts";
import { startContainer } from "./runtime.ts";
import type { State } from "./state.ts";
import { unlessAborted } from "./times.ts";
import { waitForOwn } from "./wait.ts";

/** A container that has been made, or started. It does not matter to it whether this object lives. */
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
   * @param options.signal gives up waiting; later it closes the connection
   * @returns undefined if there is no other run
   * @throws the signal's reason if it was aborted before
   */
  nextRun(options?: { readonly signal?: AbortSignal }): Promise<Connection | undefined>;
  /**
   * Waits for its end, see {@link waitForOwn}.
   *
   * @param options.signal gives up waiting
   * @returns the exit status, `null` if nobody knows it
   * @throws the signal's reason if it was aborted
   */
  wait(options?: { readonly signal?: AbortSignal }): Promise<number | null>;
}

/** One that was made, or started, with `attach`. */
export interface AttachedContainer extends StartedContainer {
  readonly connection: Connection;
}

/** A run that was made, and waits to begin. */
export interface MadeRun {
  readonly record: ContainerRecord;
  /** Of its process. */
  readonly pid: number;
  /** What becomes runs.json. */
  readonly runs: Runs;
}

/** Attaches to a run that was made, if that is asked for, and gives its terminal the size. It does not begin. */
export function meet(
  state: State,
  { record, pid, runs }: MadeRun,
  options: BeginOptions,
): StartedContainer {
  const { id, name } = record;
  const paths = state.container(id);
  options.signal?.throwIfAborted();
  if (options.size !== undefined && record.terminal) setFirstSize(pid, paths.bundle, options.size);
  const onDetach = (): void => appendEvent(state, { type: "detach", id, name });
  const connection =
    options.attach === true ? Connection.open(paths.bundle, { onDetach }) : undefined;
  try {
    if (connection !== undefined && options.follow === true) follow(paths, runs.count);
  } catch (error) {
    connection?.close();
    throw error;
  }
  let run = runs.count;
  return {
    id,
    name,
    pid,
    connection,
    nextRun: async ({ signal } = {}) => {
      if (record.restart.when === "no") return undefined;
      const next = await attachToNextRun(state, id, run, signal);
      if (next === undefined) signal?.throwIfAborted();
      run = next?.run ?? run;
      return next?.connection;
    },
    wait: async ({ signal } = {}) =>
      (await unlessAborted(waitForOwn(state, id, signal), signal)) ?? null,
  };
}

/**
 * Attaches to a run that was made, and has it begin.
 *
 * @throws ContainerError if the runtime cannot start it; the signal's reason if it was aborted. Then nobody is
 *   attached to it
 */
export async function begin(
  state: State,
  made: MadeRun,
  options: BeginOptions,
): Promise<StartedContainer> {
  const { record, pid, runs } = made;
  const { id, name } = record;
  const paths = state.container(id);
  const met = meet(state, made, options);
  try {
    markBeginning(paths);
    // Before the start, since the exit command of a short run is quick to come.
    writeRuns(paths, { ...runs, started: new Date().toISOString() });
    // This too, or the end of a short run would be told first.
    appendEvent(state, { type: "start", id, name, pid });
    await startContainer(record, id);
  } catch (error) {
    met.connection?.close();
    throw error;
  } finally {
    unmarkBeginning(paths);
  }
  return met;
}
