/** The next run of a container, made and begun by the exit command of the one before. */
import { existsSync } from "node:fs";
import { isLeftUnbegun, markBeginning, unmarkBeginning } from "./beginning.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { failedRun } from "./failed-run.ts";
import { untilFollowed } from "./followers.ts";
import { launchMonitor } from "./launch.ts";
import type { Monitor } from "./monitor.ts";
import type { ContainerRecord } from "./record.ts";
import { FIRST_RUN, type Runs, writeRuns } from "./runs.ts";
import { deleteContainer, startContainer } from "./runtime.ts";
import { findShims } from "./shims.ts";
import { lockUnlessStarting } from "./start-lock.ts";
import type { State } from "./state.ts";
import { watchFor } from "./watch.ts";

/** How long a monitor may take to make a container, or to end, in milliseconds. */
const PATIENCE = 10_000;

/**
 * Makes the next run and has it begin.
 *
 * @param runs after the run before
 * @returns the run that has ended before it could begin, if it has
 * @throws ContainerError if it was made and could not begin
 */
export async function restart(
  state: State,
  record: ContainerRecord,
  { inARow, count, keeper }: Runs,
): Promise<Runs | undefined> {
  const { id, name } = record;
  const paths = state.container(id);
  const fresh: Runs = { ...FIRST_RUN, inARow, count: count + 1, keeper };
  writeRuns(paths, fresh);
  const monitor = launchMonitor(state, record);
  try {
    const made = await madeAgain(monitor);
    if (typeof made === "number") await untilFollowed(paths, fresh.count);
    // Whoever has asked for its end since may not have found anything that could be ended.
    if (typeof made !== "number" || existsSync(paths.stop)) {
      await deleteContainer(record, id);
      await monitor.ended();
      return failedRun(state, record, fresh, made);
    }
    markBeginning(paths);
    writeRuns(paths, { ...fresh, started: new Date().toISOString() });
    appendEvent(state, { type: "start", id, name, pid: made });
    await startContainer(record, id);
    unmarkBeginning(paths);
    return undefined;
  } catch (error) {
    // If it had been made, its own monitor has its exit command carry on.
    await deleteContainer(record, id);
    throw error;
  } finally {
    monitor.release();
  }
}

/** Has a run begin if whoever was about to do so was killed, and nobody else is. */
export async function beginIfLeft(state: State, record: ContainerRecord): Promise<void> {
  const paths = state.container(record.id);
  const unlock = lockUnlessStarting(paths);
  if (unlock === undefined) return;
  try {
    if (!isLeftUnbegun(paths, record)) return;
    await startContainer(record, record.id);
    unmarkBeginning(paths);
  } finally {
    unlock();
  }
}

/**
 * Takes back a run whose making was begun by somebody who was killed.
 *
 * @returns that run, as one that could not begin
 * @throws ContainerError if its monitor does not end
 */
export async function undoMaking(state: State, record: ContainerRecord, runs: Runs): Promise<Runs> {
  const { id, name } = record;
  const paths = state.container(id);
  const isAlone = () => !hasOtherMonitor(id, runs.keeper) || undefined;
  const isMade = () => existsSync(paths.containerPid) || isAlone();
  const within = (look: () => true | undefined) =>
    watchFor([paths.directory], look, AbortSignal.timeout(PATIENCE));
  // What is just being made cannot be deleted.
  await within(() => isMade() || undefined);
  await deleteContainer(record, id);
  if ((await within(isAlone)) === undefined) {
    const message = `the monitor of ${name} did not end in ${PATIENCE} ms`;
    throw new ContainerError("failed", message, { hint: "is it stopped, or its conmond?" });
  }
  return failedRun(state, record, runs, undefined);
}

function hasOtherMonitor(id: string, known: number | undefined): boolean {
  return findShims().some((shim) => shim.id === id && shim.pid !== known && !shim.options.exec);
}

/** The pid of its process, or why it could not be made. */
async function madeAgain(monitor: Monitor): Promise<number | ContainerError> {
  try {
    return await monitor.created();
  } catch (error) {
    if (error instanceof ContainerError) return error;
    throw error;
  }
}
