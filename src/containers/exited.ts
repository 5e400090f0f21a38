/** What is done when a container has ended: the monitor's exit command. */
import { existsSync } from "node:fs";
import { ContainerError, isCode } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { failedRun } from "./failed-run.ts";
import { readIfThere } from "./files.ts";
import { untilFollowed } from "./followers.ts";
import { launchMonitor } from "./launch.ts";
import type { Monitor } from "./monitor.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { discardContainer } from "./remove.ts";
import { afterRun, FIRST_RUN, type Runs, readRuns, unbegunRun, writeRuns } from "./runs.ts";
import { deleteContainer, startContainer } from "./runtime.ts";
import { lockUnlessStarting } from "./start-lock.ts";
import type { State } from "./state.ts";
import { pause } from "./times.ts";
import { watchFor } from "./watch.ts";

/**
 * Tells of a container's end, and starts it again, or removes it, as was asked for when it was started. It
 * takes as long as the back-off does, and does nothing if the container has been removed meanwhile.
 *
 * @throws ContainerError if it cannot be started again
 */
export async function afterExit(state: State, id: string): Promise<void> {
  const record = readRecord(state, id);
  if (record === undefined) return;
  try {
    await settle(state, record);
  } catch (error) {
    // Whoever removes it by force does not wait for us.
    if (isCode(error, "ENOENT") && readRecord(state, id) === undefined) return;
    throw error;
  }
}

async function settle(state: State, record: ContainerRecord): Promise<void> {
  const paths = state.container(record.id);
  const unbegun = unbegunRun(paths);
  if (unbegun !== undefined) return await settleUnbegun(state, record, unbegun);
  const runs = readRuns(paths);
  // It could not be made again; the exit command that tried that knows what to do.
  if (runs === undefined || runs.started === null) return;
  const { id, name } = record;
  const status = Number(readIfThere(paths.exit) ?? "-1");
  if (existsSync(paths.oom)) appendEvent(state, { type: "oom", id, name });
  appendEvent(state, { type: "exit", id, name, status });
  await deleteContainer(record, id);
  let over: Runs | undefined = { ...runs, status };
  while (over !== undefined) over = await carryOn(state, record, over, over.status ?? -1);
}

/** It ended before anybody had it begin: there is nothing that its policy could start again. */
async function settleUnbegun(state: State, record: ContainerRecord, runs: Runs): Promise<void> {
  const unlock = lockUnlessStarting(state.container(record.id));
  // It could not be made, or not begin; whoever tried that knows what to do.
  if (unlock === undefined) return;
  try {
    await deleteContainer(record, record.id);
    finish(state, record, failedRun(state, record, runs, undefined));
  } finally {
    unlock();
  }
}

function finish(state: State, record: ContainerRecord, runs: Runs): void {
  writeRuns(state.container(record.id), runs);
  if (record.remove) discardContainer(state, record);
}

/**
 * Does what is to be done after a run.
 *
 * @returns the next run, if that has ended before it could begin; else all is done
 */
async function carryOn(
  state: State,
  record: ContainerRecord,
  runs: Runs,
  status: number,
): Promise<Runs | undefined> {
  const { id, name } = record;
  const paths = state.container(id);
  const wanted = existsSync(paths.stop) || !existsSync(paths.record);
  const after = afterRun(runs, record.restart, { status, at: new Date(), wanted });
  if (after.next === null) {
    finish(state, record, after);
    return undefined;
  }
  const delay = Math.max(0, Date.parse(after.next) - Date.now());
  appendEvent(state, { type: "restart", id, name, delay });
  writeRuns(paths, after);
  // Asked once more, the policy knows that its end is wanted.
  if (await isStopped(state, record, delay)) return after;
  return await restart(state, record, after);
}

/** Returns the run that has ended before it could begin, if it has. */
async function restart(
  state: State,
  record: ContainerRecord,
  runs: Runs,
): Promise<Runs | undefined> {
  const { id, name } = record;
  const paths = state.container(id);
  const { inARow, count } = runs;
  const fresh: Runs = { ...FIRST_RUN, inARow, count: count + 1 };
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
    writeRuns(paths, { ...fresh, started: new Date().toISOString() });
    appendEvent(state, { type: "start", id, name, pid: made });
    await startContainer(record, id);
    return undefined;
  } catch (error) {
    // If it had been made, its own monitor has its exit command carry on.
    await deleteContainer(record, id);
    throw error;
  } finally {
    monitor.release();
  }
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

/** Whether its end was asked for while it waited. */
async function isStopped(state: State, record: ContainerRecord, delay: number): Promise<boolean> {
  const paths = state.container(record.id);
  const over = new AbortController();
  const look = () => existsSync(paths.stop) || !existsSync(paths.record) || undefined;
  const stopped = watchFor([paths.directory], look, over.signal);
  await Promise.race([pause(delay, over.signal), stopped]);
  over.abort();
  return (await stopped) ?? false;
}
